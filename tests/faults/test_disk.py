"""A disk that fails, forgets or is full: an error says what to do, nothing finished is lost, the bytes are the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from faults import children, losing, operations

TINY = ("generations=1", "images=3", "evaluation.images=1")
EXITS = {"SIGKILL": {-9}, "ENOSPC": {0, 74}, "EIO": {0, 74}, "KeyboardInterrupt": {1}}
"""How a run may end: one that can do without what failed, as a link that becomes a copy, goes on."""


@pytest.fixture
def whole(toy, tmp_path) -> tuple[Path, dict[str, str], list[operations.Operation]]:
    """A config, what its run makes, and what that asks of the disk."""
    config = toy()
    log = tmp_path / "operations"
    assert children.ended(operations.counted, config, tmp_path / "whole", TINY, log) == 0
    return config, children.science(tmp_path / "whole"), [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("kind", operations.KINDS)
def test_any_operation_on_the_disk_may_fail(whole, tmp_path, kind, count, rng, tell) -> None:
    """Whichever of them it is, the run ends as it should for such a fault, and the same command then makes what it
    would have made. In CI every operation fails in two of the four ways, in a soak in all four."""
    config, expected, done = whole

    def fail(number: int) -> None:
        root, case = tmp_path / f"{kind}{number}", (kind, number, done[number])
        assert children.ended(operations.failing, config, root, TINY, number, kind) in EXITS[kind], case
        assert children.ended(children.plain, config, root, TINY) == 0, case
        assert children.science(root) == expected, case
        shutil.rmtree(root)

    step = count(1, 2, 1)
    of_kind = range(operations.KINDS.index(kind) % step, len(done), step)
    points = rng.permutation(of_kind)[: count(8, len(done), len(done))].tolist()
    children.abreast(fail, points)
    tell(f"{kind} at {len(points)} of {len(done)} operations on the disk: 0 bytes differ")


def test_what_was_not_synced_may_be_lost(whole, tmp_path, count, rng, tell) -> None:
    """Power fails before a random operation: files and names that were not synced are damaged or gone. The same
    command makes what is missing; nothing damaged is ever taken for a result."""
    config, expected, done = whole
    cases, hits = count(10, 100, 100), []

    def lose(case: tuple[int, int]) -> None:
        number, seed = case
        root, log = tmp_path / f"lost{seed}", tmp_path / f"lost{seed}.log"
        assert children.ended(operations.logged, config, root, TINY, number, log) == -9
        hits.append(losing.lose(root, log, np.random.default_rng(seed)) if root.exists() else 0)
        assert children.ended(children.plain, config, root, TINY) == 0, case
        assert children.science(root) == expected, case
        shutil.rmtree(root, ignore_errors=True)

    children.abreast(lose, [(int(rng.integers(len(done))), int(rng.integers(1 << 32))) for _ in range(cases)])
    tell(f"{cases} losses of power, {sum(hits)} files and names lost: 0 bytes differ")
    assert sum(hits) > cases


def test_of_processes_that_ask_at_once_one_gets_the_folder(tmp_path, count, tell) -> None:
    """At the very same moment: one holds it, the other is told who does."""
    times, together = count(200, 1000, 1000), children.CONTEXT.Barrier(2)
    logs = [tmp_path / "one", tmp_path / "other"]
    both = [children.child(children.asking, tmp_path / "folders", times, together, log) for log in logs]
    assert [children.code(process) for process in both] == [0, 0]
    answers = [sorted(pair, key=len) for pair in zip(*(log.read_text().splitlines() for log in logs), strict=True)]
    assert len(answers) == times
    assert all(f"{holder} on" in refusal and "works in this folder" in refusal for holder, refusal in answers)
    tell(f"{times} times two asked at once: one held the folder, the other was told who")


def test_of_processes_that_start_at_once_one_runs(toy, tmp_path, count, tell) -> None:
    """Two at a time in the same folder: one makes everything, the other is refused with its pid (exit 75)."""
    config, pairs = toy(), count(5, 50, 50)
    for pair in range(pairs):
        root = tmp_path / f"pair{pair}"
        both = [children.child(children.plain, config, root, TINY, tmp_path / f"error{pair}-{i}") for i in range(2)]
        codes = [children.code(process) for process in both]
        assert sorted(codes) == [0, 75]
        loser = codes.index(75)
        message = (tmp_path / f"error{pair}-{loser}").read_text()
        assert f"process {both[1 - loser].pid} on" in message
    tell(f"{pairs} double starts: one ran each time")
