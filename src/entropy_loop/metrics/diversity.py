"""Diversity of a pool's embeddings: Vendi score and mean pairwise distance."""

from __future__ import annotations

import math

import numpy as np


def diversity(pool: np.ndarray) -> dict[str, float]:
    """Vendi score and mean pairwise distance of embeddings (n, d)."""
    return {"vendi": vendi_score(pool), "mean_pairwise_distance": mean_pairwise_distance(pool)}


def vendi_score(pool: np.ndarray) -> float:
    """Effective number of different images among embeddings (n, d): 1 for copies of one image, n for orthogonal ones.

    exp of the Shannon entropy of the eigenvalues of K/n with the cosine kernel K (Friedman & Dieng 2023,
    TMLR, arXiv 2210.02410, definition 3.1; order q = 1). It grows with n, so compare pools of one size. NaN if n = 0.
    """
    n, d = pool.shape
    if n == 0:
        return math.nan
    directions = unit(pool)
    # Both products have the same nonzero eigenvalues; the smaller one is cheaper.
    kernel = directions @ directions.T if n <= d else directions.T @ directions
    shares = np.linalg.eigvalsh(kernel / n)
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def mean_pairwise_distance(pool: np.ndarray) -> float:
    """Mean cosine distance, 1 - cosine, over all pairs of different embeddings (n, d). NaN if n < 2."""
    n = len(pool)
    if n < 2:
        return math.nan
    # The sum of all cosines is the squared length of the sum of the directions. n of them pair an image with itself.
    total = np.sum(np.sum(unit(pool), axis=0) ** 2)
    return float(1 - (total - n) / (n * (n - 1)))


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings (n, d) normalised to length one, float64."""
    rows = np.asarray(embeddings, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
