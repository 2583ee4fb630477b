"""V(people): the mean over a pool's images of the share of raters who recognise the concept.

Answers to a pool are a float array (raters, images): 1 yes, 0 no, NaN where a rater did not see the image or could not
tell. Rows are the same raters for every pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from entropy_loop.metrics.rates import Interval, wilson

RESAMPLES = 2000
ONE_RATER = "one rater: the interval says nothing of other people"
ALIKE = "everybody says the same of every image: Wilson's interval over the images"


class Rate(NamedTuple):
    """V of n images with its 95 % interval. reason: a limitation of the interval."""

    n: int
    rate: float
    interval: Interval
    reason: str


def shares(answers: np.ndarray) -> np.ndarray:
    """Share of raters who say yes to each image, (images,); NaN without an answer."""
    answered = ~np.isnan(answers)
    count = answered.sum(axis=0)
    return np.divide(
        np.where(answered, answers, 0).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0
    )


def rate(answers: np.ndarray, seed: int) -> Rate | None:
    """V(people) of a pool; None without an answer."""
    known = shares(answers)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return None
    value = float(known.mean())
    if np.all(known == 0) or np.all(known == 1):
        return Rate(len(known), value, wilson(round(value * len(known)), len(known)), ALIKE)
    (drawn,) = resampled([answers], seed)
    raters = (~np.isnan(answers)).any(axis=1).sum()
    return Rate(len(known), value, _quantiles(drawn), ONE_RATER if raters < 2 else "")


def change_interval(before: np.ndarray, after: np.ndarray, seed: int) -> Interval | None:
    """95 % interval of c = (V1 - V2) / V1 with the same raters on both pools. None when it has no width: all answers
    are the same, or nobody recognises anything in the first pool."""
    first, last = resampled([before, after], seed)
    defined = (first > 0) & ~np.isnan(last)
    values = 1 - last[defined] / first[defined]
    return _quantiles(values) if len(values) and np.ptp(values) > 0 else None


def resampled(pools: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """V of each pool, (RESAMPLES,), in resamples of the raters and of the pool's images.

    The pigeonhole bootstrap (Owen 2007, Ann. Appl. Stat. 1:386): rows and columns are drawn independently, with
    replacement. All pools share the draws of raters. Coverage is at least nominal.
    """
    rng = np.random.default_rng(seed)
    raters = max(len(answers) for answers in pools)
    weights = rng.multinomial(raters, np.full(raters, 1 / raters), RESAMPLES).astype(float)
    return [_means(answers, weights, rng) for answers in pools]


def _means(answers: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """V in every resample: the weighted share of raters for each image, then the weighted mean over images."""
    answered = ~np.isnan(answers)
    yes, count = weights @ np.where(answered, answers, 0), weights @ answered
    share = np.divide(yes, count, out=np.zeros_like(yes), where=count > 0)
    images = answers.shape[1]
    drawn = rng.multinomial(images, np.full(images, 1 / images), RESAMPLES) * (count > 0)
    total = drawn.sum(axis=1)
    return np.divide((drawn * share).sum(axis=1), total, out=np.full(RESAMPLES, np.nan), where=total > 0)


def _quantiles(values: np.ndarray) -> Interval:
    low, high = np.nanquantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))
