"""Reading files of a results folder: a damaged one is told by its path, with what to delete."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from entropy_loop.errors import StorageError


def table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A stage's Parquet table, or some columns of it. Raises StorageError when it is damaged or gone."""
    with _intact(path, path.parent):
        return pd.read_parquet(path, columns=columns)


def receipt(folder: Path) -> dict[str, Any]:
    """What a finished stage wrote down of itself. Raises StorageError when it is damaged or gone."""
    return parsed(folder / "receipt.json", folder)


def parsed(path: Path, culprit: Path | None = None) -> dict[str, Any]:
    """A JSON file; `culprit` is what to delete if it is damaged, by default the file itself."""
    with _intact(path, culprit or path):
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return read


@contextmanager
def _intact(path: Path, culprit: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:  # pyarrow tells of some damage as an OSError without a number
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise
        raise StorageError(f"{path}: damaged; delete {culprit} and run again, which makes it anew.") from None
