"""Recognition rates: how many of n images show a concept."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from entropy_loop.data import ALL


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def wilson(hits: int, n: int) -> Interval:
    """Wilson's score interval of a rate (Wilson 1927, JASA 22:209). n must be positive."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(float(found.low), float(found.high))


def answers(judgements: pd.DataFrame, concepts: tuple[str, ...]) -> pd.DataFrame:
    """One row per image, one boolean column per concept and one for `all`; missing answers stay missing.

    An image lacks an answer for `all` when it lacks one for any of its concepts and none of the others is
    already a no.
    """
    table = judgements.pivot(index="id", columns="concept", values="answer").reindex(columns=list(concepts))
    table = table.astype("boolean")
    return table.assign(**{ALL: joint(table)})


def joint(table: pd.DataFrame) -> pd.Series:
    """Kleene's and over the columns (dtype boolean): a no decides, otherwise a missing answer is missing."""
    every = pd.Series(True, index=table.index, dtype="boolean")
    for name in table.columns:
        every = every & table[name]
    return every
