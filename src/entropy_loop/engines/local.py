"""The reference engine: one chain after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from entropy_loop.contracts import ChainT, Engine
from entropy_loop.storage.store import Store


@dataclass(frozen=True)
class Local(Engine):
    """One chain after the other, in this process."""

    version: ClassVar[int] = 1

    def ready(self) -> None:
        """Always ready."""

    def carry(
        self,
        chains: Sequence[ChainT],
        store: Store,
        work: Callable[[ChainT, Store], None],
        between: Callable[[], None],
        threads: int,
    ) -> None:
        for chain in chains:
            between()
            work(chain, store)
