"""Reading files of a results folder: a damaged one is told by its path, with what to do."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from entropy_loop import manifest
from entropy_loop.errors import StorageError
from entropy_loop.manifest import Receipt


def table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A stage's Parquet table, or some columns of it. Raises StorageError when it is damaged or gone: before it is read
    it is held to the stage's receipt."""
    _refuse_damaged(path)
    return pd.read_parquet(path, columns=columns)


def values(path: Path) -> dict[str, Any]:
    """A stage's JSON file, likewise."""
    _refuse_damaged(path)
    return parsed(path)


def _refuse_damaged(path: Path) -> None:
    if why := manifest.fault(path, receipt(path.parent)["files"].get(path.name)):
        raise StorageError(f"{path}: {why}; delete {path.parent} and run again, which makes it anew.")


def receipt(folder: Path) -> Receipt:
    """What a finished stage wrote down of itself. Raises StorageError when it is damaged or gone."""
    path = folder / manifest.FILE
    return _receipt(folder, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=1024)
def _receipt(folder: Path, written: int) -> Receipt:
    return manifest.read(folder)


def parsed(path: Path) -> dict[str, Any]:
    """A JSON file. Raises StorageError when it is damaged or gone."""
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError):
        raise StorageError(f"{path}: damaged; delete it and run again, which makes it anew.") from None
    return read
