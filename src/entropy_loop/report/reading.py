"""Reading files of a results folder: a damaged one is told by its path, with what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from entropy_loop import manifest
from entropy_loop.errors import StorageError
from entropy_loop.store import Store

Json = dict[str, Any]
"""A JSON object."""


@dataclass(frozen=True)
class Reader:
    """The stages of a results folder as one report reads them: each table is held to its receipt and read once."""

    store: Store
    _tables: dict[Path, pd.DataFrame] = field(default_factory=dict)

    def table(self, path: Path) -> pd.DataFrame:
        """A stage's Parquet table. Raises StorageError when it is damaged or gone."""
        if path not in self._tables:
            _refuse_damaged(path)
            self._tables[path] = pd.read_parquet(path)
        return self._tables[path].copy(deep=False)


def values(path: Path) -> Json:
    """A stage's JSON file. Raises StorageError when it is damaged or gone."""
    _refuse_damaged(path)
    return parsed(path)


def _refuse_damaged(path: Path) -> None:
    if why := manifest.fault(path, receipt(path.parent)["files"].get(path.name, {"bytes": None})):
        raise StorageError(f"{path}: {why}; delete {path.parent} and run again, which makes it anew.")


def receipt(folder: Path) -> Json:
    """What a finished stage wrote down of itself. Raises StorageError when it is damaged or gone."""
    return manifest.read(folder)


def parsed(path: Path) -> Json:
    """A JSON file. Raises StorageError when it is damaged or gone."""
    try:
        read: Json = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError):
        raise StorageError(f"{path}: damaged; delete it and run again, which makes it anew.") from None
    return read
