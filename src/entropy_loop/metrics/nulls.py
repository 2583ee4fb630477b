"""What chance alone does: rates and null bands of c when nothing happens to the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from entropy_loop.metrics.rates import Interval

REPLICATES = 4000
Diet = Callable[[Sequence[np.ndarray], np.random.Generator], np.ndarray]
"""A regime as rates see it: from the rates of what generations 0..g kept, one float array (replicates,) each,
to the rate of what generation g+1 trains on, with its real images and its own draws. So for the shares of an
attribute, (replicates, values)."""


@dataclass(frozen=True)
class Drift:
    """What moves an arm's rates when the model copies perfectly: `kept` images of each pool, chosen blindly (repeats:
    with putting back), are fed back by `diet`."""

    kept: int
    diet: Diet
    repeats: bool = False


def neutral(first_hits: np.ndarray, images: int, drift: Drift, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Rates of the pools of a perfect copier (docs/laws.md, E11), float array (replicates, steps + 1).

    first_hits: int array (replicates,), hits among the `images` of generation 0's pool. Each next pool is drawn at the
    rate of the diet.
    """
    return _copied([], first_hits, images, drift, steps, rng)


def sampling_band(hits1: int, n1: int, n2: int, seed: int) -> Interval | None:
    """95 % band of c when both pools come from one and the same model (regenerate only)."""
    rng = np.random.default_rng(seed)
    rate = pooled(hits1, n1)
    return _band(rng.binomial(n1, rate, REPLICATES) / n1, rng.binomial(n2, rate, REPLICATES) / n2)


def drift_band(
    hits: Sequence[int], n: int, drift: Drift, steps: int, seed: int, judged: int | None = None
) -> Interval | None:
    """95 % band of c over the next `steps` feedback steps for a perfect copier (docs/laws.md, E11).

    hits: of the pools (n images each) of generations 0..start; the last one is where c starts. What the
    generations before it kept enters the diet at the rates that were seen. judged: so many images of a pool were looked
    at by people, or answered; `hits` are scaled up from those.
    """
    rng = np.random.default_rng(seed)
    *before, start = hits
    looked = n if judged is None else judged
    seen = [np.full(REPLICATES, pooled(h * looked / n, looked)) for h in before]
    first = rng.binomial(n, pooled(start * looked / n, looked), REPLICATES)
    pools = said(_copied(seen, first, n, drift, steps, rng), judged, rng)
    return _band(pools[:, 0], pools[:, -1])


def glimpsed(rates: np.ndarray, images: int, judged: int, rng: np.random.Generator) -> np.ndarray:
    """Rates of `judged` images of each pool, drawn blindly, where the pools (`images` each) have `rates`."""
    if judged >= images:
        return rates
    hits = np.rint(rates * images).astype(np.int64)
    return rng.hypergeometric(hits, images - hits, judged) / judged


def said(rates: np.ndarray, judged: int | None, rng: np.random.Generator) -> np.ndarray:
    """Pools with these rates as people see them, who look at `judged` images of each; None: a judge who sees all.

    The mean share of people has the variance V (1 - V) / judged at most, whether they agree (then an image is one
    answer) or not (then even a whole pool is not known for sure), so a yes or no for each image is cautious.
    """
    return rates if judged is None else rng.binomial(judged, np.clip(rates, 0, 1)) / judged


def pooled(hits: float, n: int) -> float:
    """A rate that is never 0 or 1, so that a perfect pool does not claim to be beyond chance."""
    return (hits + 0.5) / (n + 1)


def without_replacement(images: np.ndarray, kept: int, rng: np.random.Generator) -> np.ndarray:
    """Counts (replicates, values) of `kept` images drawn blindly from those of `images`, without putting back.

    Multivariate hypergeometric, one value after the other; the last one is what is left.
    """
    chosen = np.zeros_like(images)
    after, left = images.sum(axis=1), np.full(len(images), kept)
    for value in range(images.shape[1] - 1):
        after = after - images[:, value]
        chosen[:, value] = rng.hypergeometric(images[:, value], after, left)
        left = left - chosen[:, value]
    chosen[:, -1] = left
    return chosen


def _copied(
    before: Sequence[np.ndarray], hits: np.ndarray, images: int, drift: Drift, steps: int, rng: np.random.Generator
) -> np.ndarray:
    """`neutral` after a history: `before` holds the kept rates of the generations before the first pool."""
    eaten, pools = list(before), [hits]
    for _ in range(steps):
        chosen = (
            rng.binomial(drift.kept, pools[-1] / images)
            if drift.repeats
            else rng.hypergeometric(pools[-1], images - pools[-1], drift.kept)
        )
        eaten.append(chosen / drift.kept)
        rate = np.clip(drift.diet(eaten, rng), 0, 1)  # a weighted mean of ones may round to a little more than one
        pools.append(rng.binomial(images, rate))
    return np.stack(pools, axis=1) / images


def _band(v1: np.ndarray, v2: np.ndarray) -> Interval | None:
    defined = v1 > 0
    if not defined.any():
        return None
    low, high = np.quantile(1 - v2[defined] / v1[defined], (0.025, 0.975))
    return Interval(float(low), float(high))
