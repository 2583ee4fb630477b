"""Feedback regimes: what the next generation eats of everything that was kept so far. Pure functions.

A regime is called with the history, one entry per generation 0..g, and returns the entries that enter
the diet. It never looks inside an entry, so the plan can call it with keys and the loop with selections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Replace:
    """Only what the last generation kept."""

    version: ClassVar[int] = 1

    def __call__(self, history: Sequence[Entry]) -> Sequence[Entry]:
        return history[-1:]


@dataclass(frozen=True)
class Accumulate:
    """Everything kept so far; each kept image counts once."""

    version: ClassVar[int] = 1

    def __call__(self, history: Sequence[Entry]) -> Sequence[Entry]:
        return history
