"""A disk that fails, forgets, or is full: told with what to do, nothing finished lost, the same bytes afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faults import children, losing, operations

TINY = ("generations=1", "images=3", "evaluation.images=1")
EXITS = {"SIGKILL": {-9}, "ENOSPC": {0, 74}, "EIO": {0, 74}, "KeyboardInterrupt": {1}}
"""How a run may end: one that can do without what failed, as a link that becomes a copy, goes on."""


@pytest.fixture
def whole(toy, tmp_path) -> tuple[Path, dict[str, str], list[operations.Operation]]:
    """A config, what its run makes, and what that asks of the disk."""
    config = toy()
    told = tmp_path / "operations"
    assert children.ended(operations.counted, config, tmp_path / "whole", TINY, told) == 0
    return config, children.science(tmp_path / "whole"), [json.loads(line) for line in told.read_text().splitlines()]


@pytest.mark.parametrize("kind", operations.KINDS)
def test_any_operation_on_the_disk_may_fail(whole, tmp_path, kind, count, rng, tell) -> None:
    """Whichever of them it is, the run ends as it should for such a fault, and the same command then makes what it
    would have made."""
    config, expected, done = whole
    points = sorted(rng.choice(len(done), min(len(done), count(8, len(done), len(done))), replace=False))
    for number in points:
        root = tmp_path / f"{kind}{number}"
        code = children.ended(operations.failing, config, root, TINY, int(number), kind)
        assert code in EXITS[kind], (kind, int(number), done[number])
        assert children.ended(children.carry, config, root, TINY) == 0, (kind, int(number), done[number])
        assert children.science(root) == expected, (kind, int(number), done[number])
    tell(f"{kind} at {len(points)} of {len(done)} operations on the disk: 0 bytes differ")


def test_what_was_not_synced_may_be_lost(whole, tmp_path, count, rng, tell) -> None:
    """Power fails before a random operation: files and names that were not synced are damaged or gone. The same
    command makes what is missing; nothing damaged is ever taken for a result."""
    config, expected, done = whole
    cases, hit = count(10, 100, 500), 0
    for case in range(cases):
        root, log = tmp_path / f"lost{case}", tmp_path / f"lost{case}.log"
        assert children.ended(operations.logged, config, root, TINY, int(rng.integers(len(done))), log) == -9
        hit += losing.lose(root, log, rng) if root.exists() else 0
        assert children.ended(children.carry, config, root, TINY) == 0, case
        assert children.science(root) == expected, case
    tell(f"{cases} losses of power, {hit} files and names lost: 0 bytes differ")
    assert hit


def test_of_processes_that_start_at_once_one_runs(toy, tmp_path, count, tell) -> None:
    """Two at a time in the same folder: one makes everything, the other is refused with its pid (exit 75)."""
    config, pairs = toy(), count(5, 50, 50)
    for pair in range(pairs):
        root = tmp_path / f"pair{pair}"
        both = [children.child(children.carry, config, root, TINY, tmp_path / f"said{pair}-{i}") for i in range(2)]
        for one in both:
            one.join()
        assert sorted(one.exitcode for one in both) == [0, 75]
        (loser,) = [i for i, one in enumerate(both) if one.exitcode == 75]
        said = (tmp_path / f"said{pair}-{loser}").read_text()
        assert "works in this folder" in said
    tell(f"{pairs} double starts: one ran each time")
