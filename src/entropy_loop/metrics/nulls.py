"""Null models: rates and bands of c when the model copies its diet perfectly, or does not change at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from entropy_loop.metrics.rates import Interval

REPLICATES = 4000
Diet = Callable[[Sequence[np.ndarray], np.random.Generator], np.ndarray]
"""A regime in terms of rates: from the rates of the images kept in generations 0..g, one float array (replicates,)
each, to the rate of the diet of generation g+1, including real images. It may draw from the random generator. The same
holds for the shares of an attribute, (replicates, values)."""


@dataclass(frozen=True)
class Drift:
    """Neutral drift of an arm: `kept` images of each pool are chosen blindly (repeats: with replacement) and fed back
    by `diet`."""

    kept: int
    diet: Diet
    repeats: bool = False


def neutral(first_hits: np.ndarray, images: int, drift: Drift, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Rates of a perfect copier's pools (docs/laws.md, E11): float (replicates, steps + 1).

    first_hits: int (replicates,), hits among the `images` of generation 0's pool. Each next pool is drawn at the rate
    of the diet.
    """
    return _simulate([], first_hits, images, drift, steps, rng)


def sampling_band(hits1: int, n1: int, n2: int, seed: int) -> Interval | None:
    """95 % band of c when both pools come from the same model."""
    rng = np.random.default_rng(seed)
    rate = pooled(hits1, n1)
    return _band(rng.binomial(n1, rate, REPLICATES) / n1, rng.binomial(n2, rate, REPLICATES) / n2)


def drift_band(
    hits: Sequence[int], n: int, drift: Drift, steps: int, seed: int, judged: int | None = None
) -> Interval | None:
    """95 % band of c over the next `steps` feedback steps for a perfect copier (docs/laws.md, E11).

    hits: in the pools, of n images each, of generations 0..start; c starts from the last one. Images kept before it
    enter the diet at their measured rates. judged: images per pool that have an answer, from which `hits` are scaled
    up; None for all.
    """
    rng = np.random.default_rng(seed)
    *before, start = hits
    answered = n if judged is None else judged
    history = [np.full(REPLICATES, pooled(h * answered / n, answered)) for h in before]
    first = rng.binomial(n, pooled(start * answered / n, answered), REPLICATES)
    pools = observed_rates(_simulate(history, first, n, drift, steps, rng), judged, rng)
    return _band(pools[:, 0], pools[:, -1])


def sampled_rates(rates: np.ndarray, images: int, judged: int, rng: np.random.Generator) -> np.ndarray:
    """Rates in a random sample of `judged` images from each pool of `images` with `rates` (any shape)."""
    if judged >= images:
        return rates
    hits = np.rint(rates * images).astype(np.int64)
    return rng.hypergeometric(hits, images - hits, judged) / judged


def observed_rates(rates: np.ndarray, judged: int | None, rng: np.random.Generator) -> np.ndarray:
    """Observed rates of pools with `rates` when people look at `judged` images each; None for a judge, who sees all.

    Each image gets one yes or no. This is cautious: the mean share of raters has at most the variance V (1 - V) /
    judged, whether raters agree or not.
    """
    return rates if judged is None else rng.binomial(judged, np.clip(rates, 0, 1)) / judged


def pooled(hits: float, n: int) -> float:
    """(hits + .5) / (n + 1): never 0 or 1, so that a pool of all or no hits still has chance variation."""
    return (hits + 0.5) / (n + 1)


def without_replacement(images: np.ndarray, kept: int, rng: np.random.Generator) -> np.ndarray:
    """Counts (replicates, values) of `kept` images drawn without replacement from counts `images`.

    Multivariate hypergeometric, one value after the other; the last value gets the rest.
    """
    chosen = np.zeros_like(images)
    after, left = images.sum(axis=1), np.full(len(images), kept)
    for value in range(images.shape[1] - 1):
        after = after - images[:, value]
        chosen[:, value] = rng.hypergeometric(images[:, value], after, left)
        left = left - chosen[:, value]
    chosen[:, -1] = left
    return chosen


def _simulate(
    before: Sequence[np.ndarray], hits: np.ndarray, images: int, drift: Drift, steps: int, rng: np.random.Generator
) -> np.ndarray:
    """`neutral` after a history: `before` holds the kept rates of the generations before the first pool."""
    kept, pools = list(before), [hits]
    for _ in range(steps):
        chosen = (
            rng.binomial(drift.kept, pools[-1] / images)
            if drift.repeats
            else rng.hypergeometric(pools[-1], images - pools[-1], drift.kept)
        )
        kept.append(chosen / drift.kept)
        rate = np.clip(drift.diet(kept, rng), 0, 1)  # a weighted mean of ones can round to above 1
        pools.append(rng.binomial(images, rate))
    return np.stack(pools, axis=1) / images


def _band(v1: np.ndarray, v2: np.ndarray) -> Interval | None:
    defined = v1 > 0
    if not defined.any():
        return None
    low, high = np.quantile(1 - v2[defined] / v1[defined], (0.025, 0.975))
    return Interval(float(low), float(high))
