"""A finished stage's receipt: what it was made from, and the size and SHA-256 of each of its files and of itself."""

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
    """What is told of a folder. format, files: of any. part_of: key of the stage that it is a part of. The others: of a
    stage. sha256: of all others, as they are written."""

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
    """The receipt as it is written, with its own hash."""
    return _text({**receipt, "sha256": _seal(receipt)})


def read(folder: Path) -> Receipt:
    """A stage's receipt. Raises StorageError when it is damaged or gone."""
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
        receipt: Receipt = json.loads(text)
        whole = receipt.pop("sha256") == _seal(receipt) and sealed(receipt) == text
    except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError):
        whole = False
    if not whole:
        raise StorageError(f"{path}: damaged; delete {folder} and run again, which makes it anew.")
    return receipt


def check(folder: Path) -> None:
    """Raises StorageError when a folder is not as its receipt says."""
    if found := faults(folder):
        raise StorageError(f"{folder / found[0]}; the disk did not keep what was written.")


def faults(folder: Path, strangers: bool = False) -> list[str]:
    """What is not as the receipt says, a line each; empty for a folder that is whole. Reads every byte. strangers: also
    name files that the receipt does not know, such as a file manager's own."""
    try:
        written = read(folder)["files"]
    except StorageError:
        return [f"{FILE}: damaged"]
    found = {}
    if strangers:
        found = {name: STRANGE for name in files(folder) if name not in written}
    found |= {name: why for name, told in written.items() if (why := fault(folder / name, told))}
    return [f"{name}: {why}" for name, why in sorted(found.items())]


def fault(path: Path, told: FileRecord | None) -> str:
    """What is not as it was written of a file; empty for one that is whole. told: None where the receipt does not know
    it."""
    if not path.is_file():
        return "missing"
    if told is None:
        return STRANGE
    if (size := path.stat().st_size) != told["bytes"]:
        return f"has {size} bytes instead of {told['bytes']}"
    return "" if fingerprint(path) == told else "other content than was written"


def files(folder: Path) -> list[str]:
    """Every file below a stage's folder but the receipt, sorted."""
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
