"""Odd places for results and models: they do, or they are refused in one line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from entropy_loop import assets
from faults import children
from faults.test_disk import TINY
from faults.test_kills import SMALL

NAMES = ["with some spaces", "Äpfel, größer, 天文学家 🐎", "n" * 200, 'quote\'s "and" $HOME;#%']


@pytest.mark.parametrize("name", NAMES, ids=["spaces", "unicode", "200 characters", "quotes"])
def test_a_folder_may_have_any_name(toy, tmp_path, name) -> None:
    """What a run makes does not depend on the name of its folder, nor on the names above it."""
    config = toy()
    assert children.ended(children.carry, config, tmp_path / "usual", TINY) == 0
    assert children.ended(children.carry, config, tmp_path / name / name, TINY) == 0
    assert children.science(tmp_path / name / name) == children.science(tmp_path / "usual")


def test_a_root_may_be_a_link(toy, tmp_path) -> None:
    """A symbolic link to a folder elsewhere is that folder."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert children.ended(children.carry, toy(), tmp_path / "link", TINY) == 0
    assert children.ended(children.carry, toy(), tmp_path / "usual", TINY) == 0
    assert (tmp_path / "link").is_symlink()
    assert children.science(tmp_path / "elsewhere") == children.science(tmp_path / "usual")


def test_a_model_may_lie_anywhere(tmp_path) -> None:
    """A checkpoint in a folder with spaces and letters from elsewhere samples and trains."""
    there = tmp_path / "mes modèles" / "模型 1"
    shutil.copytree(assets.find("bundled:storybook"), there)
    overrides = (*SMALL, f"generator.checkpoint={there}", "measures={}", "attributes={}")
    config = Path("configs/smoke.yaml").resolve()
    assert children.ended(children.carry, config, tmp_path / "out", overrides) == 0


@pytest.mark.parametrize("kind", ["a kernel's", "read-only"])
def test_a_folder_that_takes_nothing_is_refused_in_one_line(toy, tmp_path, kind) -> None:
    """Exit 74 and one line with the path."""
    place, error_file = (Path("/proc/results") if kind != "read-only" else tmp_path / "disk"), tmp_path / "error"
    if kind == "read-only":
        place.mkdir()
        line = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(place)]
        if subprocess.run(line, capture_output=True).returncode:
            pytest.skip("no right to mount a file system here")
    try:
        assert children.ended(children.carry, toy(), place / "out", TINY, error_file) == 74
    finally:
        if kind == "read-only":
            subprocess.run(["umount", str(place)], check=True)
    assert str(place) in error_file.read_text()
    assert len(error_file.read_text().splitlines()) == 1
