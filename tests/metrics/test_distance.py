import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from entropy_loop.metrics.distance import cmmd, distance, kid
from entropy_loop.metrics.resample import interval

D = 24


def features(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.4 + shift, 1, size=(n, D))


def gaussian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The kernel of CMMD from SciPy's distances between the directions of x and y."""
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    return np.exp(-cdist(x, y, "sqeuclidean") / (2 * 10**2))


def test_kid_is_that_of_torchmetrics():
    """The polynomial distance of torchmetrics' KernelInceptionDistance, on the same features, is ours."""
    import torch
    from torchmetrics.image.kid import poly_mmd

    x, y = features(1, 40), features(2, 40, shift=0.2)
    assert kid(x, y) == pytest.approx(float(poly_mmd(torch.from_numpy(y), torch.from_numpy(x))), rel=1e-9)


def test_cmmd_is_the_unbiased_distance_of_torchmetrics():
    """torchmetrics' estimator, given the kernel of CMMD, finds the same up to the factor 1000."""
    import torch
    from torchmetrics.image.kid import maximum_mean_discrepancy

    x, y = features(3, 40), features(4, 40, shift=0.2)
    grams = (torch.from_numpy(gaussian(*pair)) for pair in ((x, x), (x, y), (y, y)))
    assert cmmd(x, y) == pytest.approx(1000 * float(maximum_mean_discrepancy(*grams)), rel=1e-9)


def test_the_published_cmmd_is_ours_plus_what_images_have_in_common_with_themselves():
    """A V-statistic takes the mean over all pairs, self-pairs too: it exceeds ours by the stated amount."""
    x, y = features(5, 30), features(6, 50)
    within_x, within_y = gaussian(x, x), gaussian(y, y)
    published = 1000 * (within_x.mean() + within_y.mean() - 2 * gaussian(x, y).mean())
    a, b = (gram[~np.eye(len(gram), dtype=bool)].mean() for gram in (within_x, within_y))
    assert published - cmmd(x, y) == pytest.approx(1000 * ((1 - a) / 30 + (1 - b) / 50), rel=1e-9)


def test_pools_of_different_sizes_are_compared_pair_by_pair():
    """KID of 7 and 11 images equals the means over all pairs of different images, written as loops."""
    x, y = features(7, 7), features(8, 11)

    def mean(rows: np.ndarray, other_rows: np.ndarray) -> float:
        pairs = [
            (p, q) for i, p in enumerate(rows) for j, q in enumerate(other_rows) if rows is not other_rows or i != j
        ]
        return float(np.mean([(sum(p * q) / D + 1) ** 3 for p, q in pairs]))

    assert kid(x, y) == pytest.approx(mean(x, x) + mean(y, y) - 2 * mean(x, y), rel=1e-9)


@pytest.mark.parametrize("name", ["kid", "cmmd"])
def test_two_pools_of_one_model_are_at_distance_0_in_the_mean(name):
    """Unbiased: over 400 pairs of pools the mean lies within four standard errors of 0, and some lie below."""
    result = [distance(features(2 * i, 20), features(2 * i + 1, 30))[name] for i in range(400)]
    assert abs(np.mean(result)) < 4 * np.std(result) / math.sqrt(400)
    assert min(result) < 0 < max(result)


def test_the_interval_of_two_halves_of_one_sample_covers_0():
    """The halves differ by chance alone, and the interval says so; a shifted half does not cover 0."""
    sample = features(9, 256)
    for name, result in interval(distance, sample[::2], sample[1::2]).items():
        assert result.low < 0 < result.high, name
    for name, result in interval(distance, sample[::2], sample[1::2] + 0.5).items():
        assert result.low > 0, name


@pytest.mark.parametrize("sizes", [(0, 5), (1, 5), (5, 1)])
def test_too_few_images_leave_it_missing(sizes):
    """A set without a pair has no distance: missing, not 0."""
    assert all(math.isnan(value) for value in distance(*(features(i, n) for i, n in enumerate(sizes))).values())
