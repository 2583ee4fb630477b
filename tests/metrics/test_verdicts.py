"""Verdicts: what the instruments of an arm show together, and how often they cry wolf."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from entropy_loop.metrics.chains import Description
from entropy_loop.metrics.rates import Interval
from entropy_loop.metrics.resample import interval, means, standard_error
from entropy_loop.metrics.tails import drift, entropy
from entropy_loop.metrics.verdicts import (
    Instrument,
    banded,
    distance,
    drift_variance,
    recognition,
    relative,
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


def test_what_was_not_measured_is_never_called_stable():
    """A run without measures of diversity is undecided, however still its recognition."""
    found = verdict([QUIET["recognition"]], selects=False)
    assert found.verdict == "undecided"
    assert found.states["diversity"] == "not measured"


def test_decay_under_the_skin_is_flagged_where_selection_could_hide_it():
    """V holds while noise or the distance to generation 0 rises: flagged under selection, and not without it."""
    for family in ("noise", "distance"):
        found = list((QUIET | {family: moved(family, 0.5)}).values())
        assert verdict(found, selects=True).subcutaneous
        assert not verdict(found, selects=False).subcutaneous
    fallen = QUIET | {"noise": moved("noise", 0.5), "recognition": moved("recognition", -0.5)}
    assert not verdict(list(fallen.values()), selects=True).subcutaneous


def test_a_change_inside_the_margin_is_equivalence_however_sure():
    """3 % +- 1 % is far from 0 and too small to matter."""
    small = Instrument("noise", "bytes", Description(5, 0.03, 0.02, 0.04), 1, 1e-9, True)
    assert verdict(list((QUIET | {"noise": small}).values()), selects=False).verdict == "stable"


def test_p_is_adjusted_over_all_instruments_of_the_arm():
    """Two at .03 each show nothing together (Holm: .06)."""
    pair = [Instrument(f, f, Description(5, -0.3, -0.5, -0.1), -1, 0.03, False) for f in ("recognition", "diversity")]
    found = verdict(pair, selects=False)
    assert [one.p_adjusted for one in found.shown] == [0.06, 0.06]
    assert found.verdict == "undecided"


def test_a_fall_of_recognition_is_down():
    """c = .4 with its null around 0: -.4, below the middle of the null."""
    told = recognition("V", Description(5, 0.4, 0.3, 0.5), Interval(-0.1, 0.08), 0.001)
    assert (told.change.mean, told.change.low, told.change.high, told.side) == (-0.4, -0.5, -0.3, -1)


def test_the_standard_error_behind_an_interval_is_found_again():
    """That of a mean is sd / sqrt(n)."""
    import pandas as pd

    values = np.random.default_rng(0).normal(5, 2, IMAGES)
    found = standard_error(interval(means, pd.DataFrame({"x": values}))["x"], IMAGES)
    assert found == pytest.approx(values.std(ddof=1) / np.sqrt(IMAGES), rel=0.2)


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
    assert drift_variance(IMAGES, kept, last_kept, steps) == pytest.approx(np.var(change), rel=0.08)


def test_without_feedback_two_pools_differ_by_sampling_alone():
    """Regenerate only: the variance of the difference of two means of 128."""
    assert drift_variance(IMAGES, IMAGES, None, STEPS) == 2 / IMAGES


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
    variance = drift_variance(IMAGES, 32, last_kept, STEPS)
    ps = []
    for start, end, reach in zip(first.mean(axis=-1), centre.mean(axis=-1), errors, strict=True):
        spans = [Interval(x - r, x + r) for x, r in zip(start, reach, strict=True)]
        ps.append(relative("noise", "x", start, end, spans, IMAGES, variance).p)
    assert 0.03 < np.mean(np.array(ps) <= 0.05) <= 0.07


@pytest.mark.parametrize("chains", [3, 5])
def test_tails_that_drift_are_seldom_called_a_change(chains):
    """Entropies of a long-tailed attribute under drift of a perfect copier, against their own bands."""
    shares = np.array([0.55, 0.2, 0.12, 0.08, 0.04, 0.01])
    rng, ps = np.random.default_rng(chains), []
    for study in range(120):
        first, last, bands = [], [], []
        for chain in range(chains):
            counts = rng.multinomial(IMAGES, shares)
            drawn = entropy(drift([counts], 32, last_kept, STEPS, seed=1000 * study + chain)[-1])
            first.append(entropy(counts))
            last.append(_one_chain(counts, rng))
            bands.append(Interval(*np.quantile(drawn, (0.025, 0.975))))
        ps.append(banded("tails", "coat", np.array(first), np.array(last), bands).p)
    assert np.mean(np.array(ps) <= 0.05) <= 0.1


def _one_chain(counts: np.ndarray, rng: np.random.Generator) -> float:
    """A perfect copier that starts from a pool: the entropy of its fifth generation."""
    pool = counts
    for _ in range(STEPS):
        kept = rng.multivariate_hypergeometric(pool, 32)
        pool = rng.multinomial(IMAGES, kept / 32)
    return float(entropy(pool))


def test_a_distance_can_only_rise():
    """Below its band is chance; above it, in every chain, is a change."""
    bands = [Interval(-0.1, 0.1)] * 4
    assert distance("kid", np.array([0.9, 1.1, 0.8, 1.0]), bands).p < 1e-6
    near = distance("kid", np.array([-0.09, -0.1, 0.05, 0.02]), bands)
    assert near.p > 0.5
    assert near.equivalent


@pytest.mark.parametrize("make", [relative, banded, distance])
def test_two_chains_claim_nothing(make):
    """Fewer than three: no p, no equivalence."""
    first, last, spans = np.array([1.0, 1.0]), np.array([1.0, 1.0]), [Interval(0.99, 1.01)] * 2
    arguments = {relative: ("noise", "x", first, last, spans, IMAGES, 0.02), banded: ("tails", "x", first, last, spans)}
    told = make(*arguments.get(make, ("x", last, spans)))
    assert told.p is None
    assert not told.equivalent
