"""Durable writing: a file or folder is complete or absent, and synced before anything refers to it.

Makers write freely into the scratch folder that they are given. Everything else is written here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from entropy_loop.data import KEPT
from entropy_loop.errors import as_storage_error
from entropy_loop.storage import receipts
from entropy_loop.storage.receipts import FileRecord, Receipt


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: beside its place, synced, then renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")  # several processes may write the same file
    with as_storage_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def remove_parts(folder: Path) -> None:
    """Delete the partial files of killed processes in a folder. Call it only while nobody else writes there."""
    for path in folder.glob(".*.part"):
        remove(path)


def append(path: Path, line: str) -> None:
    """Append a line to a log."""
    with as_storage_error(path), open(path, "a", encoding="utf-8") as log:
        log.write(line + "\n")


def emptied(folder: Path) -> Path:
    """Create or empty a folder, but keep what its maker resumes from (`KEPT`)."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name != KEPT:
            remove(path)
    return folder


def publish(scratch: Path, final: Path, receipt: Receipt) -> Path:
    """Turn a scratch folder into a result: sync its files, write the sealed receipt with their sizes and SHA-256, then
    rename it to `final`, which is replaced."""
    remove(scratch / KEPT)
    files = {name: _synced(scratch / name) for name in receipts.files(scratch)}
    write_text(scratch / receipts.FILE, receipts.sealed({**receipt, "files": files}))
    for folder in (scratch, *(path for path in scratch.rglob("*") if path.is_dir())):
        sync(folder)
    remove(final)
    os.replace(scratch, final)
    sync(final.parent)
    return final


def invalidate(folder: Path) -> None:
    """Delete a folder's receipt: it is no result any more."""
    (folder / receipts.FILE).unlink()
    sync(folder)


def link(source: Path | str, target: Path | str) -> None:
    """Hard-link a file; copy it where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove(path: Path) -> None:
    """Delete a file or a folder tree, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Sync a folder's list of names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _synced(path: Path) -> FileRecord:
    """Sync a file and return its fingerprint."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return receipts.fingerprint(path)
