import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from entropy_loop.metrics.chains import (
    change_rates,
    claim,
    describe,
    drift_null,
    holm,
    mean_over_chains,
    p_values,
    slopes,
)
from entropy_loop.metrics.nulls import Drift, neutral

N, STEPS = 128, 5
ARMS = {"k=32": 32, "k=32 again": 32, "k=N": N, "k=N again": N}
COMPARED = [("k=32", None), ("k=N", None), ("k=32", "k=32 again"), ("k=N", "k=N again"), ("k=32", "k=N")]


def replace(kept, rng):
    return kept[-1]


DRIFTS = {arm: Drift(kept, replace) for arm, kept in ARMS.items()}


def test_c_of_a_chain_is_from_its_first_to_its_last_generation():
    """c = (V1 - V2) / V1 per chain; NaN where V1 = 0 or an end was not judged, whatever lies between."""
    rates = np.array([[0.8, 0.1, 0.6], [0.5, math.nan, 0.6], [0.0, 0.4, 0.4], [0.5, 0.5, math.nan]])
    assert change_rates(rates) == pytest.approx([0.25, -0.2, math.nan, math.nan], nan_ok=True)


def test_the_slope_of_a_chain_is_that_of_a_fitted_line():
    """Least squares of V on the generation, as numpy's polynomial fit has it; NaN when a pool was not judged."""
    rates = np.random.default_rng(1).random((4, 6))
    assert slopes(rates) == pytest.approx(np.polyfit(np.arange(6), rates.T, 1)[0])
    rates[2, 3] = math.nan
    assert np.isnan(slopes(rates)).tolist() == [False, False, True, False]


def test_chains_are_described_by_their_mean_and_a_t_interval():
    """As scipy's one-sample t test over the defined chains; one chain has no interval, none has nothing."""
    values = np.array([0.1, math.nan, 0.4, 0.2, 0.25])
    result, expected = describe(values), ttest_1samp(values[[0, 2, 3, 4]], 0).confidence_interval(0.95)
    assert (result.chains, result.mean) == (4, pytest.approx(0.2375))
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert describe(values[:2]) == describe(values[:1])
    assert (describe(values[:1]).mean, describe(values[:1]).low, describe(values[:1]).high) == (0.1, None, None)
    assert (describe(values[1:2]).chains, describe(values[1:2]).mean) == (0, None)


# ---- the promise: false positives --------------------------------------------------------------------


def means(rates, statistic, arm, against) -> np.ndarray:
    """What is claimed on, one number per study: the mean over its chains of an arm's statistic or a difference."""
    return mean_over_chains(statistic(rates[arm]) - (statistic(rates[against]) if against else 0))


def false_positives(v: float, chains: int, studies: int = 4000, replicates: int = 1000) -> dict[str, float]:
    """Share of studies in which nothing but drift happens and that still claim a change (p <= .05), for both
    statistics, every arm and every pair. Studies with equally many hits in generation 0 have the same null."""
    rng = np.random.default_rng(round(1000 * v) + chains)
    first = rng.binomial(N, v, (studies, chains))
    seen = {
        arm: neutral(first.ravel(), N, Drift(kept, replace), STEPS, rng).reshape(studies, chains, STEPS + 1)
        for arm, kept in ARMS.items()
    }
    cells = [(statistic, *arms) for statistic in (change_rates, slopes) for arms in COMPARED]
    wrong = dict.fromkeys(cells, 0)
    hits = first.sum(axis=1)
    for same in (hits == h for h in np.unique(hits)):
        null = drift_null(first[same][0] / N, N, DRIFTS, STEPS, seed=1, replicates=replicates)
        some = {arm: rates[same] for arm, rates in seen.items()}
        for cell in cells:
            wrong[cell] += int((p_values(means(some, *cell), means(null, *cell)) <= 0.05).sum())
    return {f"{s.__name__} {arm} - {against}": wrong[s, arm, against] / studies for s, arm, against in cells}


@pytest.mark.parametrize("chains", [3, 5, 10])
@pytest.mark.parametrize("v", [0.5, 0.8, 0.95, 0.98])
def test_drift_alone_is_claimed_as_a_change_in_at_most_7_of_100_studies(v, chains):
    """5 steps, N = 128; k = 32, k = N; single arms and paired differences; c and slope. 4,000 studies: a true
    rate of .05 has a standard error of .0034."""
    result = false_positives(v, chains)
    assert len(result) == 10
    assert max(result.values()) <= 0.07, result
    assert min(result.values()) > 0.01, result  # and the test is not dead


# ---- claims ------------------------------------------------------------------------------------------


def null_of_c(chains: int = 5) -> np.ndarray:
    return change_rates(drift_null(np.full(chains, 0.8), N, {"a": Drift(32, replace)}, STEPS, seed=3)["a"])


def test_a_fall_in_every_chain_is_claimed():
    """c = .5 in five chains is far outside of what drift does to the mean of five; c = 0 is inside."""
    fall, nothing = claim(np.full(5, 0.5), null_of_c()), claim(np.zeros(5), null_of_c())
    assert fall.p < 0.005
    assert fall.null_high < 0.5
    assert nothing.p > 0.5
    assert nothing.null_low < 0 < nothing.null_high
    assert fall.reason == nothing.reason == ""


def test_fewer_than_three_chains_claim_nothing():
    """The band of drift is still there to be drawn; p is missing, with the reason."""
    result = claim(np.full(2, 0.9), null_of_c(2))
    assert result.p is None
    assert result.null_low < result.null_high
    assert "needs 3 chains" in result.reason


def test_undefined_chains_are_left_out_of_the_mean_and_of_its_null():
    """A chain without a value counts neither here nor there, and the reason says how many; without any chain
    everything is missing."""
    null, values = null_of_c(), np.array([0.3, math.nan, 0.3, 0.3, math.nan])
    result, three = claim(values, null), claim(np.full(3, 0.3), null[:, [0, 2, 3]])
    assert (result.null_low, result.null_high, result.p) == (three.null_low, three.null_high, three.p)
    assert "2 of 5 chains left out" in result.reason
    nothing = claim(np.full(5, math.nan), null)
    assert (nothing.null_low, nothing.null_high, nothing.p) == (None, None, None)
    assert "no chain has a value" in nothing.reason


def test_paired_arms_are_held_against_two_copiers_that_part_from_one_pool():
    """The band of the mean difference of c equals that of chains drawn image by image: one shared pool, then
    two lines of descent, one feeding 32 of 128 images back and one all of them."""
    null = drift_null(np.full(4, 0.7), N, {"a": Drift(32, replace), "b": Drift(N, replace)}, 2, seed=5)
    result = claim(np.zeros(4), change_rates(null["a"]) - change_rates(null["b"]))
    rng, rate = np.random.default_rng(8), (0.7 * 4 * N + 0.5) / (4 * N + 1)
    pool = rng.random((3000, 4, N)) < rate  # the images of a pool are exchangeable: any k of them are a blind pick

    def last(kept: int) -> np.ndarray:
        images = pool
        for _ in range(2):
            images = rng.random(pool.shape) < images[..., :kept].mean(axis=-1, keepdims=True)
        return images.mean(axis=-1)

    difference = ((last(N) - last(32)) / pool.mean(axis=-1)).mean(axis=1)
    assert (result.null_low, result.null_high) == pytest.approx(np.quantile(difference, (0.025, 0.975)), abs=0.012)


def test_arms_share_generation_0_and_nothing_else():
    """Their pools of generation 0 are the same; how they drift from there is uncorrelated."""
    null = drift_null(np.full(5, 0.8), N, DRIFTS, STEPS, seed=3)
    first, second = null["k=32"], null["k=32 again"]
    assert (first[..., 0] == second[..., 0]).all()
    moved, others = (first[..., -1] - first[..., 0]).ravel(), (second[..., -1] - second[..., 0]).ravel()
    assert abs(np.corrcoef(moved, others)[0, 1]) < 4 / math.sqrt(len(moved))


def test_the_null_of_an_arm_does_not_depend_on_the_other_arms():
    """Adding or reordering arms changes no draw; another seed changes all of them."""
    drifts = {"b": Drift(32, replace), "a": Drift(N, replace)}
    both, alone = (drift_null(np.full(3, 0.8), N, d, 2, seed=1) for d in (drifts, {"a": drifts["a"]}))
    assert (both["a"] == alone["a"]).all()
    assert (drift_null(np.full(3, 0.8), N, drifts, 2, seed=2)["a"] != alone["a"]).any()


def test_chains_that_were_not_judged_do_not_enter_the_pooled_rate():
    """V1 is pooled over the judged chains alone, so an unjudged one neither lowers nor raises it."""
    with_gap, without = np.array([0.9, math.nan, 0.9]), np.array([0.9, 0.9])
    pools = [drift_null(first, N, DRIFTS, 1, seed=1)["k=N"][..., 0].mean() for first in (with_gap, without)]
    assert pools == pytest.approx([0.9, 0.9], abs=0.003)


# ---- p-values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["exponential", "geometric", "normal", "one value"])
def test_p_is_valid_for_skewed_and_for_discrete_nulls(law):
    """P(p <= a) <= a for a = .01, .05 and .2, with four standard errors of room for 20,000 draws."""
    rng = np.random.default_rng(4)
    draw = {
        "exponential": lambda n: rng.exponential(size=n),
        "geometric": lambda n: rng.geometric(0.7, n),
        "normal": lambda n: rng.normal(size=n),
        "one value": lambda n: np.zeros(n),
    }[law]
    p = p_values(draw(20_000), draw(20_000))
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 4 * math.sqrt(2 * level / 20_000)


def test_p_is_never_zero_and_ties_are_extreme():
    """Beyond all of R replicates p = 2 / (R + 1); a value that every replicate shares has p = 1."""
    assert p_values(np.array([9.0, -9.0]), np.zeros(999)).tolist() == [2 / 1000, 2 / 1000]
    assert p_values(np.array([0.0]), np.zeros(999)).tolist() == [1.0]


def test_means_over_chains_tie_in_any_order_and_skip_what_is_undefined():
    """0.1 + 0.2 + 0.3 is the same mean in any order; a row without any value has no mean."""
    rows = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [math.nan, 0.5, 0.1], [math.nan] * 3])
    assert mean_over_chains(rows).tolist() == [0.2, 0.2, 0.3]


def test_holm_multiplies_the_smallest_p_most():
    """Four claims of .005, .01, .02 and .03 become .02, .03, .04 and .04; a missing one counts for nothing."""
    assert holm([0.01, None, 0.03, 0.02, 0.005]) == [
        pytest.approx(p) if p else None for p in (0.03, 0, 0.04, 0.04, 0.02)
    ]
    assert holm([None, None]) == [None, None]
