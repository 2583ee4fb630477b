import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from entropy_loop.errors import ConfigError
from entropy_loop.metrics.nulls import Drift
from entropy_loop.metrics.resample import interval
from entropy_loop.metrics.tails import corrected_shares, count, drift, entropy, other_pools, survivors, variety

TRUE = np.array([0.55, 0.25, 0.12, 0.05, 0.02, 0.01])
START = np.array([70, 32, 15, 7, 3, 1])
READS = 0.96 * np.eye(6) + 0.04 / 6  # a recogniser that guesses on 4 % of the images
CONFUSION = np.round(3000 * READS)


def last(eaten, rng):
    """The regime 'replace': the next diet is what the last generation kept."""
    return eaten[-1]


def everything(eaten, rng):
    """The regime 'accumulate'."""
    return np.mean(eaten, axis=0)


def test_labels_are_counted_in_the_order_of_the_values():
    """Values that nobody shows count 0, missing labels count nowhere."""
    labels = pd.Series(["brown", None, "black", "brown"])
    assert count(labels, ["black", "white", "brown"]).tolist() == [1, 0, 2]


def test_a_label_that_is_no_value_is_an_error():
    """A value that the config does not list would silently thin out all others."""
    with pytest.raises(ConfigError, match="pink"):
        count(pd.Series(["brown", "pink"]), ["brown"])


@pytest.mark.parametrize(("counts", "bits"), [([7, 0, 0], 0), ([5, 5], 1), ([1, 1, 2], 1.5), ([3] * 8, 3)])
def test_entropy_is_in_bits(counts, bits):
    """Known values: certainty 0, a fair coin 1, a quarter twice and a half 1.5, eight alike 3."""
    assert entropy(np.array(counts)) == pytest.approx(bits)


def test_a_pool_without_a_label_has_no_entropy():
    """NaN, not 0, and no warning of numpy's on the terminal: such warnings are errors in tests."""
    assert np.isnan(entropy(np.array([[0, 0], [1, 1]]))).tolist() == [True, False]


def test_the_bias_of_entropy_is_small_beside_its_spread():
    """Pools of 128 with a long tail: the plug-in entropy is low by less than a third of its standard deviation."""
    drawn = entropy(np.random.default_rng(1).multinomial(128, TRUE, 4000))
    bias = entropy(TRUE) - drawn.mean()
    assert 0 < bias < drawn.std() / 3


def test_a_value_of_one_percent_is_absent_from_a_quarter_of_fair_pools():
    """(1 - .01)^128 = .276: one absence is no loss."""
    pools = np.random.default_rng(2).multinomial(128, TRUE, 4000)
    seen = survivors(pools, np.array([False] * 5 + [True]))
    assert np.mean(seen == 0) == pytest.approx(0.276, abs=0.025)


def test_survivors_are_counted_among_the_rare():
    """A common value that is lost is not a rare one that is lost."""
    assert survivors(np.array([[0, 3, 1], [9, 0, 2]]), np.array([False, True, True])).tolist() == [2, 1]


def test_the_interval_of_entropy_covers_entropy():
    """60 pools of 128: it holds the mean entropy of such pools, 95 % of the time or nearly."""
    rng, values = np.random.default_rng(4), list("abcdef")
    expected = entropy(rng.multinomial(128, TRUE, 4000)).mean()
    pools = (pd.Series(rng.choice(values, size=128, p=TRUE)) for _ in range(60))
    results = [interval(partial(variety, values=values), labels)["entropy"] for labels in pools]
    assert np.mean([result.low <= expected <= result.high for result in results]) > 0.9


def test_another_pool_of_the_model_lies_in_its_band():
    """200 pairs of pools: entropy and survivors of the second lie in the band that the first foretells."""
    rng, rare = np.random.default_rng(6), np.arange(6) >= 3
    held = []
    for seed in range(200):
        first, second = rng.multinomial(128, TRUE, 2)
        others = other_pools(first, seed)
        for number in (entropy, partial(survivors, among=rare)):
            low, high = np.quantile(number(others), (0.025, 0.975))
            held.append(low <= number(second) <= high)
    assert np.mean(held[::2]) > 0.92
    assert np.mean(held[1::2]) > 0.92


def test_what_is_read_is_corrected_to_what_is_shown():
    """Reads exactly as the confusion matrix turns the true shares into: the true shares come back."""
    result = corrected_shares(np.round(100_000 * TRUE @ READS), CONFUSION, seed=1)
    assert result["share"].sum() == pytest.approx(1, abs=0.02)
    assert result["share"][:5].tolist() == pytest.approx(TRUE[:5].tolist(), abs=0.002)


@pytest.mark.parametrize(("hits", "corrected"), [(60, 0.625), (95, 1.0), (5, 0.0)])
def test_two_values_are_corrected_as_a_rate_is(hits, corrected):
    """Sensitivity .9 and specificity .9: (V + Sp - 1) / (Se + Sp - 1), held inside 0 and 1."""
    confusion = np.array([[90_000, 10_000], [10_000, 90_000]])
    result = corrected_shares(np.array([hits, 100 - hits]), confusion, seed=1)
    share = result["share"][0] if not result["reason"][0] else 0.0
    assert share == pytest.approx(corrected, abs=0.002)


def test_a_value_rarer_than_its_false_positives_is_unmeasurable():
    """More than half the images read as the last value are others: a reason, no share, only bounds for it."""
    pool = np.round(2000 * TRUE @ READS)
    pool[5] = 14
    result = corrected_shares(pool, CONFUSION, seed=1)
    assert math.isnan(result["share"][5])
    assert 0 <= result["low"][5] < result["high"][5] < 0.01
    assert "floor" in result["reason"][5]
    assert (result["reason"][:5] == "").all()


def test_a_value_that_was_never_held_out_is_unmeasurable():
    """Without held-out images of a value nobody knows how it is read: neither share nor bounds."""
    confusion = CONFUSION.copy()
    confusion[3] = 0
    result = corrected_shares(np.round(300 * TRUE), confusion, seed=1).loc[3]
    assert result[["share", "low", "high"]].isna().all()
    assert "held-out" in result["reason"]


def test_corrected_intervals_cover_the_true_shares():
    """80 pools of 128 and as many calibrations of 200 images a value: 95 % of the intervals hold the truth."""
    rng = np.random.default_rng(3)
    covered = []
    for seed in range(80):
        confusion = np.stack([rng.multinomial(200, row) for row in READS])
        result = corrected_shares(rng.multinomial(128, TRUE @ READS), confusion, seed)
        covered.append(result["low"].le(TRUE) & result["high"].ge(TRUE))
    assert 0.92 < np.mean(covered) < 0.98


@pytest.mark.parametrize(("kept", "steps"), [(128, 1), (128, 4), (32, 4)])
def test_shares_drift_as_the_law_says(kept, steps):
    """Blind diets of k images keep (1 - 1/k) of V(1-V) each, the pool of n that shows it (1 - 1/n) (docs/laws.md,
    E11)."""
    pools = drift([START], Drift(kept, last), steps, seed=1)
    v, rates = 70 / 128, pools[-1][:, 0] / 128
    assert pools.shape == (steps + 1, 4000, 6)
    assert (pools.sum(axis=2) == 128).all()
    assert rates.mean() == pytest.approx(v, abs=0.015)
    assert rates.var() == pytest.approx(v * (1 - v) * (1 - (1 - 1 / 128) * (1 - 1 / kept) ** steps), rel=0.1)


def test_tails_drift_as_in_chains_drawn_image_by_image():
    """The law of the rare values that survive three steps is that of chains whose images are drawn one by one."""
    rng = np.random.default_rng(5)
    rare = np.arange(6) >= 3
    chains = []
    for _ in range(1500):
        diet = rng.permutation(np.repeat(np.arange(6), START))
        for _ in range(3):
            diet = rng.choice(rng.choice(diet, 128), 32, replace=False)
        chains.append(len(set(rng.choice(diet, 128)) & {3, 4, 5}))
    result = survivors(drift([START], Drift(32, last), 3, seed=2)[-1], rare)
    one_by_one, drawn = (np.bincount(x, minlength=4) / len(x) for x in (chains, result))
    assert drawn == pytest.approx(one_by_one, abs=0.06)


def test_drift_alone_costs_entropy_and_memory_saves_some():
    """A perfect copier that eats 32 of its 128 images loses entropy; accumulated diets lose less."""
    forgetful, mindful = (
        entropy(drift([START], Drift(32, diet), 5, seed=3)).mean(axis=1) for diet in (last, everything)
    )
    assert forgetful[5] < forgetful[0] - 0.2
    assert forgetful[5] < mindful[5] < mindful[0]


def test_what_was_eaten_before_steadies_what_comes():
    """Under accumulation a start after four generations drifts less than a first one."""
    fresh, late = (drift([START] * g, Drift(32, everything), 1, seed=4)[-1][:, 0].std() for g in (1, 5))
    assert late < 0.9 * fresh


def test_drift_follows_from_its_seed():
    """The same call gives the same pools, another seed others."""
    again, other = (drift([START], Drift(32, last), 1, seed) for seed in (6, 7))
    assert (again == drift([START], Drift(32, last), 1, 6)).all()
    assert (again != other).any()
