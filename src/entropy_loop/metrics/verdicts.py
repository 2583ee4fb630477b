"""Noise or banalisation: what became of an arm, from the tests of all its instruments together.

What each verdict means: docs/protocol.md, Verdict. An instrument is one number per chain, from generation 0 to the
last. Its mean over the chains is equivalent when its t interval lies inside the margin (whatever is shown there is too
small to matter), changed when it lies beyond what chance and drift do (Holm over all instruments of the arm). Neither
is undecided: no evidence of change is not evidence of none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from entropy_loop.metrics.chains import LEAST_CHAINS, Description, describe, holm
from entropy_loop.metrics.nulls import Drift, neutral
from entropy_loop.metrics.rates import Interval
from entropy_loop.metrics.resample import standard_error

LEVEL, MARGIN = 0.05, 0.1
FAMILIES = ("recognition", "noise", "diversity", "tails", "distance")
Family = Literal["recognition", "noise", "diversity", "tails", "distance"]
State = Literal["up", "down", "equivalent", "undecided", "not measured"]
Z = 1.959963984540054  # 97.5 % quantile of the normal law
_REPLICATES = 20_000


@dataclass(frozen=True)
class Instrument:
    """One number over the chains, and how rarely chance and drift take it as far from their middle.

    change: of recognition -c, of noise, diversity and tails last/first - 1; of a distance, which has no first value,
    the last one itself. side: +1 above and -1 below that middle. p: None with too few chains. equivalent: whether
    the t interval lies within the margin, or for a distance every chain within its band.
    """

    family: Family
    name: str
    change: Description
    side: int
    p: float | None
    equivalent: bool


@dataclass(frozen=True)
class Shown:
    """An instrument with its p, Holm-adjusted over all of the arm, and what that shows."""

    instrument: Instrument
    p_adjusted: float | None
    state: State


@dataclass(frozen=True)
class Verdict:
    """verdict: disintegration, banalisation, both, stable or undecided. states: by family. subcutaneous: recognition
    holds under selection while noise or the distance to generation 0 rises."""

    verdict: str
    states: Mapping[str, State]
    subcutaneous: bool
    shown: tuple[Shown, ...]


def verdict(instruments: Sequence[Instrument], selects: bool) -> Verdict:
    """What the instruments of one arm show together. selects: whether the arm's policy reads scores.

    Disintegration when recognition falls or noise rises, banalisation when diversity or tails fall; stable when every
    family is measured and everything is equivalent.
    """
    shown = _shown(instruments)
    states = {family: _family([one for one in shown if one.instrument.family == family]) for family in FAMILIES}
    disintegrates = states["recognition"] == "down" or states["noise"] == "up"
    banal = "down" in (states["diversity"], states["tails"])
    still = all(state == "equivalent" for state in states.values())
    name = {(True, True): "both", (True, False): "disintegration", (False, True): "banalisation"}.get(
        (disintegrates, banal), "stable" if still else "undecided"
    )
    holds = states["recognition"] in ("equivalent", "up")
    under = selects and holds and "up" in (states["noise"], states["distance"])
    return Verdict(name, states, under, shown)


def _shown(instruments: Sequence[Instrument]) -> tuple[Shown, ...]:
    adjusted = holm([one.p for one in instruments])
    return tuple(Shown(one, p, _state(one, p)) for one, p in zip(instruments, adjusted, strict=True))


def _state(one: Instrument, p: float | None) -> State:
    """A number that falls, but less than drift alone would make it fall, is shown to do neither."""
    if one.equivalent:
        return "equivalent"
    beyond = p is not None and p <= LEVEL and one.change.mean is not None and one.change.mean * one.side > 0
    return ("up" if one.side > 0 else "down") if beyond else "undecided"


def _family(members: Sequence[Shown]) -> State:
    """What a family shows: the direction that speaks for decay (less, for noise and distance more) before the other.

    Noise indices also depend on what a scene shows (a meadow has more edges than a beach), each in its own way: noise
    rises when an index is shown to and most of them go up.
    """
    states = [one.state for one in members]
    if not states:
        return "not measured"
    if members[0].instrument.family == "noise" and "up" in states:
        changes = [one.instrument.change.mean or 0.0 for one in members]
        return "up" if sum(change > 0 for change in changes) > len(changes) / 2 else "undecided"
    worse: State = "up" if members[0].instrument.family in ("noise", "distance") else "down"
    better: State = "down" if worse == "up" else "up"
    for state in (worse, better):
        if state in states:
            return state
    return "equivalent" if all(state == "equivalent" for state in states) else "undecided"


# ---- instruments from numbers ------------------------------------------------------------------------


def recognition(name: str, change: Description, null: Interval | None, p: float | None) -> Instrument:
    """c over the chains, its null band and its p, as summary.csv has them. A fall of V is a fall here: -c."""
    turned = Description(
        change.chains,
        None if change.mean is None else -change.mean,
        None if change.high is None else -change.high,
        None if change.low is None else -change.low,
    )
    side = 0 if change.mean is None or null is None else _sign((null.low + null.high) / 2 - change.mean)
    return Instrument("recognition", name, turned, side, p, _inside(turned))


def relative(
    family: Family,
    name: str,
    first: np.ndarray,
    last: np.ndarray,
    spans: Sequence[Interval],
    n: int,
    drift: float | None,
) -> Instrument:
    """A mean over the n images of a pool: its mean relative change over the chains, last/first - 1.

    first, last: (chains,), NaN where missing. spans: intervals of the first ones (`resample.interval`). drift: as of
    `drift_variance`, None where it is not known (no p). Under neutral drift the change has variance n `drift` times
    the squared standard error of one pool.
    """
    from scipy.special import ndtr

    start = np.where(first != 0, first, np.nan)
    change = last / start - 1
    units = math.nan if drift is None else math.sqrt(n * drift)
    error = np.array([standard_error(span, n) for span in spans]) / np.abs(start) * units
    told, z = describe(change), _summed(change, error)
    p = None if z is None else 2 * float(ndtr(-abs(z)))
    return Instrument(family, name, told, _sign(z or 0.0), p, _inside(told))


def simulated(
    family: Family, name: str, first: np.ndarray, last: np.ndarray, mean: np.ndarray, sd: np.ndarray
) -> Instrument:
    """A number whose null is simulated chain by chain, as drift of a perfect copier from generation 0's pool: `mean`
    and `sd` (chains,) of the last value under it, NaN where there is none.

    z: the sum over the chains of how far the values lie from their means, over its standard deviation. Diversity is
    only tested for a fall: its copier repeats images to the pixel, so that a fair pool lies above it.
    """
    from scipy.special import ndtr

    change = last / np.where(first != 0, first, np.nan) - 1
    z, told = _summed(last - mean, sd), describe(change)
    p = None if z is None else float(ndtr(z)) if family == "diversity" else 2 * float(ndtr(-abs(z)))
    return Instrument(family, name, told, _sign(z or 0.0), p, _inside(told))


def distance(name: str, last: np.ndarray, bands: Sequence[Interval | None]) -> Instrument:
    """A distance of the last pool to generation 0's, against its bands of one and the same model (chance alone, no
    drift). One-sided: a distance can only rise."""
    from scipy.special import ndtr

    score, told = _combined(last, bands), describe(last)
    within = told.chains >= LEAST_CHAINS and all(b and x <= b.high for x, b in zip(last, bands, strict=True))
    p = None if score is None else float(ndtr(-score))
    return Instrument("distance", name, told, _sign(score or 0.0), p, within)


def drift_variance(images: int, drift: Drift | None, steps: int) -> float:
    """Variance of the change of a mean over a pool's images in `steps` steps, in units of one image's variance.

    Neutral drift acts alike on every number that is a mean over images (each image passes on what it shows), so a
    rate of one half tells it: simulated (docs/laws.md, E11) through the arm's own regime. drift None: nothing is fed
    back, and two pools of one model differ by 2/images.
    """
    if drift is None:
        return 2 / images
    rng = np.random.default_rng(0)
    rates = neutral(rng.binomial(images, 0.5, _REPLICATES), images, drift, steps, rng)
    return float(np.var(rates[:, -1] - rates[:, 0]) / 0.25)


def _inside(change: Description) -> bool:
    """Whether the t interval over the chains lies within the margin."""
    return (
        change.chains >= LEAST_CHAINS
        and change.low is not None
        and change.high is not None
        and change.low >= -MARGIN
        and change.high <= MARGIN
    )


def _summed(departures: np.ndarray, sd: np.ndarray) -> float | None:
    """Standard normal under the null: departures (chains,) of mean 0 and standard deviations `sd`, added up. None
    with too few chains that have both, or without any spread to hold them against."""
    known = ~np.isnan(departures) & ~np.isnan(sd)
    spread = math.sqrt(float(np.sum(sd[known] ** 2)))
    if known.sum() < LEAST_CHAINS or spread == 0:
        return None
    return float(np.sum(departures[known])) / spread


def _combined(values: np.ndarray, bands: Sequence[Interval | None]) -> float | None:
    """Standard normal under the null: the sum of how many standard deviations each chain's value lies above the
    middle of its 95 % band, over the root of their number. None with too few chains that have both."""
    scores = [
        (x - (band.low + band.high) / 2) / ((band.high - band.low) / 2 / Z)
        for x, band in zip(values, bands, strict=True)
        if band and band.high > band.low and not math.isnan(x)
    ]
    return sum(scores) / math.sqrt(len(scores)) if len(scores) >= LEAST_CHAINS else None


def _sign(value: float) -> int:
    return int(value > 0) - int(value < 0)
