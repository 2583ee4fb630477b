import math

import numpy as np
import pytest
from prdc import compute_prdc

from entropy_loop.metrics.coverage import coverage

MODES = np.random.default_rng(0).normal(size=(6, 16))


def images(seed: int, n: int, modes: int = 6, shift: float = 0.0) -> np.ndarray:
    """n embeddings around the first `modes` of six centres."""
    rng = np.random.default_rng(seed)
    return MODES[rng.integers(modes, size=n)] + shift + 0.2 * rng.normal(size=(n, 16))


@pytest.mark.parametrize(("n", "m", "k"), [(60, 60, 5), (40, 90, 3), (90, 40, 1)])
def test_all_four_are_those_of_the_authors(n, m, k):
    """The package prdc of Naeem et al. finds the same, for sets of equal and of different sizes."""
    pool, reference = images(1, n, modes=4, shift=0.05), images(2, m)
    assert coverage(pool, reference, k) == pytest.approx(compute_prdc(reference, pool, k), rel=1e-12)


def test_a_set_covers_itself():
    """Every image lies in balls of the set it belongs to."""
    pool = images(3, 50)
    result = coverage(pool, pool)
    assert (result["precision"], result["recall"], result["coverage"]) == (1, 1, 1)


def test_sets_that_never_meet_cover_nothing():
    """Far away, all four are 0."""
    assert set(coverage(images(4, 50, shift=9), images(5, 50)).values()) == {0}


def test_lost_modes_cost_recall_and_not_precision():
    """A pool of two of six modes looks right but does not reach the rest."""
    result = coverage(images(6, 120, modes=2), images(7, 120))
    assert result["precision"] > 0.85
    assert result["recall"] < 0.5
    assert result["coverage"] < 0.5


def test_blurred_modes_cost_precision():
    """Images spread around the right modes leave the reference's balls."""
    pool = images(8, 120)
    noisy = pool + np.random.default_rng(9).normal(size=pool.shape)
    assert coverage(noisy, images(10, 120))["precision"] < 0.2 < coverage(pool, images(10, 120))["precision"]


@pytest.mark.parametrize("sizes", [(5, 50), (50, 5), (0, 50)])
def test_sets_without_a_kth_neighbour_leave_it_missing(sizes):
    """k other images are needed on both sides: missing, not 0."""
    result = coverage(*(images(i, n) for i, n in enumerate(sizes)), k=5)
    assert all(math.isnan(value) for value in result.values())
