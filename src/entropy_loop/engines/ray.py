"""Ray Core: workers on this machine, or on a cluster with a shared file system."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import Field

from entropy_loop import assets
from entropy_loop.contracts import ChainT, Engine, Needs
from entropy_loop.data import Tick
from entropy_loop.engines.pool import Pool, Worker, WorkerDied
from entropy_loop.errors import ConfigError
from entropy_loop.machine import device, threads
from entropy_loop.machine.device import CHOICE
from entropy_loop.storage.store import Made, Store, Unit


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

    def ready(self, needs: Needs) -> None:
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
        needs: Needs,
    ) -> None:
        with _pool(self, store, needs.threads) as pool:
            pool.carry(chains, work, between)


@contextmanager
def _pool(engine: Ray, store: Store, cores: int) -> Iterator[Pool]:
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
    cls = ray.remote(num_cpus=cores, num_gpus=1 if gpus else 0, max_restarts=0)(_Actor)
    start = partial(cls.remote, os.getcwd(), os.environ.get(CHOICE, "auto"))
    try:
        with Pool(store, size, lambda: _RayWorker(start())) as pool:
            yield pool
    finally:
        ray.shutdown()


@dataclass
class _RayWorker(Worker):
    """A worker of the cluster. actor: Ray's handle on its process."""

    actor: Any

    def make(self, unit: Unit, cores: int, tick: Tick) -> Made:
        import ray

        try:
            made: Made = ray.get(self.actor.make.remote(unit, cores))
            return made
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError:  # the worker, its node, or its memory is gone
            raise WorkerDied from None

    def kill(self) -> None:
        import ray

        ray.kill(self.actor)

    def dismiss(self) -> None:
        self.kill()


class _Actor:
    """The process of a worker."""

    def __init__(self, cwd: str, chosen: str) -> None:
        os.chdir(cwd)  # paths in the results are relative to the folder in which the run was started
        device.use(chosen)
        assets.restrict_libraries()

    def make(self, unit: Unit, cores: int) -> Made:
        threads.use(cores)
        return unit.made(lambda share: None)


def _set_environment(engine: Ray) -> None:
    """Settings that Ray reads at import: no usage reports, and a token for a cluster that is started here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if engine.address is None:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on every system: listen on loopback only
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
