"""The breeder's ledger of one feedback step: the parts of curation and training in the change of V.

response V(next) - V(pool) = curation V(diet) - V(pool) + training V(next) - V(diet), exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from entropy_loop.metrics.rates import Interval, wilson


class Group(NamedTuple):
    """`hits` of `n` judged images show the concept. in_pool: they belong to this generation's pool. copies: how often
    each is in the diet, 0 for pool images that are not in it."""

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
    """The ledger of a step. groups: pool and diet. kept, following: (hits, n) of the kept images and the next pool.

    Rates without judged images are missing with a reason. Transmission is response / curation; it is also missing when
    the interval of curation contains 0, because it would divide by noise.
    """
    v_pool = _rate([(g, g.n) for g in groups if g.in_pool])
    v_diet = _rate([(g, g.n * g.copies) for g in groups if g.copies])
    v_kept, v_next = (hits / n if n else None for hits, n in (kept, following))
    curation, response = _minus(v_diet, v_pool), _minus(v_next, v_pool)
    interval = None if curation is None else _curation_interval(groups)
    low, high = interval or (None, None)
    nonzero = interval is not None and not interval.low <= 0 <= interval.high
    transmission = response / curation if nonzero and curation and response is not None else None
    rates = {"pool": v_pool, "kept": v_kept, "diet": v_diet, "next pool": v_next}
    reasons = [f"not judged: {name}" for name, rate in rates.items() if rate is None]
    if interval and not nonzero:
        reasons.append("no transmission: the interval of curation holds 0")
    training, reason = _minus(v_next, v_diet), "; ".join(reasons)
    return Ledger(v_pool, v_kept, v_diet, v_next, curation, low, high, training, response, transmission, reason)


def _rate(weighted: Sequence[tuple[Group, int]]) -> float | None:
    """Weighted mean rate; None without a group, or when a group has no judged images."""
    total = sum(weight for _, weight in weighted)
    if not total or any(group.n == 0 for group, _ in weighted):
        return None
    return sum(weight * group.hits / group.n for group, weight in weighted) / total


def _curation_interval(groups: Sequence[Group]) -> Interval:
    """95 % interval of V(diet) - V(pool) = sum of (share of diet - share of pool) V(group).

    Pool images in the diet, other pool images, older images and real ones are independent groups, also under blind
    curation. Their Wilson limits are combined as in Zou, Huang & Zhang 2009 (Comput. Stat. Data Anal. 53:1080).
    With regime replace and k of N images in the diet, this is (1 - k/N) times Newcombe's interval (1998, Statistics in
    Medicine 17:873, method 10) of those in the diet against the others. With k = N it is exactly 0.
    """
    diet, pool = sum(g.n * g.copies for g in groups), sum(g.n for g in groups if g.in_pool)
    middle = below = above = 0.0
    for g in groups:
        share = g.n * g.copies / diet - g.n * g.in_pool / pool
        rate, limits = g.hits / g.n, wilson(g.hits, g.n)
        low, high = sorted((share * limits.low, share * limits.high))
        middle += share * rate
        below += (share * rate - low) ** 2
        above += (high - share * rate) ** 2
    return Interval(middle - math.sqrt(below), middle + math.sqrt(above))


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
