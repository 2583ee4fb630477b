"""Writing that survives: whole or not at all, and on the disk before anything tells of it.

Makers write as they like, but only into the scratch folder that they are given. Whatever else is written, is written
here.
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
    """Write a file whole, as UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole: beside its place, synced, then renamed over it."""
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
    """What killed processes have begun to write in a folder goes. Only where nobody else writes."""
    for path in folder.glob(".*.part"):
        remove(path)


def append(path: Path, line: str) -> None:
    """Add a line to a log."""
    with as_storage_error(path), open(path, "a", encoding="utf-8") as log:
        log.write(line + "\n")


def emptied(folder: Path) -> Path:
    """The folder, there and empty but for what its maker goes on from (`KEPT`)."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name != KEPT:
            remove(path)
    return folder


def publish(scratch: Path, final: Path, receipt: Receipt) -> Path:
    """Make a folder of files a result: files on the disk, a sealed receipt with their sizes and SHA-256 last, then one
    rename to `final`, in whose place nothing may stand that counts."""
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
    """Take a folder's receipt away: it is no result any more."""
    (folder / receipts.FILE).unlink()
    sync(folder)


def link(source: Path | str, target: Path | str) -> None:
    """A second name for a file; a copy where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove(path: Path) -> None:
    """A file, or a folder with all that is in it, goes; it need not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """A folder's list of names is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _synced(path: Path) -> FileRecord:
    """The fingerprint of a file, which is on the disk then."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return receipts.fingerprint(path)
