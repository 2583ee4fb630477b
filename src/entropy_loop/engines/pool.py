"""Workers that make stages, for the engines `local` and `ray`, which differ only in what a worker is.

This process carries every chain in a thread of its own and alone publishes stages. A second thread per chain does what
the next generation does not wait for (evaluation sets, judgements, measures), so that runs beside the next training.
"""

from __future__ import annotations

import heapq
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Condition
from typing import Self

from entropy_loop.contracts import ChainT
from entropy_loop.data import Stage, Tick
from entropy_loop.errors import EntropyLoopError
from entropy_loop.storage import disk
from entropy_loop.storage.store import Made, Store, Task, Unit

DEATHS = 3
"""Number of workers that may die at a unit of work before it is quarantined."""
QUARANTINE = "quarantine.jsonl"
ABREAST = 4
"""Chains at work per worker: enough to have work for each, few enough to need few threads."""
ALONE = "`--workers 1` works in this process."


class WorkerDied(Exception):
    """The process of a worker is gone: killed, out of memory, or hung."""


class WorkerNotStarted(WorkerDied):
    """It ended before it could make anything."""


class Worker(ABC):
    """A process that makes one unit at a time and keeps models loaded."""

    @abstractmethod
    def make(self, unit: Unit, cores: int, tick: Tick) -> Made:
        """Fill the unit's folder with so many CPU threads. Raises the maker's own error, or WorkerDied."""

    @abstractmethod
    def kill(self) -> None:
        """End the process at once, whatever it does."""

    @abstractmethod
    def dismiss(self) -> None:
        """End the idle process in order."""


@dataclass
class Pool:
    """The workers of one run. size: how many there may be; each is started when there is work for it. start: starts
    one. idle: workers without work. waiting: ranks of the threads that wait for a worker; the lowest comes first."""

    store: Store
    size: int
    start: Callable[[], Worker]
    workers: list[Worker] = field(default_factory=list)
    idle: list[Worker] = field(default_factory=list)
    waiting: list[tuple[bool, int, int]] = field(default_factory=list)
    turn: Condition = field(default_factory=Condition)
    arrivals: Iterator[int] = field(default_factory=itertools.count)
    closed: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for worker in self.workers:
                worker.dismiss()
        else:
            self.close()

    def carry(
        self, chains: Sequence[ChainT], work: Callable[[ChainT, Store], None], between: Callable[[], None]
    ) -> None:
        """Carry every chain to its end, even if others fail; then raise the first error."""
        with ThreadPoolExecutor(min(len(chains), ABREAST * self.size)) as executor:
            try:
                futures = [executor.submit(self._carry_chain, chain, work) for chain in chains]
                while wait(futures, timeout=5.0).not_done:
                    between()
            except BaseException:  # a signal: do not wait for running stages
                self.close()
                executor.shutdown(wait=False, cancel_futures=True)
                raise
        for future in futures:
            future.result()

    def _carry_chain(self, chain: ChainT, work: Callable[[ChainT, Store], None]) -> None:
        with _Aside() as aside:
            work(chain, replace(self.store, several=True, perform=self.perform, aside=aside))

    def perform(self, stage: Stage, units: Sequence[Unit], tick: Tick) -> Iterator[Made]:
        """Make a stage's units on the workers. All run to their end; then the first error is raised."""
        first_error, shares = None, [0.0] * len(units)

        def advance(number: int, share: float) -> None:
            shares[number] = share
            tick(sum(shares) / len(shares))

        def make(number: int, unit: Unit) -> Made:
            made = self._make(stage, unit, partial(advance, number))
            advance(number, 1.0)
            return made

        with ThreadPoolExecutor(min(self.size, len(units)) or 1) as executor:
            for future in as_completed([executor.submit(make, *numbered) for numbered in enumerate(units)]):
                if error := future.exception():
                    first_error = first_error or error
                else:
                    yield future.result()
        if first_error:
            raise first_error

    def _make(self, stage: Stage, unit: Unit, tick: Tick) -> Made:
        """Make one unit. If its worker dies, another one tries again, up to DEATHS times."""
        self._check_quarantine(stage, unit.images)
        unit = replace(unit, out=unit.out.resolve())
        not_started = 0
        for _ in range(DEATHS):
            with self._worker(stage) as worker:
                try:
                    return worker.make(unit, stage.threads, tick)
                except WorkerDied as death:
                    self._remove(worker)
                    not_started += isinstance(death, WorkerNotStarted)
            if self.closed:  # the worker was killed because the run ends
                raise EntropyLoopError("engine: stopped.")
        if not_started == DEATHS:
            raise EntropyLoopError(f"engine: {DEATHS} worker processes did not start. {ALONE}")
        disk.append(self.store.stages / QUARANTINE, json.dumps({"stage": stage.folder, "ids": unit.images}))
        raise EntropyLoopError(self._quarantined(stage, unit.images))

    @contextmanager
    def _worker(self, stage: Stage) -> Iterator[Worker]:
        """An idle worker. Stages that the next generation waits for come first, then earlier generations. Raises
        EntropyLoopError if the pool is closed."""
        rank = (not stage.awaited, stage.generation, next(self.arrivals))
        with self.turn:
            heapq.heappush(self.waiting, rank)
            self.turn.wait_for(lambda: self.closed or (self.waiting[0] == rank and self._has_worker()))
            heapq.heappop(self.waiting)
            try:
                if self.closed:
                    raise EntropyLoopError("engine: stopped.")
                worker = self.idle.pop() if self.idle else self._start()
            finally:
                self.turn.notify_all()  # the next one may have a worker, too
        try:
            yield worker
        finally:
            with self.turn:
                self.idle += [worker] if worker in self.workers else []
                self.turn.notify_all()

    def _has_worker(self) -> bool:
        return bool(self.idle) or len(self.workers) < self.size

    def _start(self) -> Worker:
        try:
            self.workers.append(worker := self.start())
        except OSError as error:
            raise EntropyLoopError(f"engine: no worker process could be started ({error.strerror}). {ALONE}") from None
        return worker

    def _remove(self, worker: Worker) -> None:
        """Remove a dead worker; another one may be started in its place."""
        worker.kill()  # if it still lives, it would keep the cores and memory that its successor needs
        with self.turn:
            self.workers.remove(worker)

    def _check_quarantine(self, stage: Stage, ids: list[str]) -> None:
        """Raises EntropyLoopError if an earlier run quarantined this unit."""
        file = self.store.stages / QUARANTINE
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        if {"stage": stage.folder, "ids": ids} in [json.loads(line) for line in lines]:
            raise EntropyLoopError(self._quarantined(stage, ids))

    def _quarantined(self, stage: Stage, ids: list[str]) -> str:
        images = f" at images {', '.join(ids[:8])}{', ...' if len(ids) > 8 else ''}" if ids else ""
        return (
            f"{stage.folder}: {DEATHS} workers died{images}; put aside. Find the cause (often memory), then delete the "
            f"line in {self.store.stages / QUARANTINE} and run again."
        )

    def close(self) -> None:
        """End the workers. Threads that wait for one get an error."""
        with self.turn:
            self.closed = True
            self.turn.notify_all()
            workers = list(self.workers)
        for worker in workers:
            worker.kill()


class _Aside:
    """Runs tasks of one chain in order, in a thread of its own. After a task that failed none is run, and its error is
    raised at the next task or at the end."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(1)
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, task: Task) -> None:
        if self.error:
            raise self.error
        self.executor.submit(self._run, task)

    def _run(self, task: Task) -> None:
        try:
            if self.error is None:
                task()
        except BaseException as error:
            self.error = error

    def __exit__(self, kind: object, *_: object) -> None:
        self.executor.shutdown()
        if self.error and kind is None:
            raise self.error
