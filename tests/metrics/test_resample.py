"""The simulations use pools of 48 images of a Gaussian mixture with a long tail, so that the truth can be drawn."""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from entropy_loop.metrics.coverage import SHARES, coverage
from entropy_loop.metrics.distance import distance
from entropy_loop.metrics.diversity import diversity
from entropy_loop.metrics.rates import wilson
from entropy_loop.metrics.resample import another_pool, interval, means, same_model

N, D, POOLS = 48, 12, 80
CENTRES = np.random.default_rng(0).normal(0.5, 1, size=(6, D))
TAIL, CUT = (0.4, 0.25, 0.15, 0.1, 0.06, 0.04), (0.6, 0.4, 0, 0, 0, 0)


def pool(rng: np.random.Generator, kinds: tuple[float, ...] = TAIL, n: int = N) -> np.ndarray:
    return CENTRES[rng.choice(6, size=n, p=kinds)] + 0.3 * rng.normal(size=(n, D))


def far(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Every number of two sets at once."""
    return {**distance(first, second), **coverage(first, second)}


@cache
def truth(kinds: tuple[float, ...]) -> dict[str, float]:
    """Means of all numbers over 1000 draws."""
    rng = np.random.default_rng(1)
    draws = ((pool(rng, kinds), pool(rng)) for _ in range(1000))
    return pd.DataFrame([{**diversity(first), **far(first, second)} for first, second in draws]).mean().to_dict()


@pytest.mark.parametrize("kinds", [TAIL, CUT], ids=["the same model", "a model without tails"])
def test_intervals_cover_what_they_estimate(kinds):
    """80 pools: each interval holds its number's mean over pools of that size, 95 % of the time or more often
    (less three standard errors of the count)."""
    rng, expected = np.random.default_rng(2), truth(kinds)
    held = []
    for _ in range(POOLS):
        first, second = pool(rng, kinds), pool(rng)
        result = {**interval(diversity, first), **interval(far, first, second, shares=SHARES)}
        held.append({name: i.low <= expected[name] <= i.high for name, i in result.items()})
    assert pd.DataFrame(held).mean().min() > 0.95 - 3 * math.sqrt(0.95 * 0.05 / POOLS)


def test_intervals_of_one_set_are_no_wider_than_they_must_be():
    """For Vendi score and mean distance, which are smooth, 95 % means 95 %: the standard error is the true one."""
    rng = np.random.default_rng(3)
    spread = pd.DataFrame([diversity(pool(rng)) for _ in range(1500)]).std()
    results = [interval(diversity, pool(rng)) for _ in range(POOLS)]
    for name in spread.index:
        errors = [(result[name].high - result[name].low) / 2 / t.ppf(0.975, 31) for result in results]
        assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(spread[name], rel=0.12), name


def test_drawing_with_replacement_would_miss():
    """Why there is no bootstrap: of 48 images that have little in common 17 are lost and the rest doubled, and all
    its intervals lie below the true Vendi score, which ours hold."""
    rng = np.random.default_rng(4)
    expected = np.mean([diversity(rng.normal(size=(N, N)))["vendi"] for _ in range(200)])
    for _ in range(5):
        images = rng.normal(size=(N, N))
        again = [diversity(images[rng.integers(N, size=N)])["vendi"] for _ in range(100)]
        assert np.quantile(again, 0.975) < expected
        ours = interval(diversity, images)["vendi"]
        assert ours.low < expected < ours.high


def test_a_share_of_all_images_is_not_certain():
    """Where every image of twenty counts, nothing varies; the interval is that of twenty hits, and ends at 1."""
    ones = pd.DataFrame({"seen": [1.0] * 20})
    assert tuple(interval(means, ones, shares=["seen"])["seen"]) == pytest.approx(tuple(wilson(20, 20)))


def test_a_share_of_images_has_the_interval_of_a_rate():
    """Images that count or do not, each by itself, are worth as many as they are, less one for the mean."""
    seen = pd.DataFrame({"seen": [1.0] * 23 + [0.0] * 9})
    assert tuple(interval(means, seen, shares=["seen"])["seen"]) == pytest.approx(tuple(wilson(23, 32)), abs=0.005)


def test_another_pool_lies_in_its_band():
    """A second pool of the same model and size falls into the band of the first 95 % of the time."""
    rng = np.random.default_rng(5)
    held = []
    for _ in range(POOLS):
        band, second = another_pool(diversity, pool(rng)), diversity(pool(rng))
        held.append([band[name].low <= second[name] <= band[name].high for name in second])
    assert 0.9 <= np.mean(held) <= 0.99


def test_pools_of_one_model_lie_in_the_band_of_one_model():
    """Distances and coverage between two pools of one model, of different sizes too: 95 % of all."""
    rng = np.random.default_rng(6)
    held = []
    for seed in range(12):
        first, second = pool(rng), pool(rng, n=64)
        result, band = far(first, second), same_model(far, first, second, seed)
        held.append([band[name].low <= result[name] <= band[name].high for name in result])
    assert np.mean(held) > 0.9


def test_a_model_without_tails_leaves_both_bands():
    """What the bands are for: lost kinds show in diversity, in distance and in recall."""
    rng = np.random.default_rng(7)
    whole, cut = pool(rng, n=128), pool(rng, CUT, n=128)
    assert diversity(cut)["vendi"] < another_pool(diversity, whole)["vendi"].low
    result, band = far(cut, whole), same_model(far, cut, whole, seed=1)
    assert result["kid"] > band["kid"].high
    assert result["cmmd"] > band["cmmd"].high
    assert result["recall"] < band["recall"].low


def test_the_interval_of_a_mean_is_the_textbook_one():
    """Up to 32 images, one is left out at a time: Student's interval, digit by digit."""
    values = np.random.default_rng(8).normal(size=20)
    expected = t.interval(0.95, 19, values.mean(), values.std(ddof=1) / math.sqrt(20))
    assert tuple(interval(means, pd.DataFrame({"noise": values}))["noise"]) == pytest.approx(expected)


def test_missing_values_do_not_count_in_a_mean():
    """Images without a value leave mean and interval to the others, and widen nothing much."""
    values = np.random.default_rng(9).normal(size=30)
    table = pd.DataFrame({"noise": [*values, math.nan, math.nan]})
    assert means(table)["noise"] == pytest.approx(values.mean())
    alone = interval(means, pd.DataFrame({"noise": values}))["noise"]
    assert tuple(interval(means, table)["noise"]) == pytest.approx(tuple(alone), abs=0.02)


@pytest.mark.parametrize("n", [64, 640])
def test_the_work_does_not_grow_with_the_pool(n):
    """The number is worked out once for all images and thirty-two times without one group of them."""
    sizes = []

    def size(images: np.ndarray) -> dict[str, float]:
        sizes.append(len(images))
        return {"n": float(len(images))}

    interval(size, np.zeros((n, 2)))
    assert sorted(sizes) == [n - n // 32] * 32 + [n]


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_images_leave_the_interval_missing(n):
    """Where the number or its spread is missing, so is the interval: not 0 and no error."""
    images = np.eye(3)[:n]
    assert math.isnan(interval(diversity, images)["mean_pairwise_distance"].low)
    assert math.isnan(interval(coverage, images, images, shares=SHARES)["recall"].high)
    assert math.isnan(same_model(coverage, images, images, seed=1)["recall"].high)


def test_a_band_follows_from_its_seed():
    """The same call gives the same band, another seed another one."""
    first, second = (pool(np.random.default_rng(seed)) for seed in (10, 11))
    assert same_model(distance, first, second, seed=1) == same_model(distance, first, second, seed=1)
    assert same_model(distance, first, second, seed=1) != same_model(distance, first, second, seed=2)
