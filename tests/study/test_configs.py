"""The shipped configs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from entropy_loop.plan import plan
from entropy_loop.study import study

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


GOLDEN = Path(__file__).parent / "golden" / "keys.json"
PINNED = [f"configs/{name}.yaml" for name in ("astronaut", "astronaut-sd15", "smoke", "toy")]


def keys(path: Path) -> dict[str, object]:
    """What identifies a config's stages: how many there are, a hash over all their folders' names, and the key of the
    first of each name, which says in what they differ."""
    stages = list(plan(study.load(path)).stages().values())
    digest = hashlib.sha256("\n".join(sorted(stage.folder for stage in stages)).encode()).hexdigest()
    return {"stages": len(stages), "sha256": digest, "first": {stage.name: stage.key for stage in reversed(stages)}}


@pytest.mark.parametrize("path", PINNED)
def test_the_keys_of_shipped_configs_stay(path: str) -> None:
    """A key that changes throws people's finished work away. Who changes one on purpose raises a version or a default,
    names it in the changelog, and writes the file anew (`python tests/study/test_configs.py`)."""
    assert keys(Path(path)) == json.loads(GOLDEN.read_text(encoding="utf-8"))[path]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({path: keys(Path(path)) for path in PINNED}, indent=1) + "\n", encoding="utf-8")
