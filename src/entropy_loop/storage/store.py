"""Stage folders: the only writer of results.

A stage makes one folder, once. `once` opens the finished folder or makes it in a scratch place, writes the
receipt last and publishes everything by one rename. That is cache, resume and record. Work that has parts, such as the
blocks of a pool, is published part by part in the scratch place first: a kill at any moment costs one part.
"""

from __future__ import annotations

import json
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from entropy_loop.data import Stage, Tick
from entropy_loop.errors import Locked, StorageError, as_storage_error
from entropy_loop.storage import disk, receipts
from entropy_loop.storage.provenance import current_device
from entropy_loop.storage.receipts import Receipt

RECEIPT = receipts.FILE
HOLDER = ".holder"
ASKING = 30.0  # seconds: longer than asking for the folder takes anybody who is not stuck
SCRATCH = ".scratch"
Maker = Callable[[Path, Tick], None]
"""Fills a folder."""
Listener = Callable[[str, Stage, float], None]
"""Told of ("opened" | "started" | "working" | "finished", stage, share done)."""


def silent(event: str, stage: Stage, share: float) -> None:
    """Nobody listens."""


class Parted(ABC):
    """A maker of images that can make them in parts, too."""

    @property
    @abstractmethod
    def images(self) -> list[str]:
        """The ids of its images."""

    @abstractmethod
    def __call__(self, out: Path, tick: Tick) -> None:
        """Make all of them at once."""

    @abstractmethod
    def parts(self) -> Sequence[Parted]:
        """A maker of each part, in their order; one alone where there is nothing to split."""

    @abstractmethod
    def join(self, parts: list[Path], out: Path) -> None:
        """Put the folders of several parts together."""


@dataclass(frozen=True)
class Unit:
    """Work for one worker: a maker, and the folder that it is to fill."""

    make: Maker
    out: Path

    @property
    def images(self) -> list[str]:
        """The ids of the images that are made, if any."""
        return self.make.images if isinstance(self.make, Parted) else []


Performer = Callable[[Stage, Sequence[Unit], Tick], Iterator[Unit]]
"""Has the units of a stage made, somewhere, and hands out each of them as soon as it is."""


def here(stage: Stage, units: Sequence[Unit], tick: Tick) -> Iterator[Unit]:
    """Make the units of a stage in this process, one after the other."""
    for done, unit in enumerate(units):
        unit.make(disk.emptied(unit.out), partial(_tick, tick, done, len(units)))
        yield unit


def _tick(tick: Tick, done: int, of: int, share: float) -> None:
    """Tell of a share of one unit as a share of them all."""
    tick((done + share) / of)


@dataclass(frozen=True)
class Store:
    """The results of one experiment: `root` with tables and report, `root/store` with the stages.

    perform: where a stage's work is done. several: whether others, threads or processes, make stages in the same
    folder; then every stage is made under a lock of its own, and who comes second opens it.
    """

    root: Path
    provenance: Mapping[str, object] = field(default_factory=dict)
    listen: Listener = silent
    perform: Performer = here
    several: bool = False
    checked: set[str] = field(default_factory=set, repr=False, compare=False)  # keys of stages that are known whole

    def __reduce__(self) -> tuple[type[Store], tuple[Path, Mapping[str, object]]]:
        """What another process gets, which reads and has nobody to tell."""
        return Store, (self.root, self.provenance)

    @property
    def stages(self) -> Path:
        return self.root / "store"

    def finished(self, stage: Stage) -> Path | None:
        """The stage's folder if it was made, else None."""
        folder = self.stages / stage.folder
        return folder if (folder / RECEIPT).is_file() else None

    def receipt(self, stage: Stage) -> Receipt:
        """What a finished stage wrote down of itself. Raises StorageError when it is damaged."""
        return receipts.read(self.stages / stage.folder)

    def damaged(self) -> Iterator[tuple[str, list[str]]]:
        """(folder, what is wrong with it) of every finished stage whose files are not those of its receipt. Reads every
        byte."""
        for receipt in sorted(self.stages.glob(f"*/{RECEIPT}")):
            if faults := receipts.faults(receipt.parent, strangers=True):
                yield receipt.parent.name, faults

    def invalidate(self, folder: str) -> None:
        """Take the receipt from a damaged stage, so that it is made anew; its files stay until then."""
        disk.invalidate(self.stages / folder)

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
        self._check_needs(stage)
        self.listen("started", stage, 0.0)
        scratch = self.stages / SCRATCH / stage.folder
        started, clock = datetime.now(UTC), time.perf_counter()
        with as_storage_error(scratch):
            whole = self._made(stage, make, scratch)
            seconds = time.perf_counter() - clock
            folder = self._publish(stage, whole, started, seconds)
            disk.remove(scratch)
        self._log(stage, started, seconds)
        self.listen("finished", stage, 1.0)
        return folder

    def _made(self, stage: Stage, make: Maker, scratch: Path) -> Path:
        """The stage's files in a folder of its scratch."""
        whole = scratch / "whole"
        if isinstance(make, Parted) and len(parts := make.parts()) > 1:
            make.join(self._parts(stage, parts, scratch), disk.emptied(whole))
        else:
            list(self._perform(stage, [Unit(make, whole)]))
        return whole

    def _parts(self, stage: Stage, parts: Sequence[Parted], scratch: Path) -> list[Path]:
        """The folders of a stage's parts, in their order. What an earlier process finished is not made again."""
        folders = [scratch / f"part-{number:05d}" for number in range(len(parts))]
        missing = [
            Unit(part, scratch / f"{folder.name}.new")
            for part, folder in zip(parts, folders, strict=True)
            if receipts.faults(folder, strangers=True)
        ]
        for unit in self._perform(stage, missing, 1 - len(missing) / len(parts)):
            disk.publish(unit.out, unit.out.with_suffix(""), {"format": 1, "part_of": stage.key})
        return folders

    def _perform(self, stage: Stage, units: Sequence[Unit], before: float = 0.0) -> Iterator[Unit]:
        """Have units made. before: the share of the stage that is made already."""
        return self.perform(stage, units, lambda share: self.listen("working", stage, before + (1 - before) * share))

    def _check_needs(self, stage: Stage) -> None:
        """Raises StorageError when a stage that this one opens, or one that those follow from, is not as it was
        written. Each folder is read once; what this process made itself is known to be whole."""
        wanted = list(stage.needs)
        while wanted:
            key = wanted.pop()
            if key in self.checked:
                continue
            for folder in self.stages.glob(f"*-{key}"):
                if faults := receipts.faults(folder):
                    raise StorageError(
                        f"{folder / faults[0]}; nothing was made from it. `entropy-loop verify {self.root}` puts "
                        "damaged stages aside, then the same command makes them anew."
                    )
                wanted += receipts.read(folder)["stage"]["reads"].get("needs", ())
            self.checked.add(key)

    def _publish(self, stage: Stage, whole: Path, started: datetime, seconds: float) -> Path:
        receipt: Receipt = {
            "format": 1,
            "stage": {"verb": stage.verb, "generation": stage.generation, "key": stage.key, "reads": stage.reads},
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "provenance": self.provenance,
            "device": current_device(),
        }
        folder = disk.publish(whole, self.stages / stage.folder, receipt)
        self.checked.add(stage.key)
        return folder

    def _log(self, stage: Stage, started: datetime, seconds: float) -> None:
        line = {"at": started.isoformat(timespec="seconds"), "stage": stage.folder, "seconds": round(seconds, 3)}
        disk.append(self.root / "events.jsonl", json.dumps(line))

    def tidy(self) -> None:
        """Take away what killed processes left behind, when nothing is unfinished any more."""
        disk.remove(self.stages / SCRATCH)
        for folder in (self.root, self.root / "figures", self.stages):
            disk.remove_parts(folder)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the results folder, alone or, where several work in it, together with those. Raises Locked when
        another process holds it otherwise, StorageError when the folder cannot be written."""
        from filelock import FileLock, ReadWriteLock, Timeout

        me = f"process {os.getpid()} on {socket.gethostname()}"
        with as_storage_error(self.root), ExitStack() as holding:
            self.stages.mkdir(parents=True, exist_ok=True)
            held = ReadWriteLock(self.stages / ".lock", is_singleton=False)
            holding.callback(self._forget, me)
            try:
                # One asks at a time: of two that ask at once both may be told that the other has it.
                with FileLock(self.stages / ".lock-asking", timeout=ASKING, is_singleton=False):
                    (held.acquire_read if self.several else held.acquire_write)(timeout=0)
                    holding.callback(held.release)
                    disk.write_text(self.stages / HOLDER, me)
            except Timeout:
                raise Locked(
                    f"{self.root}: {self._holder()} works in this folder; wait for it, or use --out."
                ) from None
            yield

    def _holder(self) -> str:
        """Who holds the folder, as far as it is written down: the last one that got in, while it is there."""
        try:
            return (self.stages / HOLDER).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return "another process"

    def _forget(self, me: str) -> None:
        """After the folder was let go: by now the next one may be written down."""
        if self._holder() == me:
            (self.stages / HOLDER).unlink(missing_ok=True)

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
