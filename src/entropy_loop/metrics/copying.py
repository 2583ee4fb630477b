"""Does a pool repeat its diet? By the similarity of each image to its nearest neighbour there."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from entropy_loop.metrics.diversity import unit
from entropy_loop.metrics.rates import Interval, wilson

QUANTILE = 0.95


class Copied(NamedTuple):
    """hits of n pool images are nearer to the diet than 95 % of the held-out images are.

    interval: of the rate, for the threshold that was found. null: where the rate lies without copying, 0.05 and
    less in the mean.
    """

    hits: int
    n: int
    interval: Interval
    null: Interval


def copied(pool: np.ndarray, diet: np.ndarray, held_out: np.ndarray) -> Copied | None:
    """How much of a pool (n, d) is nearer to its diet (any, d) than fresh images (m, d) would be; embeddings.

    held_out: images as the diet's, that the diet does not contain. Those say how similar an uncopied image is
    to its nearest neighbour (the idea of Meehan et al. 2020, arXiv 2004.05675, with one threshold). None with
    fewer than 19 of them, which have no 95 % quantile, or without a pool or a diet.
    """
    n, m = len(pool), len(held_out)
    rank = math.ceil(QUANTILE * (m + 1))
    if rank > m or n == 0 or len(diet) == 0:
        return None
    threshold = np.sort(nearest_similarity(held_out, diet))[rank - 1]
    hits = int(np.sum(nearest_similarity(pool, diet) > threshold))
    return Copied(hits, n, wilson(hits, n), _null(n, m, rank))


def nearest_similarity(images: np.ndarray, diet: np.ndarray) -> np.ndarray:
    """Cosine of each of n embeddings (n, d) and its nearest neighbour in the diet (any, d): float64 (n,)."""
    return (unit(images) @ unit(diet).T).max(axis=1)


def _null(n: int, m: int, rank: int) -> Interval:
    """95 % band of the rate when pool and held-out images are draws of one distribution.

    The chance to exceed the rank-th of m order statistics is beta distributed, so hits are beta-binomial.
    """
    from scipy.stats import betabinom

    low, high = betabinom.ppf((0.025, 0.975), n, m + 1 - rank, rank)
    return Interval(float(low) / n, float(high) / n)
