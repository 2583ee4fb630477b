"""Receipts: what a finished stage was made from, and the size and SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from entropy_loop.errors import StorageError
from entropy_loop.machine.device import Description

FILE = "receipt.json"
STRANGE = "was not there when the stage was finished"


class FileRecord(TypedDict):
    """Size and SHA-256 of one file."""

    bytes: int
    sha256: str


class StageRecord(TypedDict):
    """The stage that made the folder. reads: what its key is a hash of."""

    verb: str
    generation: int
    key: str
    reads: Mapping[str, Any]


class Receipt(TypedDict, total=False):
    """A folder's receipt. format, files, sha256 (of the receipt itself): in every one. part_of: only in a part's, the
    key of its stage. The other fields: only in a stage's."""

    format: int
    files: dict[str, FileRecord]
    part_of: str
    stage: StageRecord
    started: str
    seconds: float
    provenance: Mapping[str, object]
    device: Description | None
    sha256: str


def sealed(receipt: Receipt) -> str:
    """The receipt as text, with its own hash."""
    return _text({**receipt, "sha256": _seal(receipt)})


def read(folder: Path) -> Receipt:
    """A stage's receipt. Raises StorageError when it is damaged or gone."""
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
        receipt: Receipt = json.loads(text)
        del receipt["sha256"]
        whole = sealed(receipt) == text
    except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError):
        whole = False
    if not whole:
        raise StorageError(f"{path}: damaged; delete {folder} and run again, which makes it anew.")
    return receipt


def check(folder: Path) -> None:
    """Raises StorageError when a folder differs from its receipt."""
    if lines := faults(folder):
        raise StorageError(f"{folder / lines[0]}; the disk did not keep what was written.")


def faults(folder: Path, strangers: bool = False) -> list[str]:
    """Differences between a folder and its receipt, a line each. Reads every byte. strangers: also name files that the
    receipt does not list, such as a file manager's own."""
    try:
        records = read(folder)["files"]
    except StorageError:
        return [f"{FILE}: damaged"]
    wrong = {name: why for name, record in records.items() if (why := fault(folder / name, record))}
    if strangers:
        wrong |= {name: STRANGE for name in files(folder) if name not in records}
    return [f"{name}: {why}" for name, why in sorted(wrong.items())]


def fault(path: Path, record: FileRecord | None) -> str:
    """How a file differs from its record; empty if it does not. record: None if the receipt does not list the file."""
    if not path.is_file():
        return "missing"
    if record is None:
        return STRANGE
    if (size := path.stat().st_size) != record["bytes"]:
        return f"has {size} bytes instead of {record['bytes']}"
    return "" if fingerprint(path) == record else "other content than was written"


def files(folder: Path) -> list[str]:
    """Every file below a folder except its receipt, sorted."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(name) for name in names if str(name) != FILE)


def fingerprint(path: Path) -> FileRecord:
    """Size and SHA-256 of a file."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _seal(receipt: Receipt) -> str:
    return hashlib.sha256(_text(receipt).encode()).hexdigest()


def _text(receipt: Receipt) -> str:
    return json.dumps(receipt, indent=1, sort_keys=True)
