"""Stage folders: the only writer of results.

A stage makes one folder, once. `once` opens the finished folder or makes it in a scratch place, writes the
receipt last and publishes everything by one rename. That is cache, resume and record; a kill at any moment
leaves either a finished folder or scratch that the next run throws away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from entropy_loop.data import Stage, Tick
from entropy_loop.errors import Locked, as_storage_error
from entropy_loop.provenance import made_on

RECEIPT = "receipt.json"
Maker = Callable[[Path, Tick], None]
Performer = Callable[[Stage, Maker, Path, Tick], None]
Listener = Callable[[str, Stage, float], None]
"""Told of ("opened" | "started" | "working" | "finished", stage, share done)."""


def _silent(event: str, stage: Stage, share: float) -> None:
    """Nobody listens."""


def _here(stage: Stage, make: Maker, out: Path, tick: Tick) -> None:
    """Make a stage in this process."""
    make(out, tick)


@dataclass(frozen=True)
class Store:
    """The results of one experiment: `root` with tables and report, `root/store` with the stages.

    perform: where a stage's work is done. several: whether others, threads or processes, make stages in the same
    folder; then every stage is made under a lock of its own, and who comes second opens it.
    """

    root: Path
    provenance: dict[str, Any] = field(default_factory=dict)
    listen: Listener = _silent
    perform: Performer = _here
    several: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """What another process gets, which reads and has nobody to tell."""
        return Store, (self.root, self.provenance)

    @property
    def stages(self) -> Path:
        return self.root / "store"

    def finished(self, stage: Stage) -> Path | None:
        """The stage's folder if it was made, else None."""
        folder = self.stages / stage.folder
        return folder if (folder / RECEIPT).is_file() else None

    def receipt(self, stage: Stage) -> dict[str, Any]:
        receipt: dict[str, Any] = json.loads((self.stages / stage.folder / RECEIPT).read_text())
        return receipt

    def once(self, stage: Stage, make: Maker) -> Path:
        """The stage's folder; `make(scratch folder, tick)` is called only if it is not there yet."""
        if folder := self._opened(stage):
            return folder
        with self._alone(stage):
            return self._opened(stage) or self._make(stage, make)

    def _opened(self, stage: Stage) -> Path | None:
        if folder := self.finished(stage):
            self.listen("opened", stage, 1.0)
        return folder

    def _make(self, stage: Stage, make: Maker) -> Path:
        self.listen("started", stage, 0.0)
        scratch = self.stages / ".scratch" / stage.folder
        with as_storage_error(scratch):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
        started, clock = datetime.now(UTC), time.perf_counter()
        with as_storage_error(scratch):
            self.perform(stage, make, scratch, lambda share: self.listen("working", stage, share))
            seconds = time.perf_counter() - clock
            folder = self._publish(stage, scratch, started, seconds)
        self._log(stage, started, seconds)
        self.listen("finished", stage, 1.0)
        return folder

    def _publish(self, stage: Stage, scratch: Path, started: datetime, seconds: float) -> Path:
        receipt = {
            "format": 1,
            "stage": {"verb": stage.verb, "generation": stage.generation, "key": stage.key, "reads": stage.reads},
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "provenance": self.provenance,
            "device": made_on(),
            "files": {str(p.relative_to(scratch)): _fingerprint(p) for p in sorted(scratch.rglob("*")) if p.is_file()},
        }
        write_text(scratch / RECEIPT, json.dumps(receipt, indent=1, sort_keys=True))
        for folder in (scratch, *(p for p in scratch.rglob("*") if p.is_dir())):
            _sync(folder)
        final = self.stages / stage.folder
        shutil.rmtree(final, ignore_errors=True)  # a folder without a receipt is no result
        os.replace(scratch, final)
        _sync(final.parent)
        return final

    def _log(self, stage: Stage, started: datetime, seconds: float) -> None:
        line = {"at": started.isoformat(timespec="seconds"), "stage": stage.folder, "seconds": round(seconds, 3)}
        with open(self.root / "events.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the results folder, alone or, where several work in it, together with those. Raises Locked when
        another process holds it otherwise, StorageError when the folder cannot be written."""
        from filelock import ReadWriteLock, Timeout

        with as_storage_error(self.root):
            self.stages.mkdir(parents=True, exist_ok=True)
            held = ReadWriteLock(self.stages / ".lock", is_singleton=False)
            acquire = held.acquire_read if self.several else held.acquire_write
            try:
                acquire(timeout=0)
            except Timeout:
                raise Locked(f"{self.root}: another process works in this folder; wait for it, or use --out.") from None
        try:
            if not self.several:
                shutil.rmtree(self.stages / ".scratch", ignore_errors=True)
            with as_storage_error(self.root):
                yield
        finally:
            held.release()

    @contextmanager
    def _alone(self, stage: Stage) -> Iterator[None]:
        """Nobody else makes this stage meanwhile."""
        if not self.several:
            yield
            return
        from filelock import FileLock

        (self.stages / ".locks").mkdir(parents=True, exist_ok=True)
        with FileLock(self.stages / ".locks" / stage.folder, is_singleton=False):
            yield


def write_text(path: Path, text: str) -> None:
    """Write a file whole, as UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole: beside its place, synced, then renamed over it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")  # several processes may write the same file
    with as_storage_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)


def _fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, which is synced to disk on the way."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
