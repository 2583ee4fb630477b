"""The default engine: worker processes on this machine, one per core, or this process alone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.sharedctypes import RawValue
from threading import Lock, Thread
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, cast

import psutil
from pydantic import Field

from entropy_loop import assets
from entropy_loop.contracts import ChainT, Engine, Needs
from entropy_loop.data import Tick
from entropy_loop.engines.pool import ALONE, Pool, Worker, WorkerDied, WorkerNotStarted
from entropy_loop.errors import ConfigError, EntropyLoopError, as_storage_error
from entropy_loop.machine import device, distributed, resources, threads
from entropy_loop.storage.store import Made, Store, Unit

if TYPE_CHECKING:
    from ctypes import c_double
    from multiprocessing.connection import Connection

T = TypeVar("T")
POLL = 0.5
"""Seconds between two reports of a worker's progress."""
LOOK = 10.0
"""Seconds between two looks at the CPU time that it uses."""
SENDABLE = ("builtins", EntropyLoopError.__module__)
"""Modules whose errors every process can rebuild. Of another error, a worker sends the name and the message."""
GONE = 5.0
"""Longest wait, in seconds, for a killed worker to be gone."""
WORTH = 0.5
"""TFLOP of work below which no worker is started: a core computes it in the seconds that a worker takes to start."""
HUNG = 3600.0
"""Seconds in which a worker and its child processes use no CPU time at all, after which it counts as hung."""


@dataclass(frozen=True)
class Local(Engine):
    """Worker processes on this machine: chains side by side, pools split at blocks, and what the next generation does
    not wait for beside its training."""

    version: ClassVar[int] = 1

    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Number of worker processes, at least 1. Each has `threads` CPU threads. `1` works in this process. `auto` starts
    as many as cores and memory allow, but works in this process on a GPU, under `accelerate launch`, and for a few
    seconds of work."""

    def ready(self, needs: Needs) -> None:
        """Raises ConfigError when memory does not hold so many workers, or when `accelerate launch` started several
        processes."""
        if self.workers in ("auto", 1):
            return
        if distributed.processes() > 1:
            raise ConfigError("engine.workers: the processes of `accelerate launch` train together; leave it out.")
        wanted, free = int(self.workers) * needs.memory, resources.memory()
        if wanted > free:
            raise ConfigError(
                f"engine.workers: {self.workers} workers take about {wanted / 1e9:.1f} GB, and {free / 1e9:.1f} GB of "
                f"memory are free; give {max(1, free // needs.memory)} at most, or auto."
            )

    def carry(
        self,
        chains: Sequence[ChainT],
        store: Store,
        work: Callable[[ChainT, Store], None],
        between: Callable[[], None],
        needs: Needs,
    ) -> None:
        if (size := self._size(needs)) > 1:
            with Pool(store, size, lambda: _Process(needs.threads)) as pool:
                pool.carry(chains, work, between)
            return
        for chain in chains:
            between()
            work(chain, store)

    def _size(self, needs: Needs) -> int:
        if self.workers != "auto":
            return self.workers
        if needs.tflop < WORTH or distributed.processes() > 1 or device.accelerated():
            return 1
        return max(1, min(resources.cores() // needs.threads, resources.memory() // needs.memory))


class _Process(Worker):
    """A worker process. Each has an executor of its own, because an executor fails as a whole when a process dies."""

    def __init__(self, cores: int) -> None:
        threads.use(cores)  # the worker's libraries read the environment when they are loaded
        self.share: c_double = RawValue("d", 0.0)
        context = _Spawn()
        # Not an argument of `submit`: a plug-in that cannot be sent or loaded would end the worker without a message.
        units, self.units = Pipe(duplex=False)
        initial = (units, self.share, os.environ.get(device.CHOICE, "auto"))
        self.executor = ProcessPoolExecutor(1, context, _begin, initial)
        with _without_main(), _without_sigint():
            self.started = self.executor.submit(os.getpid)
        units.close()
        self.family = _family(cast(int, context.last.pid))

    def make(self, unit: Unit, cores: int, tick: Tick) -> Made:
        try:
            self._watched(self.started, tick)
        except (BrokenProcessPool, CancelledError):
            raise WorkerNotStarted from None
        try:
            result = self.executor.submit(_make, cores)
            self._send(unit)
            return self._watched(result, tick)
        except (BrokenProcessPool, CancelledError, BrokenPipeError):
            raise WorkerDied from None

    def _send(self, unit: Unit) -> None:
        try:
            self.units.send(unit)
        except BrokenPipeError:
            raise
        except Exception as error:
            self.units.send(None)  # the worker waits for something
            raise EntropyLoopError(f"engine: a plug-in cannot be sent to a worker ({error}). {ALONE}") from error

    def _watched(self, result: Future[T], tick: Tick) -> T:
        """The result, as soon as it is there. Raises WorkerDied when the worker hangs."""
        used, since, looked = -1.0, time.monotonic(), 0.0
        while not result.done():
            wait([result], POLL)
            tick(self.share.value)
            now = time.monotonic()
            if now - looked < min(LOOK, HUNG / 2):
                continue
            self.family, looked = _family(self.family[0].pid) if self.family else [], now
            if (seconds := _cpu_seconds(self.family)) != used:  # it also falls, when a child process ends
                used, since = seconds, now
            elif now - since > HUNG:
                raise WorkerDied
        return result.result()

    def kill(self) -> None:
        for process in self.family:  # the worker first: it could start another child process
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(self.family[:1], timeout=GONE)  # its successor writes into the same folder
        self.executor.shutdown(wait=False)

    def dismiss(self) -> None:
        self.executor.shutdown()


def _family(pid: int) -> list[psutil.Process]:
    """A worker's process, then its child processes, such as a judge's program; empty if it is gone."""
    try:
        worker = psutil.Process(pid)
        return [worker, *worker.children(recursive=True)]
    except psutil.Error:
        return []


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):  # it has just ended
            total += sum(process.cpu_times()[:2])
    return total


class _Spawn(SpawnContext):
    """Starts processes anew, without a copy of this one's memory, and knows the last one."""

    last: SpawnProcess

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        self.last = SpawnProcess(*arguments, **options)
        return self.last


_STARTING = Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide `__main__`: a new process would import it, and so run the user's script a second time."""
    with _STARTING:
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextmanager
def _without_sigint() -> Iterator[None]:
    """Hold Ctrl-C back in this thread. A process that it starts inherits that; it would otherwise print a traceback."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- in a worker ---------------------------------------------------------------------------------------

_units: Connection
"""Where this worker gets its units from."""
_share: c_double
"""The share done of the unit that it makes; the process that started the worker reads it."""


def _begin(units: Connection, share: c_double, chosen: str) -> None:
    global _units, _share
    _units, _share = units, share
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends its workers
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    Thread(target=_end_with_parent, daemon=True).start()
    assets.restrict_libraries()
    device.use(chosen)


def _end_with_parent() -> None:
    """A worker whose parent was killed would otherwise wait for work for ever."""
    if parent := parent_process():
        parent.join()
        for process in reversed(_family(os.getpid())):
            with suppress(psutil.Error):
                process.kill()


def _make(cores: int) -> Made:
    threads.use(cores)
    try:
        _advance(0.0)
        unit: Unit = _units.recv()
        with as_storage_error(unit.out):
            return unit.made(_advance)
    except Exception as error:
        if type(error).__module__ in SENDABLE:
            raise
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _advance(share: float) -> None:
    _share.value = share
