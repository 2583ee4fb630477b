import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from vendi_score import vendi

from entropy_loop.metrics.diversity import diversity, mean_pairwise_distance, vendi_score

SHAPES = [(20, 50), (50, 20), (30, 30)]


def embeddings(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(n).normal(0.5, 1, size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_copies_of_one_image_count_as_one(n):
    """However many they are: the Vendi score of identical images is 1."""
    assert vendi_score(np.tile(embeddings(1, 16), (n, 1))) == pytest.approx(1)


def test_images_with_nothing_in_common_count_each():
    """n orthogonal embeddings, of any lengths, have the Vendi score n; each of them twice still n."""
    different = np.diag(np.arange(1.0, 13.0))
    assert vendi_score(different) == pytest.approx(12)
    assert vendi_score(np.repeat(different, 2, axis=0)) == pytest.approx(12)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_vendi_score_is_that_of_its_authors(n, d):
    """The package vendi-score finds the same, with fewer and with more images than dimensions."""
    pool = embeddings(n, d)
    assert vendi_score(pool) == pytest.approx(float(vendi.score_dual(pool.astype(np.float64))), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_mean_distance_is_that_of_all_pairs(n, d):
    """It is the mean of SciPy's cosine distances, pair by pair."""
    pool = embeddings(n, d)
    assert mean_pairwise_distance(pool) == pytest.approx(pdist(pool, "cosine").mean(), rel=1e-6)


def test_a_pool_of_fewer_kinds_is_less_diverse():
    """Ten kinds of images, then only two of them: both numbers fall."""
    rng = np.random.default_rng(1)
    kinds = rng.normal(size=(10, 32))
    many, few = (kinds[rng.integers(k, size=60)] + 0.1 * rng.normal(size=(60, 32)) for k in (10, 2))
    assert all(diversity(few)[name] < diversity(many)[name] for name in ("vendi", "mean_pairwise_distance"))


def test_too_few_images_leave_it_missing():
    """One image has no pair, no image has no diversity: missing, not 0."""
    assert math.isnan(mean_pairwise_distance(embeddings(1, 8)))
    assert math.isnan(vendi_score(np.empty((0, 8))))
