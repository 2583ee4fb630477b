"""Null bands of the change rate: how large c gets in one chain when nothing happens to the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from entropy_loop.metrics.rates import Interval

REPLICATES = 4000
Regime = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def sampling_band(hits1: int, n1: int, n2: int, seed: int) -> Interval | None:
    """95 % band of c when both pools come from one and the same model (regenerate only)."""
    rng = np.random.default_rng(seed)
    rate = _pooled(hits1, n1)
    return _band(rng.binomial(n1, rate, REPLICATES) / n1, rng.binomial(n2, rate, REPLICATES) / n2)


def drift_band(hits: Sequence[int], n: int, kept: int, regime: Regime, steps: int, seed: int) -> Interval | None:
    """95 % band of c over the next `steps` feedback steps for a perfect copier (LAWS E11).

    hits: of the pools (n images each) of generations 0..start; the last one is where c starts. From there
    on each generation draws its pool at the rate of its diet, keeps `kept` of it blindly, and the regime feeds
    back what was kept so far, generations before the start at the rates that were seen.
    """
    rng = np.random.default_rng(seed)
    *before, rate = (np.full(REPLICATES, _pooled(h, n)) for h in hits)
    eaten, pools = list(before), []
    for _ in range(steps + 1):
        drawn = rng.binomial(n, rate)
        pools.append(drawn / n)
        eaten.append(rng.hypergeometric(drawn, n - drawn, kept) / kept)
        rate = np.mean(regime(eaten), axis=0)
    return _band(pools[0], pools[-1])


def _pooled(hits: int, n: int) -> float:
    """A rate that is never 0 or 1, so that a perfect pool does not claim to be beyond chance."""
    return (hits + 0.5) / (n + 1)


def _band(v1: np.ndarray, v2: np.ndarray) -> Interval | None:
    defined = v1 > 0
    if not defined.any():
        return None
    low, high = np.quantile(1 - v2[defined] / v1[defined], (0.025, 0.975))
    return Interval(float(low), float(high))
