"""The reference: one run after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from entropy_loop.store import Store


@dataclass(frozen=True)
class Local:
    """One run after the other, in this process."""

    version: ClassVar[int] = 1

    def ready(self) -> None:
        """It needs nothing."""

    def carry(
        self, runs: Sequence[Any], store: Store, work: Callable[[Any, Store], None], between: Callable[[], None]
    ) -> None:
        for run in runs:
            between()
            work(run, store)
