import numpy as np
import pytest

from entropy_loop.metrics.nulls import Drift, drift_band, neutral, sampling_band

N, HITS = 128, 102  # V = .797
REAL = 0.3  # share of hits among the real images


def replace(kept, rng):
    return kept[-1]


def accumulate(kept, rng):
    return np.mean(kept, axis=0)


def mix_real(kept, rng):
    """As many real images as kept ones."""
    return (kept[-1] + REAL) / 2


def subsample(kept, rng):
    """32 of all the images that were kept, 32 in each generation."""
    hits = np.round(np.sum(kept, axis=0) * 32).astype(int)
    return rng.hypergeometric(hits, 32 * len(kept) - hits, 32) / 32


def sd(band) -> float:
    """The standard deviation of a normal law with this 95 % band."""
    return (band.high - band.low) / (2 * 1.96)


def test_regenerating_alone_spreads_c_as_the_law_says():
    """At V = .8, N = 128 the standard deviation of c between two pools of one model is 0.062 (docs/laws.md, C1)."""
    assert sd(sampling_band(HITS, N, N, seed=1)) == pytest.approx(0.062, rel=0.06)


@pytest.mark.parametrize(
    ("kept", "steps", "expected"), [(N, 1, 0.044), (32, 1, 0.089), (32, 5, 0.19)], ids=["k=N", "k=32", "five steps"]
)
def test_a_perfect_copier_spreads_c_as_the_law_says(kept, steps, expected):
    """Under drift it is 0.044 with k = N, 0.089 with k = 32, and 0.19 over five steps at k = 32 (docs/laws.md, C1)."""
    assert sd(drift_band([HITS], N, Drift(kept, replace), steps, seed=1)) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("step", [1, 5])
def test_neutral_chains_keep_their_mean_and_spread_as_wright_and_fisher_say(step):
    """With k = N: E[V] = V_0, Var(V_t) = V_0 (1 - V_0) [1 - (1 - 1/N)^t], one t per drawn pool (docs/laws.md, E11)."""
    v0, replicates = 0.8, 40_000
    rng = np.random.default_rng(11)
    result = neutral(rng.binomial(N, v0, replicates), N, Drift(N, replace), step, rng)[:, -1]
    variance = v0 * (1 - v0) * (1 - (1 - 1 / N) ** (step + 1))
    assert result.mean() == pytest.approx(v0, abs=4 * np.sqrt(variance / replicates))
    assert result.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / replicates))


def test_neutral_chains_start_from_the_given_pools_and_never_leave_a_fixed_one():
    """Column 0 is the pool that was given; a concept that none or all of the images show stays there."""
    first = np.array([0, 64, N])
    rates = neutral(first, N, Drift(32, replace), 6, np.random.default_rng(1))
    assert rates.shape == (3, 7)
    assert rates[:, 0].tolist() == [0, 0.5, 1]
    assert set(rates[0]) == {0.0}
    assert set(rates[2]) == {1.0}


def test_a_weighted_mean_that_rounds_above_one_is_one():
    """Regimes average rates in floating point: a diet of nothing but hits may come out a little above 1."""
    rates = neutral(np.full(4, N), N, Drift(32, lambda kept, rng: kept[-1] + 1e-12), 1, np.random.default_rng(1))
    assert rates.tolist() == [[1.0, 1.0]] * 4


def chains(n: int, kept: int, steps: int, diet) -> np.ndarray:
    """c of 3,000 chains of a perfect copier, image by image; `diet(history, rng)` lists the images trained on."""
    rng = np.random.default_rng(99)
    result = []
    for _ in range(3000):
        rate, history, first = (HITS + 0.5) / (N + 1), [], 0.0
        for step in range(steps + 1):
            pool = rng.random(n) < rate
            first = pool.mean() if step == 0 else first
            history.append(rng.choice(pool, kept, replace=False))
            rate = np.mean(diet(history, rng))
        result.append(1 - pool.mean() / first)
    return np.quantile(result, (0.025, 0.975))


IMAGES = {
    replace: lambda history, rng: history[-1],
    accumulate: lambda history, rng: np.concatenate(history),
    mix_real: lambda history, rng: [history[-1].mean(), REAL],
    subsample: lambda history, rng: rng.choice(np.concatenate(history), 32, replace=False),
}


@pytest.mark.parametrize("diet", IMAGES, ids=lambda diet: diet.__name__)
def test_the_drift_band_is_that_of_chains_simulated_image_by_image(diet):
    """Drawing single images, keeping k of them and copying the share in the diet gives the same band."""
    band = drift_band([HITS], N, Drift(32, diet), 3, seed=2)
    assert tuple(band) == pytest.approx(tuple(chains(N, 32, 3, IMAGES[diet])), abs=0.035)


def test_memory_narrows_drift():
    """Accumulated diets average the chance of several generations: the band is narrower than under replace."""
    short, long = (drift_band([HITS], N, Drift(32, diet), 5, seed=3) for diet in (replace, accumulate))
    assert sd(long) < 0.8 * sd(short)


@pytest.mark.parametrize("hits", [0, 1, 12, 20])
def test_a_band_never_claims_certainty(hits):
    """Even a pool without or with nothing but hits leaves room for chance: the band has a width."""
    for band in (sampling_band(hits, 20, 20, seed=4), drift_band([hits], 20, Drift(5, replace), 2, seed=4)):
        assert band.low < band.high <= 1


def test_a_band_follows_from_its_seed():
    """The same call gives the same band; another seed gives another one."""
    band = drift_band([HITS], N, Drift(32, replace), 2, seed=5)
    assert drift_band([HITS], N, Drift(32, replace), 2, seed=5) == band
    assert drift_band([HITS], N, Drift(32, replace), 2, seed=6) != band


def test_drift_starts_from_the_rate_that_was_seen_there():
    """A step that starts at V = .4 has the wide band of V = .4, whatever generation 0 was; under accumulation
    the older generations steady it."""
    low = round(0.4 * N)
    late, fresh = (drift_band(hits, N, Drift(32, replace), 1, seed=7) for hits in ([HITS, low], [low]))
    assert late == fresh
    assert sd(drift_band([low] * 4, N, Drift(32, accumulate), 1, seed=7)) < 0.8 * sd(late)


@pytest.mark.parametrize(("repeats", "share"), [(False, 0.0), (True, 1.0)])
def test_choices_with_putting_back_drift_more(repeats, share):
    """All 128 of a pool chosen once pass on its rate; 128 choices with putting back add a variance V(1-V)/128."""
    start = np.full(40_000, HITS)
    rates = neutral(start, N, Drift(N, replace, repeats), 1, np.random.default_rng(2))[:, 1]
    v = HITS / N
    expected = v * (1 - v) / N * (1 + share * (1 - 1 / N))
    assert rates.var() == pytest.approx(expected, rel=0.04)


def test_the_bands_of_a_chooser_know_that_it_repeats_itself():
    """The drift band of k = N choices with putting back is wider than that of the whole pool."""
    once, again = (drift_band([HITS], N, Drift(N, replace, repeats), 5, 1) for repeats in (False, True))
    assert sd(again) > 1.1 * sd(once)
