"""A process that works for long holds no more than one that works for a short time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faults import children, sittings
from faults.test_kills import SMALL


@pytest.mark.parametrize("kind", ["toy", pytest.param("bundled", marks=pytest.mark.thorough)])
def test_memory_files_and_threads_do_not_grow(toy, tmp_path, kind, count, tell) -> None:
    """After the first fifth of the generations resident memory grows by less than 5 %, open files and threads by
    none."""
    generations = count(20, 50, 50) if kind == "toy" else 12
    config = toy() if kind == "toy" else Path("configs/smoke.yaml").resolve()
    overrides = (*(() if kind == "toy" else SMALL), f"generations={generations}")
    log = tmp_path / "log"
    assert children.ended(sittings.sit, config, tmp_path / "out", overrides, log) == 0
    held = json.loads(log.read_text())[:-1]  # the last generation feeds nothing
    warm = held[-(-len(held) // 5) :]
    growth = warm[-1]["rss"] / warm[0]["rss"] - 1
    tell(f"{generations} generations, {kind}: memory grew by {growth:.1%}, {warm[-1]['files']} files, "
         f"{warm[-1]['threads']} threads")  # fmt: skip
    assert growth < 0.05
    assert len({(row["files"], row["threads"]) for row in warm}) == 1
