"""A loss of power: what was not synced to the disk before it is gone, in part or wholly.

Of a file that was written and not synced since, any part may be lost. Of names that were made, changed or taken away in
a folder, some may be as they were until the folder is synced. (No file system that people use loses more.)
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np


def lose(root: Path, log: Path, rng: np.random.Generator) -> int:
    """Take from the folder what its log says was never synced; returns how many files and names were hit."""
    done = [json.loads(line) for line in log.read_text().splitlines()]
    safe_files, safe_folders = _synced(done)
    hit = 0
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.name.startswith(".lock") and os.stat(path).st_ino not in safe_files:
            hit += _damage(path, rng)
    for number, (operation, paths) in reversed(list(enumerate(done))):
        if operation == "rename" and safe_folders.get(os.path.dirname(paths[1]), -1) < number and rng.random() < 0.5:
            hit += _undo(Path(paths[1]), Path(paths[0]))
    return hit


def _synced(done: list[tuple[str, list[str]]]) -> tuple[set[int], dict[str, int]]:
    """Inodes of files whose last write was followed by a sync, and by folder the number of its last sync."""
    files: set[int] = set()
    folders: dict[str, int] = {}
    names: dict[str, str] = {}
    for number, (operation, paths) in enumerate(done):
        if operation == "fsync":
            folders[paths[0]] = number
            names[paths[0]] = "safe"
        elif operation == "open":
            names[paths[0]] = "written"
        elif operation == "rename":
            for path in [p for p in names if p == paths[0] or p.startswith(paths[0] + os.sep)]:
                names[paths[1] + path[len(paths[0]) :]] = names.pop(path)
            for path in [p for p in folders if p == paths[0] or p.startswith(paths[0] + os.sep)]:
                folders[paths[1] + path[len(paths[0]) :]] = folders[path]
        elif operation == "link":
            names[paths[1]] = names.get(paths[0], "written")
    for path, state in names.items():
        if state == "safe" and os.path.isfile(path):
            files.add(os.stat(path).st_ino)
    return files, folders


def _damage(path: Path, rng: np.random.Generator) -> int:
    """Nothing, zeros, half, or none of it is there: drawn."""
    data = path.read_bytes()
    left = [data, bytes(len(data)), data[: len(data) // 2], b""][rng.integers(4)]
    path.write_bytes(left)
    return int(left != data)


def _undo(new: Path, old: Path) -> int:
    """The name is again what it was, where that can be."""
    if not new.exists() or not old.parent.is_dir() or old.exists():
        return 0
    shutil.move(new, old)
    return 1
