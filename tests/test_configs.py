"""The shipped configs."""

from __future__ import annotations

from pathlib import Path

import pytest

from entropy_loop import study
from entropy_loop.plan import plan

SHIPPED = sorted([*Path("configs").glob("**/*.yaml"), *Path("experiments").glob("**/*.yaml")])


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_every_shipped_config_plans_and_opens_with_its_command(path: Path) -> None:
    """Each opens with what it is, the command that runs it, and then plans without a mistake."""
    text = path.read_text()
    assert text.startswith("# ")
    assert f"#   entropy-loop run {path}\n" in text
    assert plan(study.load(path)).stages()


def test_the_main_configs_are_shipped() -> None:
    """The walk above has found something."""
    assert {"astronaut.yaml", "smoke.yaml", "astronaut-sd15.yaml", "toy.yaml"} <= {path.name for path in SHIPPED}
