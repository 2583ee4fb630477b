"""Does a pool repeat its diet? By the similarity of each image to its nearest neighbour there."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from entropy_loop.metrics.diversity import unit
from entropy_loop.metrics.rates import Interval, wilson

QUANTILE = 0.95


class Copied(NamedTuple):
    """hits of n pool images are nearer to the diet than 95 % of the held-out real images are.

    interval: of the rate, for the threshold that was found. null: where the rate lies without copying, for a pool
    that is as the diet's images are.
    """

    hits: int
    n: int
    interval: Interval
    null: Interval


def copied(pool: np.ndarray, diet: np.ndarray, held_out: np.ndarray) -> Copied | None:
    """How much of a pool (n, d) is nearer to its diet (k, d; each image once) than real images (m, d) are; embeddings.

    held_out: real images that the diet does not contain. Those say how similar an uncopied image is to its nearest
    neighbour (the idea of Meehan et al. 2020, arXiv 2004.05675, with one threshold). None with fewer than 19 of them,
    which have no 95 % quantile, without a pool, or with fewer than two images in the diet.

    Real images are held out from a diet of real ones; a diet of generated images is nearer to everything that its
    model makes, copied or not (another pool of that very model had a rate of .20, not .05). So the null asks the diet
    itself: how often one of its images is that near to the others. In simulations with both kinds of diet 91 to 94 % of
    these 95 % bands held the rate of a pool that copied nothing, and 3 to 6 % of the rates lay above them.
    """
    n, m = len(pool), len(held_out)
    rank = math.ceil(QUANTILE * (m + 1))
    if rank > m or n == 0 or len(diet) < 2:
        return None
    threshold = np.sort(nearest_similarity(held_out, diet))[rank - 1]
    hits = int(np.sum(nearest_similarity(pool, diet) > threshold))
    among_themselves = int(np.sum(_nearest_others(diet) > threshold))
    return Copied(hits, n, wilson(hits, n), _null(n, among_themselves, len(diet)))


def nearest_similarity(images: np.ndarray, diet: np.ndarray) -> np.ndarray:
    """Cosine of each of n embeddings (n, d) and its nearest neighbour in the diet (any, d): float64 (n,)."""
    return (unit(images) @ unit(diet).T).max(axis=1)


def _nearest_others(diet: np.ndarray) -> np.ndarray:
    similarity = unit(diet) @ unit(diet).T
    np.fill_diagonal(similarity, -np.inf)
    return similarity.max(axis=1)


def _null(n: int, hits: int, k: int) -> Interval:
    """95 % band of the rate among n images when hits of k others were seen: beta-binomial, Jeffreys' prior."""
    from scipy.stats import betabinom

    low, high = betabinom.ppf((0.025, 0.975), n, hits + 0.5, k - hits + 0.5)
    return Interval(float(low) / n, float(high) / n)
