"""Recognition rates: how many of n images show a concept."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from entropy_loop.data import ALL


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def wilson(hits: int, n: int) -> Interval:
    """Wilson's score interval of a rate (Wilson 1927, JASA 22:209), n positive:
    (p + z^2/2n -+ z sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n)."""
    from scipy.special import ndtri  # scipy.stats has the interval, and takes most of a second to import

    z, p = float(ndtri(0.975)), hits / n
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return Interval((centre - half) / scale if hits else 0.0, (centre + half) / scale if hits < n else 1.0)


def newcombe(first: tuple[int, int], second: tuple[int, int]) -> Interval:
    """Newcombe's score interval of a difference of two rates, p1 - p2 (1998, Statistics in Medicine 17:873, method 10);
    each is given as (hits, n), n positive. With Wilson's limits l and u of each rate:
    [d - sqrt((p1 - l1)^2 + (u2 - p2)^2), d + sqrt((u1 - p1)^2 + (p2 - l2)^2)], d = p1 - p2."""
    (p1, one), (p2, other) = ((hits / n, wilson(hits, n)) for hits, n in (first, second))
    below, above = math.hypot(p1 - one.low, other.high - p2), math.hypot(one.high - p1, p2 - other.low)
    return Interval(p1 - p2 - below, p1 - p2 + above)


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
