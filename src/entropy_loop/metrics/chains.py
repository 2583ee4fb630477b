"""Statistics across chains, and claims that a change is beyond drift.

Drift is a random walk, so a trend within one chain proves nothing. The unit of inference is the chain, with one number
each. The mean over C chains is compared with its distribution over C chains of a perfect copier (docs/laws.md, E11)
under the arm's own regime and k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from entropy_loop import seeds
from entropy_loop.metrics.nulls import REPLICATES, Drift, neutral, observed_rates, pooled

LEAST_CHAINS = 3
"""A claim needs at least this many chains. Fewer are only described."""


@dataclass(frozen=True)
class Description:
    """Mean over the chains with its 95 % t interval, None where missing. Columns of summary.csv."""

    chains: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Claim:
    """The 95 % band of the mean under drift alone, and the p-value of the observed mean."""

    null_low: float | None
    null_high: float | None
    p: float | None
    reason: str


def change_rates(rates: np.ndarray) -> np.ndarray:
    """c = (V1 - V2) / V1 from the first generation to the last: (..., steps + 1) to (...).

    NaN where V1 = 0 or either rate is NaN.
    """
    first, last = rates[..., 0], rates[..., -1]
    return 1 - last / np.where(first > 0, first, np.nan)


def slopes(rates: np.ndarray) -> np.ndarray:
    """Least-squares slope of V on the generation: (..., steps + 1) to (...), NaN where a rate is NaN."""
    generations = np.arange(rates.shape[-1])
    centred = generations - generations.mean()
    return rates @ (centred / (centred @ centred))


def describe(values: np.ndarray) -> Description:
    """Describe one value per chain, (chains,), NaN where undefined. An interval needs two chains."""
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
    """Simulated rates (replicates, chains, steps + 1) under drift, for each of the arms that share generation 0.

    first: (chains,) rates V1 of generation 0 for one concept, NaN where not judged. images: per pool. judged: images
    per pool that have an answer; None for all.

    A replicate draws one pool per chain at the pooled rate (hits + .5) / (n + 1). All arms start from it and then drift
    independently. So statistic(null[arm]) is the null of the arm, and statistic(null[arm]) - statistic(null[against])
    that of the paired difference. An arm's draws depend on its name alone, not on other arms. Arms of one seed also
    share noise in their pools. The null ignores this, which makes claims about differences cautious.
    """
    known, answered = first[~np.isnan(first)], images if judged is None else judged
    v1 = pooled(float(known.sum()) * answered, len(known) * answered)
    shape = replicates, len(first)
    pools = np.random.default_rng(seeds.seed(seed, "generation 0")).binomial(images, v1, shape).ravel()
    nulls = {}
    for arm, drift in drifts.items():
        rng = np.random.default_rng(seeds.seed(seed, f"drift of {arm}"))
        nulls[arm] = neutral(pools, images, drift, steps, rng).reshape(*shape, steps + 1)
    # Arms that share generation 0 share the answers to it, too.
    rng = np.random.default_rng(seeds.seed(seed, "seen of generation 0"))
    start = observed_rates(pools.reshape(shape) / images, judged, rng)
    for arm, rates in nulls.items():
        rng = np.random.default_rng(seeds.seed(seed, f"seen of {arm}"))
        nulls[arm] = np.concatenate([start[..., None], observed_rates(rates[..., 1:], judged, rng)], axis=-1)
    return nulls


def claim(values: np.ndarray, null: np.ndarray) -> Claim:
    """Test whether the mean over the chains is beyond drift.

    values: (chains,), NaN where undefined. null: (replicates, chains), of the same statistic. Chains with an undefined
    value are left out of both.
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
    """Mean over the defined chains, (replicates, chains) to (replicates,); rows without any are left out.

    Rounded to 12 decimals, so that equal means stay ties whatever the order of summation.
    """
    means = np.ma.masked_invalid(values).mean(axis=1)
    return np.round(np.ma.compressed(means), 12)


def p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Two-sided Monte-Carlo p-values of observed values (any shape) against a sample (replicates,) of their null.

    Twice the smaller tail. Each tail is (b + 1) / (R + 1), with ties counted as extreme (Phipson & Smyth 2010, Stat.
    Appl. Genet. Mol. Biol. 9:39). Each tail is valid, so the p-value is valid for skewed and discrete nulls.
    """
    ordered = np.sort(null)
    above = len(ordered) - np.searchsorted(ordered, observed, side="left")
    below = np.searchsorted(ordered, observed, side="right")
    tail = (np.minimum(above, below) + 1) / (len(ordered) + 1)
    return np.minimum(1.0, 2 * tail)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm-adjusted p-values (Holm 1979, Scand. J. Statist. 6:65) over those that are not None; None stays None."""
    claimed = [p for p in ps if p is not None]
    if not claimed:
        return list(ps)
    from statsmodels.stats.multitest import multipletests  # slow to import: half a second

    adjusted = iter(multipletests(claimed, method="holm")[1])
    return [None if p is None else float(next(adjusted)) for p in ps]
