"""Statistics across chains. The unit of inference is the chain: one number each, and a claim only against drift.

Drift is a random walk, so a trend inside one chain proves nothing. The mean of a statistic over C chains is held
against its distribution over C chains of a perfect copier (docs/laws.md, E11) under the arm's own regime and k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from entropy_loop import seeds
from entropy_loop.metrics.nulls import REPLICATES, Drift, neutral, pooled, said

LEAST_CHAINS = 3
"""Fewer chains than these are described and never claimed on."""


@dataclass(frozen=True)
class Description:
    """Mean over the chains with a t interval (95 %); what is missing is None. Columns of summary.csv."""

    chains: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Claim:
    """Where 95 % of the means lie under drift alone, and how rarely drift goes as far as the observed mean."""

    null_low: float | None
    null_high: float | None
    p: float | None
    reason: str


def change_rates(rates: np.ndarray) -> np.ndarray:
    """c = (V1 - V2) / V1 from the first generation to the last: (..., steps + 1) to (...), NaN where V1 = 0.

    A NaN rate (nothing judged) makes it NaN too.
    """
    first, last = rates[..., 0], rates[..., -1]
    return 1 - last / np.where(first > 0, first, np.nan)


def slopes(rates: np.ndarray) -> np.ndarray:
    """Least-squares slope of V on the generation: (..., steps + 1) to (...), NaN unless every pool was judged."""
    generations = np.arange(rates.shape[-1])
    centred = generations - generations.mean()
    return rates @ (centred / (centred @ centred))


def describe(values: np.ndarray) -> Description:
    """One value per chain, (chains,), NaN where undefined. No interval under two chains."""
    from scipy.special import stdtrit

    defined = values[~np.isnan(values)]
    chains = len(defined)
    if chains == 0:
        return Description(0, None, None, None)
    mean = float(defined.mean())
    if chains == 1:
        return Description(1, mean, None, None)
    half = float(stdtrit(chains - 1, 0.975)) * float(defined.std(ddof=1)) / math.sqrt(chains)
    return Description(chains, mean, mean - half, mean + half)


def drift_null(
    first: np.ndarray,
    images: int,
    drifts: Mapping[str, Drift],
    steps: int,
    seed: int,
    replicates: int = REPLICATES,
    judged: int | None = None,
) -> dict[str, np.ndarray]:
    """Rates (replicates, chains, steps + 1) of neutral chains for each of the arms that share generation 0.

    first: (chains,) rates V1 of generation 0 of one concept, NaN where not judged. A replicate draws one pool of
    `images` per chain at the pooled rate (hits + .5) / (n + 1); all arms start from it and then drift independently,
    so that statistic(null[arm]) and statistic(null[arm]) - statistic(null[against]) are the nulls of the arm and of
    the paired difference. An arm's draws follow from its name: other arms do not change them. Arms of one seed
    also share noise in their pools, which this null ignores: it makes claims about differences cautious.
    judged: so many images of each pool people looked at, or were answered; None: all, by a judge.
    """
    known, looked = first[~np.isnan(first)], images if judged is None else judged
    v1 = pooled(float(known.sum()) * looked, len(known) * looked)
    shape = replicates, len(first)
    pools = np.random.default_rng(seeds.seed(seed, "generation 0")).binomial(images, v1, shape).ravel()
    found = {}
    for arm, drift in drifts.items():
        rng = np.random.default_rng(seeds.seed(seed, f"drift of {arm}"))
        rates = neutral(pools, images, drift, steps, rng)
        found[arm] = rates.reshape(*shape, steps + 1)
    # Arms that share generation 0 share what was seen of it, too.
    start = np.random.default_rng(seeds.seed(seed, "seen of generation 0"))
    seen = said(pools.reshape(shape) / images, judged, start)
    for arm, rates in found.items():
        rng = np.random.default_rng(seeds.seed(seed, f"seen of {arm}"))
        found[arm] = np.concatenate([seen[..., None], said(rates[..., 1:], judged, rng)], axis=-1)
    return found


def claim(values: np.ndarray, null: np.ndarray) -> Claim:
    """Is the mean over the chains beyond drift? Both come from the same statistic.

    values: (chains,), NaN where undefined; those chains are left out, also of the null. null: (replicates, chains).
    """
    defined = ~np.isnan(values)
    chains, left_out = int(defined.sum()), int((~defined).sum())
    if chains == 0:
        return Claim(None, None, None, "no chain has a value: V1 = 0, or a pool is missing")
    reasons = [f"{left_out} of {len(values)} chains left out: V1 = 0, or a pool is missing"] if left_out else []
    means = mean_over_chains(null[:, defined])
    low, high = (float(q) for q in np.quantile(means, (0.025, 0.975)))
    p = None
    if chains >= LEAST_CHAINS:
        p = float(p_values(mean_over_chains(values[np.newaxis]), means)[0])
    else:
        reasons.append(f"a claim needs {LEAST_CHAINS} chains, {chains} is too few")
    return Claim(low, high, p, "; ".join(reasons))


def mean_over_chains(values: np.ndarray) -> np.ndarray:
    """Mean over the defined chains, (replicates, chains) to (replicates,), without rows that have none.

    Rounded to 12 decimals: equal means that were summed in another order stay ties.
    """
    means = np.ma.masked_invalid(values).mean(axis=1)
    return np.round(np.ma.compressed(means), 12)


def p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Two-sided Monte-Carlo p of each observed value (any shape) against a sample (replicates,) of its null.

    Twice the smaller tail, each tail (b + 1) / (R + 1) with ties counted as extreme (Phipson & Smyth 2010, Stat.
    Appl. Genet. Mol. Biol. 9:39): valid for skewed and for discrete nulls, because each tail is.
    """
    ordered = np.sort(null)
    above = len(ordered) - np.searchsorted(ordered, observed, side="left")
    below = np.searchsorted(ordered, observed, side="right")
    tail = (np.minimum(above, below) + 1) / (len(ordered) + 1)
    return np.minimum(1.0, 2 * tail)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm-adjusted p (Holm 1979, Scand. J. Statist. 6:65) over the claims that have one; None stays None."""
    claimed = [p for p in ps if p is not None]
    if not claimed:
        return list(ps)
    from statsmodels.stats.multitest import multipletests  # takes half a second to import

    adjusted = iter(multipletests(claimed, method="holm")[1])
    return [None if p is None else float(next(adjusted)) for p in ps]
