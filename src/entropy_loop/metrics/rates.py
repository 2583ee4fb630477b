"""Recognition rates and their intervals."""

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
    """Wilson's score interval of a rate (Wilson 1927, JASA 22:209), n > 0:
    (p + z^2/2n -+ z sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n)."""
    from scipy.special import ndtri  # scipy.stats has the interval, but takes most of a second to import

    z, p = float(ndtri(0.975)), hits / n
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return Interval((centre - half) / scale if hits else 0.0, (centre + half) / scale if hits < n else 1.0)


def newcombe(first: tuple[int, int], second: tuple[int, int]) -> Interval:
    """Newcombe's score interval of a difference of two rates, p1 - p2 (1998, Statistics in Medicine 17:873, method 10).
    Each is given as (hits, n), n > 0. With Wilson's limits l and u of each rate:
    [d - sqrt((p1 - l1)^2 + (u2 - p2)^2), d + sqrt((u1 - p1)^2 + (p2 - l2)^2)], d = p1 - p2."""
    (p1, w1), (p2, w2) = ((hits / n, wilson(hits, n)) for hits, n in (first, second))
    below, above = math.hypot(p1 - w1.low, w2.high - p2), math.hypot(w1.high - p1, p2 - w2.low)
    return Interval(p1 - p2 - below, p1 - p2 + above)


def answers(judgements: pd.DataFrame, concepts: tuple[str, ...]) -> pd.DataFrame:
    """One row per image, one boolean column per concept and one for `all` (see `joint`); answers can be missing."""
    table = judgements.pivot(index="id", columns="concept", values="answer").reindex(columns=list(concepts))
    table = table.astype("boolean")
    return table.assign(**{ALL: joint(table)})


def joint(table: pd.DataFrame) -> pd.Series:
    """Kleene's and over boolean columns: no if any is no, otherwise missing if any is missing, otherwise yes."""
    every = pd.Series(True, index=table.index, dtype="boolean")
    for name in table.columns:
        every = every & table[name]
    return every
