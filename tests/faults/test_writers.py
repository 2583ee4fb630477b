"""Who writes: the store and its disk, and makers into the scratch folder that they are given. Nobody else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from faults import children, operations
from faults.test_disk import TINY
from faults.test_kills import SMALL

WRITERS = ("entropy_loop/storage/disk.py", "entropy_loop/storage/store.py")


def foreign(config: Path, root: Path, overrides: tuple[str, ...], log: Path) -> None:
    """Carry a run and write down every operation on the disk outside scratch that none of the writers called."""
    scratch, lines, seen = str(root.resolve() / "store" / ".scratch"), [], [0]

    def act(operation: operations.Operation) -> None:
        seen[0] += 1
        frame = sys._getframe()
        while frame and not frame.f_code.co_filename.endswith(WRITERS):
            frame = frame.f_back  # type: ignore[assignment]
        if frame is None and not all(path.startswith(scratch) for path in operation[1]):
            lines.append(json.dumps(operation))

    operations.watch(root, act)
    children.carry(config, root, overrides)
    log.write_text("\n".join([str(seen[0]), *lines]))


@pytest.mark.parametrize("kind", ["toy", pytest.param("bundled", marks=pytest.mark.thorough)])
def test_only_the_store_and_its_disk_write(toy, tmp_path, kind, tell) -> None:
    """A whole run, tables and report included."""
    config = toy() if kind == "toy" else Path("configs/smoke.yaml").resolve()
    log = tmp_path / "log"
    assert children.ended(foreign, config, tmp_path / "out", TINY if kind == "toy" else SMALL, log) == 0
    seen, *lines = log.read_text().splitlines()
    tell(f"{seen} operations on the disk, {kind}: {len(lines)} by others than the store")
    assert int(seen) > 100
    assert not lines
