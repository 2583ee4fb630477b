"""Ray Core: workers that keep models loaded, on this machine or on a cluster with a shared file system.

This process runs every chain in its own thread and alone publishes stages. It sends a stage's maker to a worker, which
writes into the stage's scratch folder. Image sets are split into blocks, which are spread over the workers.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Annotated, Any, ClassVar

from pydantic import Field

from entropy_loop import assets
from entropy_loop.contracts import ChainT, Engine
from entropy_loop.data import Stage, Tick
from entropy_loop.errors import ConfigError, EntropyLoopError
from entropy_loop.machine import device, threads
from entropy_loop.machine.device import CHOICE
from entropy_loop.storage import disk
from entropy_loop.storage.store import Maker, Store, Unit

DEATHS = 3
"""Number of workers that may die at a unit of work before it is quarantined."""
QUARANTINE = "quarantine.jsonl"


@dataclass(frozen=True)
class Ray(Engine):
    """Chains and blocks of images spread over the workers of a Ray cluster."""

    version: ClassVar[int] = 1

    address: str | None = None
    """Cluster to join: `auto` for one that runs on this machine, or host:port. Default: start a cluster on this machine
    and stop it at the end."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Number of workers, at least 1. Default: one per GPU; without a GPU one per `threads` CPU cores."""
    object_store_memory: Annotated[int, Field(ge=80_000_000)] = 200_000_000
    """Shared memory of a cluster that is started here: bytes, at least 80,000,000. It holds only paths and tables."""

    def ready(self) -> None:
        """Raises ConfigError when Ray is not installed."""
        from importlib.util import find_spec

        if find_spec("ray") is None:
            raise ConfigError("engine: Ray is not installed; `pip install 'entropy-loop[ray]'`.")

    def carry(
        self,
        chains: Sequence[ChainT],
        store: Store,
        work: Callable[[ChainT, Store], None],
        between: Callable[[], None],
        threads: int,
    ) -> None:
        """Every chain runs to its end, even if others fail; then the first error is raised."""
        with _pool(self, store, threads) as pool:
            shared = replace(store, several=True, perform=pool.perform)
            with ThreadPoolExecutor(len(chains)) as executor:
                futures = [executor.submit(work, chain, shared) for chain in chains]
                try:
                    while wait(futures, timeout=5.0).not_done:
                        between()
                except BaseException:  # a signal: do not wait for running stages
                    pool.close()
                    raise
        for future in futures:
            future.result()


@dataclass
class _Pool:
    """The workers. start: starts one. idle: workers without work."""

    store: Store
    size: int
    start: Callable[[], Any]
    idle: Queue[Any] = field(default_factory=Queue)
    closed: bool = False

    def perform(self, stage: Stage, units: Sequence[Unit], tick: Tick) -> Iterator[Unit]:
        """Make a stage's units on the workers. All run to their end; then the first error is raised."""
        first_error = None
        with ThreadPoolExecutor(self.size) as executor:
            running = {executor.submit(self._unit, stage, unit): unit for unit in units}
            for done, future in enumerate(as_completed(running), start=1):
                if error := future.exception():
                    first_error = first_error or error
                    continue
                tick(done / len(units))
                yield running[future]
        if first_error:
            raise first_error

    def _unit(self, stage: Stage, unit: Unit) -> None:
        """Make one unit. If its worker dies, another one replaces it and tries again, up to DEATHS times."""
        import ray

        self._check_quarantine(stage, unit.images)
        for _ in range(DEATHS):
            worker, alive = self._worker(), True
            try:
                out = disk.emptied(unit.out).resolve()
                return ray.get(worker.make.remote(unit.make, str(out), stage.reads["threads"]))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError:  # the worker, its node, or its memory is gone
                alive = self.closed
                ray.kill(worker)  # if it still lives, it would keep the cores that its successor needs
            finally:  # other threads may wait for a worker
                self.idle.put(worker if alive else self.start())
        disk.append(self.store.stages / QUARANTINE, json.dumps({"stage": stage.folder, "ids": unit.images}))
        raise EntropyLoopError(self._quarantined(stage, unit.images))

    def _worker(self) -> Any:
        """The next idle worker. Raises EntropyLoopError if the pool is closed."""
        worker = self.idle.get()
        if self.closed:
            self.idle.put(worker)  # wakes the next waiting thread, which stops, too
            raise EntropyLoopError("engine: stopped.")
        return worker

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
        """Stop the workers. Threads that wait for one get an error."""
        import ray

        self.closed = True
        self.idle.put(None)
        ray.shutdown()


@contextmanager
def _pool(engine: Ray, store: Store, cores: int) -> Iterator[_Pool]:
    """A pool of workers on the cluster. A cluster that was started here stops with it."""
    _set_environment(engine)
    import ray

    join = partial(ray.init, logging_level=logging.ERROR, log_to_driver=False, namespace="entropy-loop")
    if engine.address:
        join(address=engine.address)
    else:
        join(
            address="local",
            num_cpus=engine.workers * cores if engine.workers else None,
            include_dashboard=False,
            object_store_memory=engine.object_store_memory,
            _node_ip_address="127.0.0.1",
        )
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = int(resources.get("GPU", 0))
    size = engine.workers or gpus or max(1, int(resources.get("CPU", 1)) // cores)
    cls = ray.remote(num_cpus=cores, num_gpus=1 if gpus else 0, max_restarts=0)(_Worker)
    pool = _Pool(store, size, lambda: cls.remote(os.getcwd(), os.environ.get(CHOICE, "auto")))
    try:
        for _ in range(size):
            pool.idle.put(pool.start())
        yield pool
    finally:
        pool.close()


class _Worker:
    """A worker process. Models stay loaded between stages."""

    def __init__(self, cwd: str, chosen: str) -> None:
        os.chdir(cwd)  # paths in the results are relative to the folder in which the run was started
        device.use(chosen)
        assets.restrict_libraries()

    def make(self, make: Maker, out: str, cores: int) -> None:
        threads.use(cores)
        make(Path(out), lambda share: None)


def _set_environment(engine: Ray) -> None:
    """Settings that Ray reads at import: no usage reports, and a token for a cluster that is started here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if engine.address is None:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on every system: listen on loopback only
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
