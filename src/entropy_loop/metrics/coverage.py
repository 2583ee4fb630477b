"""Precision, recall, density and coverage of a pool against a reference, from nearest neighbours of embeddings."""

from __future__ import annotations

import math

import numpy as np

NEAREST = 5
SHARES = ("precision", "recall", "coverage")  # the metrics that are shares of images


def coverage(pool: np.ndarray, reference: np.ndarray, k: int = NEAREST) -> dict[str, float]:
    """Compare embeddings (n, d) of a pool and (m, d) of a reference by Euclidean distance.

    The ball of an image reaches to its k-th nearest neighbour in its own set.
    precision: share of the pool inside a ball of the reference. recall: share of the reference inside a ball of the
    pool (Kynkaanniemi et al. 2019, arXiv 1904.06991, equations 1 and 2).
    density: mean number of reference balls around a pool image, divided by k; it can exceed 1. coverage: share of the
    reference's balls with a pool image inside (Naeem et al. 2020, arXiv 2002.09797, equations 3 and 4).
    All depend on n and m, so compare pools of one size. NaN if n <= k or m <= k.
    """
    n, m = len(pool), len(reference)
    if min(n, m) <= k:
        return dict.fromkeys((*SHARES, "density"), math.nan)
    squares = _squared_distances(np.concatenate([pool, reference]).astype(np.float64))
    within_reference = squares[:n, n:] < _radii(squares[n:, n:], k)
    within_pool = squares[:n, n:] < _radii(squares[:n, :n], k)[:, None]
    return {
        "precision": float(within_reference.any(axis=1).mean()),
        "recall": float(within_pool.any(axis=0).mean()),
        "density": float(within_reference.sum(axis=1).mean() / k),
        "coverage": float(within_reference.any(axis=0).mean()),
    }


def _squared_distances(rows: np.ndarray) -> np.ndarray:
    lengths = np.sum(rows * rows, axis=1)
    squares = lengths[:, None] + lengths - 2 * rows @ rows.T
    np.fill_diagonal(squares, 0)  # exactly 0, whatever the rounding
    return squares


def _radii(squares: np.ndarray, k: int) -> np.ndarray:
    """Squared distance to the k-th neighbour; index 0 is the image itself."""
    return np.partition(squares, k, axis=1)[:, k]
