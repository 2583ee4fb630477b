"""A finished stage's receipt: what it was made from, and the size and SHA-256 of each of its files and of itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from entropy_loop.errors import StorageError

FILE = "receipt.json"
SEAL = "sha256"
"""The key that holds the hash of all others, as they are written."""


def sealed(receipt: dict[str, Any]) -> str:
    """The receipt as it is written, with its own hash."""
    return _text(receipt | {SEAL: _seal(receipt)})


def read(folder: Path, name: str = FILE) -> dict[str, Any]:
    """A stage's receipt. Raises StorageError when it is damaged or gone."""
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8")
        receipt: dict[str, Any] = json.loads(text)
        whole = receipt.pop(SEAL) == _seal(receipt) and sealed(receipt) == text
    except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError):
        whole = False
    if not whole:
        raise StorageError(f"{path}: damaged; delete {folder} and run again, which makes it anew.")
    return receipt


def refuse(folder: Path) -> None:
    """Raises StorageError when a folder is not as its receipt says."""
    if found := faults(folder):
        raise StorageError(f"{folder / found[0]}; the disk did not keep what was written.")


def faults(folder: Path, strangers: bool = False) -> list[str]:
    """What is not as the receipt says, a line each; empty for a folder that is whole. Reads every byte. strangers: also
    name files that the receipt does not know, such as a file manager's own."""
    try:
        written: dict[str, dict[str, Any]] = read(folder)["files"]
    except StorageError:
        return [f"{FILE}: damaged"]
    found = {}
    if strangers:
        found = {name: "was not there when the stage was finished" for name in files(folder) if name not in written}
    found |= damaged(folder, written)
    return [f"{name}: {why}" for name, why in sorted(found.items())]


def damaged(folder: Path, written: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What is not as it was written, by the file's name. written: a receipt's `files`. Reads every byte."""
    return {name: why for name, told in written.items() if (why := fault(folder / name, told))}


def fault(path: Path, told: dict[str, Any]) -> str:
    """What is not as it was told of a file; empty for one that is whole."""
    if not path.is_file():
        return "missing"
    if (size := path.stat().st_size) != told["bytes"]:
        return f"has {size} bytes instead of {told['bytes']}"
    return "" if fingerprint(path) == told else "other content than was written"


def files(folder: Path) -> list[str]:
    """Every file below a stage's folder but the receipt, sorted."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(name) for name in names if str(name) != FILE)


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _seal(receipt: dict[str, Any]) -> str:
    return hashlib.sha256(_text(receipt).encode()).hexdigest()


def _text(receipt: dict[str, Any]) -> str:
    return json.dumps(receipt, indent=1, sort_keys=True)
