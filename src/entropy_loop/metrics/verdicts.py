"""The verdict on an arm, disintegration or banalisation, from the tests of all its instruments.

docs/protocol.md, Verdict, defines each verdict. An instrument is one number per chain, from generation 0 to the last.
Its mean over the chains is equivalent when its t interval lies inside the margin, and changed when it lies beyond
chance and drift (Holm over all instruments of the arm). Otherwise it is undecided: no evidence of change is not
evidence of no change.
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
    """The change of one number over the chains, and its test against chance and drift.

    change: -c for recognition; last/first - 1 for noise, diversity and tails; the last value for a distance, which has
    no first one. side: +1 above and -1 below the middle of the null. p: None with too few chains. equivalent: whether
    the t interval lies within the margin, or, for a distance, every chain within its band.
    """

    family: Family
    name: str
    change: Description
    side: int
    p: float | None
    equivalent: bool


@dataclass(frozen=True)
class Shown:
    """An instrument with its Holm-adjusted p-value over all instruments of the arm, and the resulting state."""

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
    """The verdict on an arm from its instruments. selects: whether the arm's policy reads scores.

    Disintegration: recognition falls or noise rises. Banalisation: diversity or tails fall. Stable: every family is
    measured and equivalent.
    """
    adjusted = holm([instrument.p for instrument in instruments])
    shown = tuple(Shown(i, p, _state(i, p)) for i, p in zip(instruments, adjusted, strict=True))
    states = {family: _family_state([s for s in shown if s.instrument.family == family]) for family in FAMILIES}
    disintegrates = states["recognition"] == "down" or states["noise"] == "up"
    banal = "down" in (states["diversity"], states["tails"])
    stable = all(state == "equivalent" for state in states.values())
    name = {(True, True): "both", (True, False): "disintegration", (False, True): "banalisation"}.get(
        (disintegrates, banal), "stable" if stable else "undecided"
    )
    holds = states["recognition"] in ("equivalent", "up")
    subcutaneous = selects and holds and "up" in (states["noise"], states["distance"])
    return Verdict(name, states, subcutaneous, shown)


def _state(instrument: Instrument, p: float | None) -> State:
    """Up or down needs a mean on the same side of 0 as of the null: a fall smaller than drift's is undecided."""
    if instrument.equivalent:
        return "equivalent"
    mean, side = instrument.change.mean, instrument.side
    beyond = p is not None and p <= LEVEL and mean is not None and mean * side > 0
    return ("up" if side > 0 else "down") if beyond else "undecided"


def _family_state(members: Sequence[Shown]) -> State:
    """The state of a family. The direction of decay (up for noise and distance, else down) comes before the other.

    Noise indices also depend on the scene (a meadow has more edges than a beach), each in its own way. So noise is up
    only when one index is up and most indices rise.
    """
    states = [shown.state for shown in members]
    if not states:
        return "not measured"
    if members[0].instrument.family == "noise" and "up" in states:
        changes = [shown.instrument.change.mean or 0.0 for shown in members]
        return "up" if sum(change > 0 for change in changes) > len(changes) / 2 else "undecided"
    worse: State = "up" if members[0].instrument.family in ("noise", "distance") else "down"
    better: State = "down" if worse == "up" else "up"
    for state in (worse, better):
        if state in states:
            return state
    return "equivalent" if all(state == "equivalent" for state in states) else "undecided"


# ---- instruments from numbers ------------------------------------------------------------------------


def recognition(name: str, change: Description, null: Interval | None, p: float | None) -> Instrument:
    """The instrument of V, from c over the chains, its null band and its p in summary.csv. Its change is -c."""
    negated = Description(
        change.chains,
        None if change.mean is None else -change.mean,
        None if change.high is None else -change.high,
        None if change.low is None else -change.low,
    )
    side = 0 if change.mean is None or null is None else _sign((null.low + null.high) / 2 - change.mean)
    return Instrument("recognition", name, negated, side, p, _within_margin(negated))


def relative(
    family: Family,
    name: str,
    first: np.ndarray,
    last: np.ndarray,
    spans: Sequence[Interval],
    n: int,
    drift: float | None,
) -> Instrument:
    """The relative change, last/first - 1, of a statistic that is a mean over a pool's n images.

    first, last: (chains,), NaN where missing. spans: intervals of the first values (`resample.interval`). drift: from
    `drift_variance`; None, and then no p, where it is unknown. Under neutral drift the change has variance n `drift`
    times the squared standard error of one pool.
    """
    from scipy.special import ndtr

    start = np.where(first != 0, first, np.nan)
    change = last / start - 1
    scale = math.nan if drift is None else math.sqrt(n * drift)
    error = np.array([standard_error(span, n) for span in spans]) / np.abs(start) * scale
    description, z = describe(change), _z_of_sum(change, error)
    p = None if z is None else 2 * float(ndtr(-abs(z)))
    return Instrument(family, name, description, _sign(z or 0.0), p, _within_margin(description))


def simulated(
    family: Family, name: str, first: np.ndarray, last: np.ndarray, mean: np.ndarray, sd: np.ndarray
) -> Instrument:
    """The relative change, last/first - 1, of a statistic whose null is simulated for each chain.

    The null is the drift of a perfect copier from generation 0's pool. mean, sd: (chains,), of the last value under the
    null, NaN without one. z is the sum over the chains of last - mean, divided by its standard deviation. Diversity is
    tested for a fall only: the copier repeats images exactly, so real pools lie above its null.
    """
    from scipy.special import ndtr

    change = last / np.where(first != 0, first, np.nan) - 1
    description, z = describe(change), _z_of_sum(last - mean, sd)
    p = None if z is None else float(ndtr(z)) if family == "diversity" else 2 * float(ndtr(-abs(z)))
    return Instrument(family, name, description, _sign(z or 0.0), p, _within_margin(description))


def distance(name: str, last: np.ndarray, bands: Sequence[Interval | None]) -> Instrument:
    """The distance of the last pool to generation 0's, tested one-sided against its `resample.same_model` bands (chance
    alone, no drift)."""
    from scipy.special import ndtr

    description, z = describe(last), _z_from_bands(last, bands)
    within = description.chains >= LEAST_CHAINS and all(b and x <= b.high for x, b in zip(last, bands, strict=True))
    p = None if z is None else float(ndtr(-z))
    return Instrument("distance", name, description, _sign(z or 0.0), p, within)


def drift_variance(images: int, drift: Drift | None, steps: int) -> float:
    """Variance of the change, over `steps` steps, of a mean over a pool's images, in units of one image's variance.

    Neutral drift acts on every mean over images in the same way, so it is simulated for a rate of one half
    (docs/laws.md, E11) through the arm's own regime. drift None: nothing is fed back, and the variance is 2/images.
    """
    if drift is None:
        return 2 / images
    rng = np.random.default_rng(0)
    rates = neutral(rng.binomial(images, 0.5, _REPLICATES), images, drift, steps, rng)
    return float(np.var(rates[:, -1] - rates[:, 0]) / 0.25)


def _within_margin(change: Description) -> bool:
    """Whether the t interval over the chains lies within the margin."""
    return (
        change.chains >= LEAST_CHAINS
        and change.low is not None
        and change.high is not None
        and change.low >= -MARGIN
        and change.high <= MARGIN
    )


def _z_of_sum(departures: np.ndarray, sd: np.ndarray) -> float | None:
    """z of the sum of departures (chains,), with mean 0 and standard deviations `sd` under the null; None with too few
    chains that have both, or when every sd is 0."""
    known = ~np.isnan(departures) & ~np.isnan(sd)
    spread = math.sqrt(float(np.sum(sd[known] ** 2)))
    if known.sum() < LEAST_CHAINS or spread == 0:
        return None
    return float(np.sum(departures[known])) / spread


def _z_from_bands(values: np.ndarray, bands: Sequence[Interval | None]) -> float | None:
    """z of the values (chains,) against the middle of their 95 % bands, combined as sum / sqrt(chains); None with too
    few chains that have both."""
    scores = [
        (x - (band.low + band.high) / 2) / ((band.high - band.low) / 2 / Z)
        for x, band in zip(values, bands, strict=True)
        if band and band.high > band.low and not math.isnan(x)
    ]
    return sum(scores) / math.sqrt(len(scores)) if len(scores) >= LEAST_CHAINS else None


def _sign(value: float) -> int:
    return int(value > 0) - int(value < 0)
