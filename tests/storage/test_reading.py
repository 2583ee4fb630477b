"""Damaged files in a results folder."""

from pathlib import Path

import pandas as pd
import pytest

from entropy_loop.data import Stage
from entropy_loop.errors import StorageError
from entropy_loop.storage import reading, receipts
from entropy_loop.storage.reading import Reader
from entropy_loop.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def stage(store: Store) -> Path:
    """A finished stage with one table."""
    table = pd.DataFrame({"id": ["a", "b"], "score": [1.0, 2.0]})
    return store.once(
        Stage("score", 0, "0123", {}), lambda out, tick: table.to_parquet(out / "scores.parquet", index=False)
    )


def test_a_table_is_read_once_and_nobody_changes_it_for_the_next(store: Store, stage: Path) -> None:
    """Whoever asks again gets it as it was written, even where the file has changed since."""
    reader, path = Reader(store), stage / "scores.parquet"
    table = reader.table(path)
    table["score"] = 0.0
    table.loc[0, "id"] = "c"
    path.unlink()
    assert reader.table(path).to_dict("list") == {"id": ["a", "b"], "score": [1.0, 2.0]}
    with pytest.raises(StorageError):
        Reader(store).table(path)


@pytest.mark.parametrize("keep", [0, 4, 0.5, 0.9])
def test_the_error_for_a_damaged_table_says_what_to_delete(store: Store, stage: Path, keep: float) -> None:
    """Cut off anywhere, a table is a storage error that names the file and its stage."""
    path = stage / "scores.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole) if keep < 1 else keep)])
    with pytest.raises(
        StorageError, match=r"scores\.parquet: has .* bytes instead of .*; delete .*g00-score-0123 and run"
    ):
        Reader(store).table(path)


def test_the_error_for_a_damaged_json_file_says_what_to_delete(tmp_path: Path) -> None:
    """A digit that changed is found, as in a table."""
    path = (
        Store(tmp_path).once(
            Stage("generate", 0, "0123", {}), lambda out, tick: (out / "sampling.json").write_text('{"withheld": 1}')
        )
        / "sampling.json"
    )
    assert reading.values(path) == {"withheld": 1}
    path.write_text('{"withheld": 7}')
    with pytest.raises(StorageError, match=r"sampling\.json: .*; delete .*g00-generate-0123 and run"):
        reading.values(path)


@pytest.mark.parametrize("data", [b"", b'{"seconds": 1', b"\xff\xfe", b"{}", b"[]"])
def test_the_error_for_a_damaged_receipt_says_what_to_delete(stage: Path, data: bytes) -> None:
    """A receipt that is not what was written is a storage error that names it and its stage."""
    (stage / "receipt.json").write_bytes(data)
    with pytest.raises(StorageError, match=r"receipt\.json: damaged; delete .*g00-score-0123"):
        receipts.read(stage)


def test_the_error_for_a_lost_table_says_what_to_delete(store: Store, stage: Path) -> None:
    """A finished stage without its table is damaged, too; so is one that its receipt does not know."""
    (stage / "scores.parquet").rename(stage / "other.parquet")
    for name in ("scores.parquet", "other.parquet"):
        with pytest.raises(StorageError, match=rf"{name.split('.')[0]}\.parquet: .*; delete "):
            Reader(store).table(stage / name)
