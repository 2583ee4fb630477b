import numpy as np
import pytest

from entropy_loop.metrics.nulls import drift_band, sampling_band
from entropy_loop.regimes import Accumulate, Replace

N, HITS = 128, 102  # V = .797


def sd(band) -> float:
    """The standard deviation of a normal law with this 95 % band."""
    return (band.high - band.low) / (2 * 1.96)


def test_regenerating_alone_spreads_c_as_the_law_says():
    """LAWS section 2: at V = .8, N = 128 the standard deviation of c between two pools of one model is 0.062."""
    assert sd(sampling_band(HITS, N, N, seed=1)) == pytest.approx(0.062, rel=0.06)


@pytest.mark.parametrize(
    ("kept", "steps", "expected"), [(N, 1, 0.044), (32, 1, 0.089), (32, 5, 0.19)], ids=["k=N", "k=32", "five steps"]
)
def test_a_perfect_copier_spreads_c_as_the_law_says(kept, steps, expected):
    """LAWS section 2: under drift 0.044 with k = N, 0.089 with k = 32, and 0.19 over five steps at k = 32."""
    assert sd(drift_band([HITS], N, kept, Replace(), steps, seed=1)) == pytest.approx(expected, rel=0.06)


def chains(n: int, kept: int, steps: int, accumulate: bool) -> np.ndarray:
    """c of 3,000 chains of a perfect copier, image by image and chain by chain."""
    rng = np.random.default_rng(99)
    found = []
    for _ in range(3000):
        rate, diet, first = (HITS + 0.5) / (N + 1), [], 0.0
        for step in range(steps + 1):
            pool = rng.random(n) < rate
            first = pool.mean() if step == 0 else first
            diet = [*(diet if accumulate else []), *rng.choice(pool, kept, replace=False)]
            rate = np.mean(diet)
        found.append(1 - pool.mean() / first)
    return np.quantile(found, (0.025, 0.975))


@pytest.mark.parametrize(("regime", "accumulate"), [(Replace(), False), (Accumulate(), True)])
def test_the_drift_band_is_that_of_chains_simulated_image_by_image(regime, accumulate):
    """Drawing single images, keeping k of them and copying their share gives the same band, for each regime."""
    band = drift_band([HITS], N, 32, regime, 3, seed=2)
    assert tuple(band) == pytest.approx(tuple(chains(N, 32, 3, accumulate)), abs=0.035)


def test_memory_narrows_drift():
    """Accumulated diets average the chance of several generations: the band is narrower than under replace."""
    replace, accumulate = (drift_band([HITS], N, 32, regime, 5, seed=3) for regime in (Replace(), Accumulate()))
    assert sd(accumulate) < 0.8 * sd(replace)


@pytest.mark.parametrize("hits", [0, 1, 12, 20])
def test_a_band_never_claims_certainty(hits):
    """Even a pool without or with nothing but hits leaves room for chance: the band has a width."""
    for band in (sampling_band(hits, 20, 20, seed=4), drift_band([hits], 20, 5, Replace(), 2, seed=4)):
        assert band.low < band.high <= 1


def test_a_band_follows_from_its_seed():
    """The same call gives the same band; another seed gives another one."""
    band = drift_band([HITS], N, 32, Replace(), 2, seed=5)
    assert drift_band([HITS], N, 32, Replace(), 2, seed=5) == band
    assert drift_band([HITS], N, 32, Replace(), 2, seed=6) != band


def test_drift_starts_from_the_rate_that_was_seen_there() -> None:
    """A step that starts at V = .4 has the wide band of V = .4, whatever generation 0 was; under accumulation
    the older generations steady it."""
    low = round(0.4 * N)
    late, fresh = drift_band([HITS, low], N, 32, Replace(), 1, seed=7), drift_band([low], N, 32, Replace(), 1, seed=7)
    assert late == fresh
    steadied = drift_band([low] * 4, N, 32, Accumulate(), 1, seed=7)
    assert late is not None
    assert steadied is not None
    assert sd(steadied) < 0.8 * sd(late)
