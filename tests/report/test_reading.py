"""Damaged files in a results folder."""

from pathlib import Path

import pandas as pd
import pytest

from entropy_loop.errors import StorageError
from entropy_loop.report import reading


@pytest.mark.parametrize("keep", [0, 4, 0.5, 0.9])
def test_a_damaged_table_is_told_with_what_to_delete(tmp_path: Path, keep: float) -> None:
    """Cut off anywhere, a table is a storage error that names the file and its stage."""
    path = tmp_path / "g00-score-0123" / "scores.parquet"
    path.parent.mkdir()
    pd.DataFrame({"id": ["a", "b"], "score": [1.0, 2.0]}).to_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole) if keep < 1 else keep)])
    with pytest.raises(StorageError, match=r"scores\.parquet: damaged; delete .*g00-score-0123 and run again"):
        reading.table(path)


@pytest.mark.parametrize("data", [b"", b'{"seconds": 1', b"\xff\xfe"])
def test_a_damaged_receipt_is_told_with_what_to_delete(tmp_path: Path, data: bytes) -> None:
    """A receipt that is no JSON is a storage error that names it and its stage."""
    (tmp_path / "receipt.json").write_bytes(data)
    with pytest.raises(StorageError, match=r"receipt\.json: damaged; delete "):
        reading.receipt(tmp_path)


def test_a_lost_table_is_told_with_what_to_delete(tmp_path: Path) -> None:
    """A finished stage without its table is damaged, too."""
    with pytest.raises(StorageError, match=r"none\.parquet: damaged; delete "):
        reading.table(tmp_path / "none.parquet")
