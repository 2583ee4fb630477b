import numpy as np
import pytest
from scipy.spatial.distance import cdist

from entropy_loop.metrics.copying import copied, nearest_similarity


def images(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 12))


def test_similarity_is_that_to_the_nearest_image_of_the_diet():
    """Among SciPy's cosine distances to the whole diet it is the smallest one, as a cosine."""
    pool, diet = images(1, 9), images(2, 30)
    assert nearest_similarity(pool, diet) == pytest.approx(1 - cdist(pool, diet, "cosine").min(axis=1))


def test_copies_are_counted():
    """Forty of a hundred images are from the diet, but for a trace of noise: at least these are found."""
    diet, pool = images(3, 200), images(4, 100)
    pool[:40] = diet[:40] + 0.01 * images(5, 40)
    result = copied(pool, diet, images(6, 200))
    assert 40 <= result.hits < 55
    assert result.n == 100
    assert result.null.high < result.interval.low < 0.4 < result.interval.high


@pytest.mark.parametrize(("away", "rate"), [(0.0, 0.05), (0.5, 0.2)])
def test_without_copying_the_rate_stays_within_its_null(away, rate):
    """150 pools that know nothing of their diet but are of its kind. Where real images are of that kind, too, the rate
    is 0.05; where they lie elsewhere, a diet is nearer to its like and the rate is higher; the band holds both."""
    results = [
        copied(away + images(3 * i, 60), away + images(3 * i + 1, 40), images(3 * i + 2, 79)) for i in range(150)
    ]
    rates = np.array([result.hits / result.n for result in results])
    assert rates.mean() == pytest.approx(rate, rel=0.25)
    assert (
        np.mean([result.null.low <= share <= result.null.high for share, result in zip(rates, results, strict=True)])
        > 0.88
    )


@pytest.mark.parametrize("sizes", [(0, 20, 40), (20, 1, 40), (20, 20, 18)])
def test_the_rate_of_copies_is_missing_without_images_to_compare(sizes):
    """An empty pool, a diet that has no two images, or too few held-out images for a 95 % quantile: missing, not 0."""
    assert copied(*(images(i, n) for i, n in enumerate(sizes))) is None
