"""Verdicts: what the instruments of an arm show together, and how often they cry wolf."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from entropy_loop.metrics.chains import Description
from entropy_loop.metrics.diversity import diversity
from entropy_loop.metrics.nulls import Drift
from entropy_loop.metrics.rates import Interval
from entropy_loop.metrics.resample import interval, means, standard_error
from entropy_loop.metrics.tails import drift, entropy
from entropy_loop.metrics.verdicts import (
    Instrument,
    distance,
    drift_variance,
    recognition,
    relative,
    simulated,
    verdict,
)

IMAGES, STEPS = 128, 5


def last_kept(eaten, rng):
    """The regime 'replace'."""
    return eaten[-1]


def still(family: str) -> Instrument:
    """Five chains whose interval lies inside the margin."""
    return Instrument(family, family, Description(5, 0.01, -0.02, 0.04), 1, 0.4, True)


def moved(family: str, by: float) -> Instrument:
    """Five chains that moved by a share, far beyond chance."""
    return Instrument(family, family, Description(5, by, by - 0.05, by + 0.05), 1 if by > 0 else -1, 1e-9, False)


def unclear(family: str) -> Instrument:
    """Five chains that show neither a change nor equivalence."""
    return Instrument(family, family, Description(5, -0.1, -0.3, 0.1), -1, 0.2, False)


QUIET = {family: still(family) for family in ("recognition", "noise", "diversity", "tails", "distance")}
VERDICTS = [
    ({}, "stable"),
    ({"recognition": moved("recognition", -0.5)}, "disintegration"),
    ({"noise": moved("noise", 0.5)}, "disintegration"),
    ({"noise": moved("noise", -0.5)}, "undecided"),
    ({"diversity": moved("diversity", -0.5)}, "banalisation"),
    ({"tails": moved("tails", -0.5)}, "banalisation"),
    ({"diversity": moved("diversity", 0.5)}, "undecided"),
    ({"tails": moved("tails", -0.5), "recognition": moved("recognition", -0.5)}, "both"),
    ({"distance": moved("distance", 0.5)}, "undecided"),
    ({"diversity": unclear("diversity")}, "undecided"),
    ({"recognition": moved("recognition", 0.5)}, "undecided"),
]


@pytest.mark.parametrize(("changes", "name"), VERDICTS)
def test_the_verdict_follows_from_the_families(changes, name):
    """Less recognised or noisier: disintegration; less diverse or fewer tails: banalisation; all still: stable."""
    assert verdict(list((QUIET | changes).values()), selects=False).verdict == name


def test_noise_rises_when_most_of_its_indices_do():
    """One index that goes up against two that go down tells of other scenes, not of noise."""
    up, down = moved("noise", 0.2), Instrument("noise", "x", Description(5, -0.05, -0.06, -0.04), -1, 1e-9, True)
    assert verdict([up, down, down], selects=False).states["noise"] == "undecided"
    assert verdict([up, up, down], selects=False).states["noise"] == "up"


def test_an_instrument_that_was_not_measured_is_never_called_stable():
    """A run without measures of diversity is undecided, however still its recognition."""
    result = verdict([QUIET["recognition"]], selects=False)
    assert result.verdict == "undecided"
    assert result.states["diversity"] == "not measured"


def test_decay_under_the_skin_is_flagged_where_selection_could_hide_it():
    """V holds while noise or the distance to generation 0 rises: flagged under selection, and not without it."""
    for family in ("noise", "distance"):
        result = list((QUIET | {family: moved(family, 0.5)}).values())
        assert verdict(result, selects=True).subcutaneous
        assert not verdict(result, selects=False).subcutaneous
    fallen = QUIET | {"noise": moved("noise", 0.5), "recognition": moved("recognition", -0.5)}
    assert not verdict(list(fallen.values()), selects=True).subcutaneous


def test_a_change_inside_the_margin_is_equivalence_however_sure():
    """3 % +- 1 % is far from 0 and too small to matter."""
    small = Instrument("noise", "bytes", Description(5, 0.03, 0.02, 0.04), 1, 1e-9, True)
    assert verdict(list((QUIET | {"noise": small}).values()), selects=False).verdict == "stable"


def test_p_is_adjusted_over_all_instruments_of_the_arm():
    """Two at .03 each show nothing together (Holm: .06)."""
    pair = [Instrument(f, f, Description(5, -0.3, -0.5, -0.1), -1, 0.03, False) for f in ("recognition", "diversity")]
    result = verdict(pair, selects=False)
    assert [shown.p_adjusted for shown in result.shown] == [0.06, 0.06]
    assert result.verdict == "undecided"


def test_a_fall_of_recognition_is_down():
    """c = .4 with its null around 0: -.4, below the middle of the null."""
    instrument = recognition("V", Description(5, 0.4, 0.3, 0.5), Interval(-0.1, 0.08), 0.001)
    assert (instrument.change.mean, instrument.change.low, instrument.change.high, instrument.side) == (
        -0.4,
        -0.5,
        -0.3,
        -1,
    )


def test_the_standard_error_behind_an_interval_is_found_again():
    """That of a mean is sd / sqrt(n)."""
    import pandas as pd

    values = np.random.default_rng(0).normal(5, 2, IMAGES)
    result = standard_error(interval(means, pd.DataFrame({"x": values}))["x"], IMAGES)
    assert result == pytest.approx(values.std(ddof=1) / np.sqrt(IMAGES), rel=0.2)


@pytest.mark.parametrize(("kept", "steps"), [(128, 1), (32, 1), (32, 5)])
def test_the_drift_of_a_mean_over_images_is_that_of_a_perfect_copier(kept, steps):
    """Images as numbers that are copied: each generation draws its pool among what was kept."""
    rng = np.random.default_rng(1)
    change = []
    for _ in range(4000):
        first = pool = rng.normal(0, 1, IMAGES)
        for _ in range(steps):
            pool = rng.choice(rng.choice(pool, kept, replace=False), IMAGES)
        change.append(pool.mean() - first.mean())
    assert drift_variance(IMAGES, Drift(kept, last_kept), steps) == pytest.approx(np.var(change), rel=0.08)


def test_without_feedback_two_pools_differ_by_sampling_alone():
    """Regenerate only: the variance of the difference of two means of 128."""
    assert drift_variance(IMAGES, None, STEPS) == 2 / IMAGES


@pytest.mark.parametrize("chains", [3, 5])
def test_drift_alone_is_called_a_change_in_five_of_a_hundred(chains):
    """A mean over images that drifts under a perfect copier (k = 32 of 128, five steps): p <= .05 in about 5 %."""
    rng, studies = np.random.default_rng(chains), 3000
    first = rng.normal(10, 3, (studies, chains, IMAGES))
    centre = first
    for _ in range(STEPS):
        kept = centre[..., :32].mean(axis=-1, keepdims=True)  # the images are in no order
        centre = kept + rng.normal(0, 3, first.shape)
    errors = first.std(axis=-1, ddof=1) / np.sqrt(IMAGES) * t.ppf(0.975, 31)
    variance = drift_variance(IMAGES, Drift(32, last_kept), STEPS)
    ps = []
    for start, end, reach in zip(first.mean(axis=-1), centre.mean(axis=-1), errors, strict=True):
        spans = [Interval(x - r, x + r) for x, r in zip(start, reach, strict=True)]
        ps.append(relative("noise", "x", start, end, spans, IMAGES, variance).p)
    assert 0.03 < np.mean(np.array(ps) <= 0.05) <= 0.07


COAT, FACING = [0.55, 0.2, 0.12, 0.08, 0.04, 0.01], [0.8, 0.2]


@pytest.mark.parametrize(("shares", "chains", "kept"), [(COAT, 3, 32), (FACING, 5, 32), (FACING, 10, 16)])
def test_tails_that_drift_are_seldom_called_a_change(shares, chains, kept):
    """Entropies of perfect copiers against their own simulated drift: at most .05 in the long run (.1 in 200)."""
    rng, ps = np.random.default_rng(chains), []
    for _ in range(200):
        rows = []
        for _ in range(chains):
            counts = rng.multinomial(IMAGES, shares)
            drawn = entropy(
                drift([counts], Drift(kept, last_kept), STEPS, int(rng.integers(2**30)), replicates=400)[-1]
            )
            rows.append((entropy(counts), entropy(_copied(counts, kept, rng)), drawn.mean(), drawn.std()))
        ps.append(simulated("tails", "coat", *np.array(rows).T).p)
    assert np.mean(np.array(ps) <= 0.05) <= 0.1


def _copied(counts: np.ndarray, kept: int, rng: np.random.Generator) -> np.ndarray:
    """A perfect copier that starts from a pool: its fifth generation."""
    pool = counts
    for _ in range(STEPS):
        pool = rng.multinomial(IMAGES, rng.multivariate_hypergeometric(pool, kept) / kept)
    return pool


@pytest.mark.parametrize("kept", [32, 128])
def test_kinds_of_images_that_drift_away_are_no_banalisation(kept):
    """12 kinds, every image of a kind a little different; a perfect copier loses kinds by chance: Vendi score and mean
    distance fall, and are called less diverse in at most 5 % of studies (one of 20 here)."""
    rng = np.random.default_rng(kept)
    kinds, result = rng.normal(size=(12, 16)), []
    for _ in range(20):
        rows: dict[str, list[tuple[float, ...]]] = {}
        for _ in range(3):
            start = rng.multinomial(IMAGES, np.full(12, 1 / 12))
            first, last = (_drawn(kinds, counts, rng) for counts in (start, _copied(start, kept, rng)))
            copies = drift(
                [np.ones(IMAGES, int)], Drift(kept, last_kept), STEPS, int(rng.integers(2**30)), replicates=60
            )[-1]
            null = [diversity(np.repeat(first, times, axis=0)) for times in copies]
            for name, value in diversity(first).items():
                drawn = np.array([numbers[name] for numbers in null])
                rows.setdefault(name, []).append((value, diversity(last)[name], drawn.mean(), drawn.std()))
        result += [simulated("diversity", name, *np.array(values).T).p for name, values in rows.items()]
    assert np.mean(np.array(result) <= 0.05) <= 0.05


def _drawn(kinds: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    images = np.repeat(kinds, counts, axis=0)
    return images + rng.normal(scale=0.3, size=images.shape)


def test_a_distance_can_only_rise():
    """Below its band is chance; above it, in every chain, is a change."""
    bands = [Interval(-0.1, 0.1)] * 4
    assert distance("kid", np.array([0.9, 1.1, 0.8, 1.0]), bands).p < 1e-6
    near = distance("kid", np.array([-0.09, -0.1, 0.05, 0.02]), bands)
    assert near.p > 0.5
    assert near.equivalent


NOTHING_MOVED = np.array([1.0, 1.0]), np.array([1.0, 1.0])
SPANS = [Interval(0.99, 1.01)] * 2
TWO_CHAINS = [
    relative("noise", "x", *NOTHING_MOVED, SPANS, IMAGES, 0.02),
    simulated("tails", "x", *NOTHING_MOVED, np.ones(2), np.full(2, 0.01)),
    distance("x", np.ones(2), SPANS),
]


@pytest.mark.parametrize("instrument", TWO_CHAINS, ids=lambda instrument: instrument.family)
def test_two_chains_claim_nothing(instrument):
    """Fewer than three: no p, no equivalence."""
    assert instrument.p is None
    assert not instrument.equivalent


def test_without_a_null_there_is_no_p():
    """Neither an unknown drift, nor a chain without a null, nor images that are all one give a p of their own."""
    three = np.ones(3), np.full(3, 2.0)
    spans = [Interval(0.9, 1.1)] * 3
    assert relative("noise", "x", *three, spans, IMAGES, None).p is None
    assert relative("noise", "x", *three, [Interval(1.0, 1.0)] * 3, IMAGES, 0.02).p is None
    assert simulated("tails", "x", *three, np.array([1, 1, np.nan]), np.array([0.1, 0.1, np.nan])).p is None
    assert relative("noise", "x", *three, spans, IMAGES, 0.02).p < 1e-6
