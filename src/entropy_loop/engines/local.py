"""The reference: one run after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from entropy_loop.contracts import Chain, Engine
from entropy_loop.storage.store import Store


@dataclass(frozen=True)
class Local(Engine):
    """One run after the other, in this process."""

    version: ClassVar[int] = 1

    def ready(self) -> None:
        """It needs nothing."""

    def carry(
        self,
        runs: Sequence[Chain],
        store: Store,
        work: Callable[[Chain, Store], None],
        between: Callable[[], None],
        threads: int,
    ) -> None:
        for run in runs:
            between()
            work(run, store)
