"""Distances between the embeddings of a pool and a reference: KID and CMMD.

Both are unbiased: their mean is 0 for two pools of one model, so single values can be negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from entropy_loop.metrics.diversity import unit

SIGMA, SCALE = 10.0, 1000.0  # of CMMD
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


def distance(pool: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """KID and CMMD between embeddings (n, d) and (m, d)."""
    return {"kid": kid(pool, reference), "cmmd": cmmd(pool, reference)}


def kid(pool: np.ndarray, reference: np.ndarray) -> float:
    """Kernel distance between features (n, d) and (m, d), not normalised, over all images rather than subsets.

    Squared maximum mean discrepancy with k(x, y) = (x.y/d + 1)^3 (Binkowski et al. 2018, arXiv 1801.01401,
    section 4). They use Inception features; KIDs are comparable only within one feature space. NaN if n or m < 2.
    """
    return _squared_mmd(_cubic, np.asarray(pool, np.float64), np.asarray(reference, np.float64))


def cmmd(pool: np.ndarray, reference: np.ndarray) -> float:
    """CLIP distance between embeddings (n, d) and (m, d), which are normalised to length one here.

    1000 times the squared maximum mean discrepancy with k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), sigma = 10
    (Jayasumana et al. 2024, arXiv 2401.09603, section 4). Their code includes the pairs of an image with itself
    (V-statistic). That adds 1000 ((1 - a)/n + (1 - b)/m), where a and b are the mean kernel within each set. The term
    grows as pools shrink and is left out here. NaN if n or m < 2.
    """
    return SCALE * _squared_mmd(_gaussian, unit(pool), unit(reference))


def _squared_mmd(kernel: Kernel, x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of Gretton et al. 2012, JMLR 13:723, equation 3."""
    if min(len(x), len(y)) < 2:
        return math.nan
    return _within(kernel(x, x)) + _within(kernel(y, y)) - 2 * float(kernel(x, y).mean())


def _within(gram: np.ndarray) -> float:
    n = len(gram)
    return float(gram.sum() - np.trace(gram)) / (n * (n - 1))


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # many times faster than base**3


def _gaussian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For rows of length one: |x - y|^2 = 2 - 2 x.y."""
    return np.exp((x @ y.T - 1) / SIGMA**2)
