"""V as people see it."""

from __future__ import annotations

import numpy as np
import pytest

from entropy_loop.metrics import raters
from entropy_loop.metrics.chains import change_rates, claim, drift_null
from entropy_loop.metrics.nulls import Drift
from entropy_loop.metrics.rates import wilson

NAN = float("nan")


def answered(rng: np.random.Generator, shown: np.ndarray, people: np.ndarray, each: int, error: float) -> np.ndarray:
    """Answers (raters, images) to images that show it or not: `each` of the people see every image; a rater's own
    leniency (people, in log-odds) moves how often they are wrong."""
    wrong = 1 / (1 + np.exp(-(np.log(error / (1 - error)) + people[:, None] * np.where(shown, -1, 1))))
    yes = shown ^ (rng.random(wrong.shape) < wrong)
    places = np.argsort(rng.random(wrong.shape), axis=0) < each
    return np.where(places, yes.astype(float), np.nan)


def test_v_is_the_mean_over_images_of_the_share_of_people() -> None:
    """An image that many people saw counts as much as one that few saw; an answer left open does not count."""
    answers = np.array([[1.0, 1, NAN], [1.0, 0, NAN], [NAN, 0, NAN], [NAN, 0, 1]])
    result = raters.rate(answers, seed=0)
    assert result
    assert (result.n, result.rate) == (3, pytest.approx((1 + 0.25 + 1) / 3))


def test_a_pool_that_nobody_rated_is_missing_and_not_zero() -> None:
    """A pool that nobody rated has no V."""
    assert raters.rate(np.full((2, 3), NAN), seed=0) is None
    assert raters.rate(np.zeros((0, 0)), seed=0) is None


def test_where_everybody_agrees_the_interval_is_wilsons() -> None:
    """A bootstrap of equal answers would have no width and claim to be certain."""
    result = raters.rate(np.ones((3, 20)), seed=0)
    assert result
    assert (result.interval, result.reason) == (wilson(20, 20), raters.ALIKE)


def test_the_result_of_one_rater_says_so() -> None:
    """With one rater the interval is over images alone, and says so."""
    result = raters.rate(np.array([[1.0, 0, 1, 1]]), seed=0)
    assert result
    assert result.reason == raters.ONE_RATER


def test_the_interval_of_v_covers_other_raters_and_other_images() -> None:
    """Over 400 studies with five raters of their own leniency and 40 images each, the 95 % interval holds the value of
    all people and all images in at least 93 %."""
    rng, everybody = np.random.default_rng(1), np.random.default_rng(2)
    crowd = everybody.normal(0, 0.7, 4000)
    shown = everybody.random(4000) < 0.7
    true = float(np.nanmean(answered(everybody, shown, crowd, 4000, 0.1)))
    held = 0
    for study in range(400):
        answers = answered(rng, rng.random(40) < 0.7, rng.normal(0, 0.7, 5), 3, 0.1)
        result = raters.rate(answers, seed=study)
        held += bool(result and result.interval.low <= true <= result.interval.high)
    print(f"held {held} of 400")
    assert held >= 372


def test_the_interval_of_c_holds_no_change_as_often_as_it_says() -> None:
    """Two pools of one model, the same raters: c = 0 lies inside in at least 93 % of 400 studies."""
    rng, held = np.random.default_rng(3), 0
    for study in range(400):
        people = rng.normal(0, 0.7, 4)
        pools = [answered(rng, rng.random(40) < 0.7, people, 2, 0.1) for _ in range(2)]
        between = raters.change_interval(*pools, seed=study)
        held += bool(between and between.low <= 0 <= between.high)
    print(f"held {held} of 400")
    assert held >= 372


@pytest.mark.parametrize("v", [0.5, 0.95])
def test_a_whole_pool_rated_by_people_who_disagree_is_not_known_for_sure(v: float) -> None:
    """All 64 images kept and rated, by one person each, who err in 15 %: at most 7 % of 300 studies of five chains
    claim a change."""
    rng, copier, claims = np.random.default_rng(7), Drift(64, lambda kept, rng: kept[-1]), 0
    for study in range(300):
        rates = np.empty((5, 2))
        for chain in range(5):
            pool = rng.random(64) < v
            rates[chain, 0] = np.nanmean(raters.shares(answered(rng, pool, np.zeros(1), 1, 0.15)))
            rates[chain, 1] = np.nanmean(
                raters.shares(answered(rng, rng.random(64) < pool.mean(), np.zeros(1), 1, 0.15))
            )
        null = drift_null(rates[:, 0], 64, {"copier": copier}, 1, seed=study, replicates=799, judged=64)["copier"]
        p = claim(change_rates(rates), change_rates(null)).p
        claims += p is not None and p <= 0.05
    print(f"V = {v}: {claims} of 300 claim a change")
    assert claims <= 21


@pytest.mark.parametrize("chains", [3, 5, 10])
@pytest.mark.parametrize("v", [0.5, 0.8, 0.95])
def test_people_who_see_a_part_of_the_pools_claim_no_more_than_they_may(v: float, chains: int) -> None:
    """A perfect copier (128 images, 32 kept, 5 steps), 32 of each pool rated by 3 of 6 people with errors: at most 7 %
    of 300 studies claim a change. With bands that take all 128 for rated it would be more."""
    rng, steps, copier = np.random.default_rng(int(100 * v) + chains), 5, Drift(32, lambda kept, rng: kept[-1])
    claims = 0
    for study in range(300):
        rates = np.empty((chains, steps + 1))
        for chain in range(chains):
            people, pool = rng.normal(0, 0.3, 6), rng.random(128) < v
            for step in range(steps + 1):
                seen = answered(rng, rng.permutation(pool)[:32], people, 3, 0.03)
                rates[chain, step] = np.nanmean(raters.shares(seen))
                pool = rng.random(128) < rng.permutation(pool)[:32].mean()
        null = drift_null(rates[:, 0], 128, {"copier": copier}, steps, seed=study, replicates=799, judged=32)["copier"]
        p = claim(change_rates(rates), change_rates(null)).p
        claims += p is not None and p <= 0.05
    print(f"V = {v}, {chains} chains: {claims} of 300 claim a change")
    assert claims <= 21
