"""Stage folders: the only writer of results.

A stage makes one folder, once. `once` opens the finished folder, or makes it in a scratch folder, writes the receipt
last and publishes it by one rename. That is cache, resume and record. Work in parts, such as the blocks of a pool, is
first published part by part in the scratch folder: a kill at any moment costs one part.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from entropy_loop.data import Stage, Tick
from entropy_loop.errors import Locked, StorageError, as_storage_error
from entropy_loop.machine.device import Description
from entropy_loop.storage import disk, receipts
from entropy_loop.storage.provenance import current_device
from entropy_loop.storage.receipts import Receipt

HOLDER = ".holder"
ASKING = 30.0  # seconds: longer than a healthy process takes to ask for the folder
SCRATCH = ".scratch"
LOCKS = ".locks"
Maker = Callable[[Path, Tick], None]
"""Fills a folder."""
Task = Callable[[], None]
Listener = Callable[[str, Stage, float], None]
"""Called with ("opened" | "started" | "working" | "finished", stage, share done)."""


def silent(event: str, stage: Stage, share: float) -> None:
    """The default listener does nothing."""


class Parted(ABC):
    """A maker of images that can also make them in parts."""

    @property
    @abstractmethod
    def images(self) -> list[str]:
        """The ids of its images."""

    @abstractmethod
    def __call__(self, out: Path, tick: Tick) -> None:
        """Make all of them at once."""

    @abstractmethod
    def parts(self) -> Sequence[Parted]:
        """One maker per part, in order; a single one if there is nothing to split."""

    @abstractmethod
    def join(self, parts: list[Path], out: Path) -> None:
        """Join the folders of the parts into `out`."""


@dataclass(frozen=True)
class Unit:
    """Work for one worker: a maker, and the folder that it fills."""

    make: Maker
    out: Path

    @property
    def images(self) -> list[str]:
        """The ids of the images that the maker makes, if it is `Parted`."""
        return self.make.images if isinstance(self.make, Parted) else []

    def made(self, tick: Tick) -> Made:
        """Fill the folder, in this process."""
        began = time.perf_counter()
        self.make(disk.emptied(self.out), tick)
        return Made(self.out, time.perf_counter() - began, current_device())


@dataclass(frozen=True)
class Made:
    """A folder that was filled, how long that took, and the device that computed it (None without torch)."""

    out: Path
    seconds: float
    device: Description | None


Performer = Callable[[Stage, Sequence[Unit], Tick], Iterator[Made]]
"""Makes the units of a stage, here or on workers, and yields each one when it is done."""


def here(stage: Stage, units: Sequence[Unit], tick: Tick) -> Iterator[Made]:
    """Make the units of a stage in this process, one after the other."""
    for done, unit in enumerate(units):
        yield unit.made(partial(_tick, tick, done, len(units)))


def at_once(task: Task) -> None:
    """Do a task now."""
    task()


def _join(make: Parted, parts: list[Path], out: Path, tick: Tick) -> None:
    make.join(parts, out)


def _tick(tick: Tick, done: int, of: int, share: float) -> None:
    """Report the share done of one unit as a share of all units."""
    tick((done + share) / of)


def _no_locks(error: OSError | sqlite3.OperationalError) -> bool:
    """Whether a lock failed because the file system has none."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorname.endswith("LOCK") or error.sqlite_errorname == "SQLITE_PROTOCOL"
    return error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Store:
    """The results of one experiment: `root` with tables and report, `root/store` with the stages.

    perform: does the work of a stage. aside: does a task of a chain that its next generation does not wait for, at once
    or beside the chain; the tasks of a chain are done in order. several: other threads or processes make stages in the
    same folder too; then each stage has a lock of its own, and whoever comes second opens the finished stage.
    """

    root: Path
    provenance: Mapping[str, object] = field(default_factory=dict)
    listen: Listener = silent
    perform: Performer = here
    aside: Callable[[Task], None] = at_once
    several: bool = False
    checked: set[str] = field(default_factory=set, repr=False, compare=False)  # keys of stages known to be undamaged

    def __reduce__(self) -> tuple[type[Store], tuple[Path, Mapping[str, object]]]:
        """Another process gets a store that only reads: without listener and performer."""
        return Store, (self.root, self.provenance)

    @property
    def stages(self) -> Path:
        return self.root / "store"

    def finished(self, stage: Stage) -> Path | None:
        """The stage's folder if it was made, else None."""
        folder = self.stages / stage.folder
        return folder if (folder / receipts.FILE).is_file() else None

    def damaged(self) -> Iterator[tuple[str, list[str]]]:
        """(folder, faults) of every finished stage whose files differ from its receipt. Reads every byte."""
        for receipt in sorted(self.stages.glob(f"*/{receipts.FILE}")):
            if faults := receipts.faults(receipt.parent, strangers=True):
                yield receipt.parent.name, faults

    def invalidate(self, folder: str) -> None:
        """Delete a damaged stage's receipt, so that it is made anew; its files stay until then."""
        disk.invalidate(self.stages / folder)

    def once(self, stage: Stage, make: Maker) -> Path:
        """The stage's folder; `make(scratch folder, tick)` is called only if it is not there yet."""
        if folder := self._opened(stage):
            return folder
        with self._stage_lock(stage):
            return self._opened(stage) or self._make(stage, make)

    def _opened(self, stage: Stage) -> Path | None:
        if folder := self.finished(stage):
            self.listen("opened", stage, 1.0)
        return folder

    def _make(self, stage: Stage, make: Maker) -> Path:
        self._check_needs(stage)
        self.listen("started", stage, 0.0)
        scratch = self.stages / SCRATCH / stage.folder
        started = datetime.now(UTC)
        with as_storage_error(scratch):
            made = self._fill(stage, make, scratch)
            folder = self._publish(stage, made, started)
            disk.remove(scratch)
        self._log(stage, started, made.seconds)
        self.listen("finished", stage, 1.0)
        return folder

    def _fill(self, stage: Stage, make: Maker, scratch: Path) -> Made:
        """Make the stage's files in a folder of its scratch folder."""
        whole = scratch / "whole"
        if isinstance(make, Parted) and len(parts := make.parts()) > 1:
            return self._joined(stage, make, parts, scratch, whole)
        (made,) = self._perform(stage, [Unit(make, whole)])
        return made

    def _joined(self, stage: Stage, make: Parted, parts: Sequence[Parted], scratch: Path, whole: Path) -> Made:
        """Make a stage from its parts. Parts that an earlier process finished are not made again."""
        folders = [scratch / f"part-{number:05d}" for number in range(len(parts))]
        missing = [
            Unit(part, scratch / f"{folder.name}.new")
            for part, folder in zip(parts, folders, strict=True)
            if receipts.faults(folder, strangers=True)
        ]
        seconds = 0.0
        for made in self._perform(stage, missing, 1 - len(missing) / len(parts)):
            disk.publish(made.out, made.out.with_suffix(""), {"format": 1, "part_of": stage.key})
            seconds += made.seconds
        (joined,) = self._perform(stage, [Unit(partial(_join, make, folders), whole)], 1.0)
        return replace(joined, seconds=seconds + joined.seconds)

    def _perform(self, stage: Stage, units: Sequence[Unit], before: float = 0.0) -> Iterator[Made]:
        """Make units. before: the share of the stage that is already made."""
        return self.perform(stage, units, lambda share: self.listen("working", stage, before + (1 - before) * share))

    def _check_needs(self, stage: Stage) -> None:
        """Raises StorageError when a stage that this one opens, or an ancestor of it, is damaged. Each folder is read
        once; stages that this process made are not read again."""
        wanted = list(stage.needs)
        while wanted:
            key = wanted.pop()
            if key in self.checked:
                continue
            for folder in self.stages.glob(f"*-{key}"):
                if faults := receipts.faults(folder):
                    raise StorageError(
                        f"{folder / faults[0]}; nothing was made from it. `entropy-loop verify {self.root}` "
                        "marks damaged stages; then the same command makes them anew."
                    )
                wanted += receipts.read(folder)["stage"]["reads"].get("needs", ())
            self.checked.add(key)

    def _publish(self, stage: Stage, made: Made, started: datetime) -> Path:
        receipt: Receipt = {
            "format": 1,
            "stage": {"verb": stage.verb, "generation": stage.generation, "key": stage.key, "reads": stage.reads},
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(made.seconds, 3),
            "provenance": self.provenance,
            "device": made.device,
        }
        folder = disk.publish(made.out, self.stages / stage.folder, receipt)
        self.checked.add(stage.key)
        return folder

    def _log(self, stage: Stage, started: datetime, seconds: float) -> None:
        line = {"at": started.isoformat(timespec="seconds"), "stage": stage.folder, "seconds": round(seconds, 3)}
        disk.append(self.root / "events.jsonl", json.dumps(line))

    def tidy(self) -> None:
        """Delete what killed processes left behind. Call it when every stage is finished."""
        disk.remove(self.stages / SCRATCH)
        if not self.several:
            disk.remove(self.stages / LOCKS)
        for folder in (self.root, self.root / "figures", self.stages):
            disk.remove_parts(folder)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the results folder: exclusively, or shared if `several`. Raises Locked when another process holds a
        conflicting lock, StorageError when the folder cannot be written."""
        from filelock import FileLock, ReadWriteLock, Timeout

        me = f"process {os.getpid()} on {socket.gethostname()}"
        with as_storage_error(self.root), ExitStack() as holding:
            self.stages.mkdir(parents=True, exist_ok=True)
            held = ReadWriteLock(self.stages / ".lock", is_singleton=False)
            holding.callback(self._forget, me)
            try:
                # One process asks at a time: if two ask at once, both may fail.
                with FileLock(self.stages / ".lock-asking", timeout=ASKING, is_singleton=False):
                    (held.acquire_read if self.several else held.acquire_write)(timeout=0)
                    holding.callback(held.release)
                    disk.write_text(self.stages / HOLDER, me)
            except Timeout:
                raise Locked(
                    f"{self.root}: {self._holder()} works in this folder; wait for it, or use --out."
                ) from None
            except (OSError, sqlite3.OperationalError) as error:
                if not _no_locks(error):
                    raise
                raise StorageError(
                    f"{self.root}: this file system has no locks ({error}), so two processes could write here at once; "
                    "nothing was begun. Give a folder on another disk with --out."
                ) from None
            yield

    def _holder(self) -> str:
        """The process that locked the folder last, for messages."""
        try:
            return (self.stages / HOLDER).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return "another process"

    def _forget(self, me: str) -> None:
        """Remove our name from the holder file, unless the next process has already replaced it."""
        if self._holder() == me:
            (self.stages / HOLDER).unlink(missing_ok=True)

    @contextmanager
    def _stage_lock(self, stage: Stage) -> Iterator[None]:
        """Lock this stage against other threads and processes, if `several`."""
        if not self.several:
            yield
            return
        from filelock import FileLock

        (self.stages / LOCKS).mkdir(parents=True, exist_ok=True)
        with FileLock(self.stages / LOCKS / stage.folder, is_singleton=False):
            yield
