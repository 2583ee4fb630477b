"""A full disk, in every kind of stage, for real: exit 74 with path, needed and free bytes; nothing finished is lost."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from entropy_loop.commands import costs, experiment
from faults import children, full
from faults.test_kills import SMALL

CONFIG = Path("configs/smoke.yaml").resolve()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The results of a run on a disk with room."""
    root: Path = tmp_path_factory.mktemp("undisturbed") / "whole"
    assert children.ended(children.carry, CONFIG, root, SMALL) == 0
    return root


def test_the_disk_that_a_run_needs_is_known_before(undisturbed, tell) -> None:
    """The estimate is within 20 % of all that the run left: stages, tables, figures, report."""
    estimate = sum(work.disk for work in costs.work(experiment.prepare(CONFIG, SMALL)).values())
    left = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    tell(f"disk: {estimate:,} bytes estimated, {left:,} used, {estimate / left - 1:+.1%}")
    assert 0.8 < estimate / left < 1.2


VERBS = sorted({stage.name for stage in experiment.prepare(CONFIG, SMALL).stages().values()})


@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_is_full_in_a_stage_loses_nothing(undisturbed, tmp_path, verb, level, tell) -> None:
    """The error names the file, the bytes that are still needed and those that are free; every earlier stage is whole;
    with room again the same command makes what it would have made."""
    if level == "sample" and verb not in ("generate-pool", "train"):
        pytest.skip("tried by .ci/run")
    root, error_file = tmp_path / "out", tmp_path / "error"
    assert children.ended(full.full_from, CONFIG, root, SMALL, verb, error_file) == 74
    message = error_file.read_text()
    assert str(root) in message
    assert re.search(r"[\d,]+ bytes are free", message)
    assert re.search(r"needs about [\d,]+ bytes", message)
    before = {path.parent.name for path in (root / "store").glob("*/receipt.json")}
    assert before == {path.name for path in (root / "store").iterdir() if path.name[0] == "g"}
    assert children.ended(children.carry, CONFIG, root, SMALL) == 0
    assert children.science(root) == children.science(undisturbed)
    tell(f"disk full in {verb}: exit 74, {len(before)} stages kept, 0 bytes differ")


def test_a_run_that_fills_a_small_disk_stops_with_an_error_and_goes_on_later(toy, tmp_path, tell) -> None:
    """A file system of 300 KB, for real, filled up by a run: exit 74; with room made, the same bytes."""
    disk, config = tmp_path / "disk", toy(generations=4)
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no right to mount a file system here")
    try:
        root, error_file = disk / "out", tmp_path / "error"
        assert children.ended(children.carry, config, root, (), error_file) == 74
        assert str(disk) in error_file.read_text()
        kept = len(list((root / "store").glob("*/receipt.json")))
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert children.ended(children.carry, config, root) == 0
        assert children.ended(children.carry, config, tmp_path / "whole") == 0
        assert children.science(root) == children.science(tmp_path / "whole")
        tell(f"a disk of 300 KB full after {kept} stages: 0 bytes differ with room made")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
