"""The breeder's ledger of one feedback step: what curation and the regime did, and what training did.

response V(next) - V(pool) = curation V(diet) - V(pool) + training V(next) - V(diet), exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from entropy_loop.metrics.rates import Interval, wilson


class Group(NamedTuple):
    """`hits` of `n` judged images that share their place: in this generation's pool or not, and how many
    `copies` of each are in the diet (0: not eaten). Images of the pool that were not eaten are a group too."""

    hits: int
    n: int
    in_pool: bool
    copies: int


@dataclass(frozen=True)
class Ledger:
    """Rates and their differences for one step and concept, None where missing. Columns of ledger.csv."""

    v_pool: float | None
    v_kept: float | None
    v_diet: float | None
    v_next: float | None
    curation: float | None
    curation_low: float | None
    curation_high: float | None
    training: float | None
    response: float | None
    transmission: float | None
    reason: str


def ledger(groups: Sequence[Group], kept: tuple[int, int], following: tuple[int, int]) -> Ledger:
    """The ledger from counts: `groups` make up pool and diet; (hits, n) of what was kept and of the next pool.

    Whatever lacks a judged image is missing with a reason. Transmission, response over curation, is also missing
    when the interval of curation holds 0: it would divide by noise.
    """
    v_pool = _rate([(g, g.n) for g in groups if g.in_pool])
    v_diet = _rate([(g, g.n * g.copies) for g in groups if g.copies])
    v_kept, v_next = (hits / n if n else None for hits, n in (kept, following))
    curation, response = _minus(v_diet, v_pool), _minus(v_next, v_pool)
    interval = None if curation is None else _curation_interval(groups)
    low, high = interval or (None, None)
    shown = interval is not None and not interval.low <= 0 <= interval.high
    transmission = response / curation if shown and curation and response is not None else None
    rates = {"pool": v_pool, "kept": v_kept, "diet": v_diet, "next pool": v_next}
    reasons = [f"not judged: {name}" for name, rate in rates.items() if rate is None]
    if interval and not shown:
        reasons.append("no transmission: the interval of curation holds 0")
    training, reason = _minus(v_next, v_diet), "; ".join(reasons)
    return Ledger(v_pool, v_kept, v_diet, v_next, curation, low, high, training, response, transmission, reason)


def _rate(weighted: Sequence[tuple[Group, int]]) -> float | None:
    """Weighted mean rate; None when there is no group, or one in which nothing was judged."""
    total = sum(weight for _, weight in weighted)
    if not total or any(group.n == 0 for group, _ in weighted):
        return None
    return sum(weight * group.hits / group.n for group, weight in weighted) / total


def _curation_interval(groups: Sequence[Group]) -> Interval:
    """95 % interval of V(diet) - V(pool) = sum of (share of diet - share of pool) V(group).

    Eaten and uneaten images of the pool, older images and real ones are independent groups, also under blind
    curation; their Wilson limits are combined as Zou, Huang & Zhang 2009 (Comput. Stat. Data Anal. 53:1080) do.
    With replace and k of N eaten this is (1 - k/N) times Newcombe's interval (1998, Statistics in Medicine
    17:873, method 10) of eaten against uneaten; with k = N it is exactly 0.
    """
    eaten, pool = sum(g.n * g.copies for g in groups), sum(g.n for g in groups if g.in_pool)
    middle = below = above = 0.0
    for g in groups:
        share = g.n * g.copies / eaten - g.n * g.in_pool / pool
        rate, limits = g.hits / g.n, wilson(g.hits, g.n)
        least, most = sorted((share * limits.low, share * limits.high))
        middle += share * rate
        below += (share * rate - least) ** 2
        above += (most - share * rate) ** 2
    return Interval(middle - math.sqrt(below), middle + math.sqrt(above))


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
