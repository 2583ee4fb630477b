"""The change rate c = (V1 - V2) / V1 within one chain, and its interval. c > 0 means that recognition fell."""

from __future__ import annotations

import math
from collections.abc import Callable

from entropy_loop.metrics.rates import Interval

_CHI2_95 = 3.841458820694124  # 95 % quantile of chi-squared with one degree of freedom


def change_rate(hits1: int, n1: int, hits2: int, n2: int) -> float | None:
    """c = (V1 - V2) / V1 = 1 - V2/V1 with V = hits / n; None when V1 = 0 or a pool is empty."""
    if hits1 == 0 or n1 == 0 or n2 == 0:
        return None
    return 1 - (hits2 / n2) / (hits1 / n1)


def change_interval(hits1: int, n1: int, hits2: int, n2: int) -> Interval | None:
    """95 % interval of c: one minus the score interval of the risk ratio V2/V1.

    Koopman 1984 (Biometrics 40:513). It is also defined at V2 = 0 and at V1 = V2 = 1, unlike the delta method. It
    treats the two pools as independent draws, so it holds within one chain only. None where c is undefined.
    """
    if change_rate(hits1, n1, hits2, n2) is None:
        return None
    ratio = (hits2 / n2) / (hits1 / n1)

    def excess(log_theta: float) -> float:
        return _score(math.exp(log_theta), hits1, n1, hits2, n2) - _CHI2_95

    centre = math.log(ratio) if ratio > 0 else math.log(1e-9)
    low = 0.0 if hits2 == 0 else math.exp(_crossing(excess, centre, -1))
    return Interval(1 - math.exp(_crossing(excess, centre, +1)), 1 - low)


def _score(theta: float, hits1: int, n1: int, hits2: int, n2: int) -> float:
    """Score statistic of the hypothesis V2 = theta V1, with the maximum-likelihood rates under it."""
    # The root of (n1 + n2) p2^2 - b p2 + theta (hits1 + hits2) = 0, in the form without cancellation.
    b = theta * (n2 + hits1) + hits2 + n1
    root = math.sqrt(max(0.0, b * b - 4 * theta * (n1 + n2) * (hits1 + hits2)))
    p1 = 2 * (hits1 + hits2) / (b + root)
    p2 = theta * p1
    variance = p2 * (1 - p2) / n2 + theta * theta * p1 * (1 - p1) / n1
    difference = hits2 / n2 - theta * hits1 / n1
    if variance <= 0:
        return 0.0 if difference == 0 else math.inf
    return difference * difference / variance


def _crossing(excess: Callable[[float], float], start: float, step: float) -> float:
    """The point where `excess` becomes positive, from `start` in the direction of `step`'s sign."""
    from scipy.optimize import brentq

    inner, outer = start, start + step * 0.01
    while excess(outer) <= 0:
        inner, step = outer, 2 * step
        outer = inner + step * 0.01
    return float(brentq(excess, inner, outer, xtol=1e-12))
