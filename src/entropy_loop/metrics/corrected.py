"""The recognition rate corrected for the judge's measured errors, with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

from entropy_loop.metrics.rates import Interval

_Z = 1.959963984540054  # 97.5 % quantile of the normal law


@dataclass(frozen=True)
class Corrected:
    """Rate and 95 % interval in [0, 1], None where missing. reason: why it is missing, or that it was clipped."""

    rate: float | None
    low: float | None
    high: float | None
    reason: str


def corrected(hits: int, n: int, positives: tuple[int, int], negatives: tuple[int, int]) -> Corrected:
    """p = (V + Sp - 1) / (Se + Sp - 1) with V = hits / n (Rogan & Gladen 1978, Am. J. Epidemiol. 107:71).

    positives: (recognised, all) labelled images that show the concept; their ratio is the sensitivity Se.
    negatives: (refused, all) labelled images that do not; their ratio is the specificity Sp.
    The interval is that of Lang & Reiczigel 2014 (Prev. Vet. Med. 113:13). The rate is missing, with a reason, without
    images or labels, and where Se + Sp <= 1: such a judge is no better than a coin.
    """
    if n == 0:
        return _missing("nothing was judged")
    if not (positives[1] and negatives[1]):
        return _missing("sensitivity or specificity was not measured")
    v, se, sp = hits / n, positives[0] / positives[1], negatives[0] / negatives[1]
    if se + sp <= 1:
        return _missing(f"Se + Sp = {se:.2f} + {sp:.2f} <= 1: the judge does no better than a coin")
    bare = round((v + sp - 1) / (se + sp - 1), 12)  # V = Se must give exactly 1
    rate = _clip(bare)
    low, high = _interval(hits, n, positives, negatives)
    # With few labels the interval can miss the rate, so it is widened to include it.
    reason = f"clipped: the bare correction is {bare:.3f}" if rate != bare else ""
    return Corrected(rate, min(low, rate), max(high, rate), reason)


def _interval(hits: int, n: int, positives: tuple[int, int], negatives: tuple[int, int]) -> Interval:
    """Agresti-Coull counts, the delta method over all three samples, and a shift for skewness (Lang & Reiczigel's
    equations 4, 6, 7, 16 and 17), with one difference: the centre is clipped before the limits are computed. Theirs
    shrinks to a point when the pool has more hits than Se explains. This one is never narrower."""
    n_v, n_se, n_sp = n + _Z**2, positives[1] + 2, negatives[1] + 2
    v, se, sp = (hits + _Z**2 / 2) / n_v, (positives[0] + 1) / n_se, (negatives[0] + 1) / n_sp
    informedness = se + sp - 1
    if informedness <= 0:  # too few labels to say anything
        return Interval(0.0, 1.0)
    p = (v + sp - 1) / informedness
    var_se, var_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    half = _Z * math.sqrt(v * (1 - v) / n_v + p**2 * var_se + (1 - p) ** 2 * var_sp) / informedness
    centre = _clip(p + 2 * _Z**2 * (p * var_se - (1 - p) * var_sp))
    return Interval(_clip(centre - half), _clip(centre + half))


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))


def _missing(reason: str) -> Corrected:
    return Corrected(None, None, None, reason)
