"""Reads files of a results folder. The error for a damaged one names its path and what to do."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from entropy_loop.dictionary import Column
from entropy_loop.errors import ConfigError, StorageError, as_storage_error
from entropy_loop.storage import receipts
from entropy_loop.storage.store import Store

Json = dict[str, Any]
"""A JSON object."""


@dataclass(frozen=True)
class Reader:
    """Reads the stages of a results folder for one report: each table is checked against its receipt, and read once."""

    store: Store
    _tables: dict[Path, pd.DataFrame] = field(default_factory=dict)

    def table(self, path: Path) -> pd.DataFrame:
        """A stage's Parquet table. Raises StorageError when it is damaged or gone."""
        if path not in self._tables:
            _check_whole(path)
            self._tables[path] = pd.read_parquet(path)
        return self._tables[path].copy(deep=False)


def values(path: Path) -> Json:
    """A stage's JSON file. Raises StorageError when it is damaged or gone."""
    _check_whole(path)
    return parsed(path)


def _check_whole(path: Path) -> None:
    if why := receipts.fault(path, receipts.read(path.parent)["files"].get(path.name)):
        raise StorageError(f"{path}: {why}; delete {path.parent} and run again, which makes it anew.")


def parsed(path: Path) -> Json:
    """A JSON file. Raises StorageError when it is damaged or gone."""
    try:
        values: Json = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError):
        raise StorageError(f"{path}: damaged; delete it and run again, which makes it anew.") from None
    return values


# ---- tables of a results folder ----------------------------------------------------------------------


def written(path: Path, columns: Mapping[str, Column] | None = None) -> pd.DataFrame:
    """A table that a run wrote, CSV or Parquet. columns: read exactly these, with their dtypes; one that an older
    version did not write has missing cells only. Raises ConfigError when the file does not exist, StorageError when it
    is damaged."""
    if not path.is_file():
        raise ConfigError(f"{path}: not there; {_anew(path.parent)}")
    try:
        with as_storage_error(path):
            table = _csv(path, columns or {}) if path.suffix == ".csv" else pd.read_parquet(path)
        return _typed(table, columns) if columns else table
    except (ValueError, TypeError, OSError) as error:
        why = " ".join(str(error).split())
        raise StorageError(f"{path}: damaged ({why}); {_anew(path.parent)}") from None


def _anew(root: Path) -> str:
    if (root / "store").is_dir():
        return f"`entropy-loop report {root}` writes it anew."
    return "`entropy-loop run` makes it anew from the folder's config.yaml, for there is no store/ to write it from."


def _csv(path: Path, columns: Mapping[str, Column]) -> pd.DataFrame:
    content = path.read_bytes()
    if not content.endswith(b"\n"):  # a number that is cut short is another number
        raise ValueError("its last line is cut short")
    dtypes = {name: column.dtype for name, column in columns.items()}
    # An arm may be called none.
    return pd.read_csv(io.BytesIO(content), dtype=dtypes, keep_default_na=False, na_values=[""])


def _typed(table: pd.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Exactly these columns; empty text is missing. Raises ValueError or TypeError for cells of another kind."""
    always = [name for name, column in columns.items() if column.always]
    if absent := [name for name in always if name not in table]:
        raise ValueError(f"it has no column {', '.join(absent)}")
    typed = table.reindex(columns=list(columns)).astype({name: column.dtype for name, column in columns.items()})
    for name, column in columns.items():
        if column.kind == "text":
            typed[name] = typed[name].where(typed[name] != "")
    if gaps := [name for name in always if typed[name].isna().any()]:
        raise ValueError(f"cells are missing in {', '.join(gaps)}")
    return typed
