"""Tails: the rare values of an attribute. Shares, entropy, survivors, correction for misreading, drift.

`counts` are the numbers of images per value of the attribute, in a fixed order of values, with at least one image in
total. A shape (..., values) allows leading axes for replicates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from entropy_loop.errors import ConfigError
from entropy_loop.metrics.nulls import REPLICATES, Drift, without_replacement


def count(labels: pd.Series[str], values: Sequence[str]) -> np.ndarray:
    """The number of labels per value, (values,); missing labels do not count. Raises ConfigError for an unknown one."""
    counts = labels.dropna().value_counts()
    if unknown := sorted(set(counts.index) - set(values)):
        raise ConfigError(f"attributes: {unknown} was read, but the values are {list(values)}; add it to the config.")
    return counts.reindex(list(values), fill_value=0).to_numpy()


def variety(labels: pd.Series[str], values: Sequence[str]) -> dict[str, float]:
    """The entropy of a pool's labels in bits, as a `resample.Family`."""
    return {"entropy": float(entropy(count(labels, values)))}


def entropy(counts: np.ndarray) -> np.ndarray:
    """Shannon entropy of shares or counts (..., values) in bits (...), not corrected for bias; NaN where all are 0.

    It is too low by about (values seen - 1) / (2 n ln 2) bits (Miller 1955). That is under a third of its standard
    deviation for 128 images and 6 values, and cancels in a difference between pools of one size.
    """
    total = counts.sum(axis=-1, keepdims=True)
    p = counts / np.where(total > 0, total, np.nan)
    return -np.sum(p * np.log2(p, where=p > 0, out=np.zeros_like(p)), axis=-1)


def survivors(counts: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The number of values that occur among those in the mask `among` (values,): (..., values) to (...)."""
    return np.sum(counts[..., among] > 0, axis=-1)


def other_pools(counts: np.ndarray, seed: int) -> np.ndarray:
    """Counts (replicates, values) of other pools of this size from the same model.

    The quantiles of their entropy or survivors are a band for "same model, another pool". Shares are drawn from the
    posterior given the pool (Dirichlet, with one prior image spread over all values), then a pool at each.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(int(counts.sum()), rng.dirichlet(counts + 1 / len(counts), REPLICATES))


def corrected_shares(counts: np.ndarray, confusion: np.ndarray, seed: int) -> pd.DataFrame:
    """Estimate true shares from the values that a reader with known confusions read; one row per value.

    confusion: counts (values, values) of held-out images by true value (rows) and read value (columns).

    Columns: share, the maximum-likelihood estimate on the simplex (for two values the clipped estimate of Rogan &
    Gladen 1978, Am. J. Epidemiol. 107:71). low, high: 95 % band of the estimates over posterior draws of the pool's
    shares (Dirichlet, Jeffreys' prior) and of the confusion rows (Dirichlet, one prior image spread over the row).
    floor: share of the pool that is read as the value but shows another one. reason: why a share is missing.

    A value rarer than its floor is unmeasurable: its share is NaN, but its interval still bounds it. A value without
    held-out images has no interval either.
    """
    rng = np.random.default_rng(seed)
    k = len(counts)
    known = (confusion + 1 / k) / (confusion.sum(axis=1, keepdims=True) + 1)
    share = _most_likely(counts[None] / counts.sum(), known[None])[0]
    read = rng.dirichlet(counts + 0.5, REPLICATES // 4)
    matrices = np.stack([rng.dirichlet(row + 1 / k, REPLICATES // 4) for row in confusion], axis=1)
    low, high = np.quantile(_most_likely(read, matrices), (0.025, 0.975), axis=0)
    floor = share @ known - share * known.diagonal()
    table = pd.DataFrame({"share": share, "low": low, "high": high, "floor": floor, "reason": ""})
    table.loc[share < floor, "reason"] = "unmeasurable: rarer than its false-positive floor"
    table.loc[table["reason"] != "", "share"] = np.nan
    unseen = confusion.sum(axis=1) == 0
    table.loc[unseen, "reason"] = "unmeasurable: no held-out image of it"
    table.loc[unseen, ["share", "low", "high"]] = np.nan
    return table


def _most_likely(read: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """Shares p (replicates, values) that maximise sum_j read_j log (p @ confusion)_j on the simplex.

    Expectation maximisation (Dempster et al. 1977). Every step stays on the simplex, and the problem is concave.
    """
    p = np.full_like(read, 1 / read.shape[1])
    for _ in range(1000):
        expected = np.einsum("ri,rij->rj", p, confusion)
        better = p * np.einsum("rij,rj->ri", confusion, read / expected)
        if np.abs(better - p).max() < 1e-6:
            return better
        p = better
    return p


def drift(pools: Sequence[np.ndarray], null: Drift, steps: int, seed: int, replicates: int = REPLICATES) -> np.ndarray:
    """Counts (steps + 1, replicates, values) of the pools of perfect copiers: multinomial Wright-Fisher.

    pools: measured counts of the pools of generations 0..start. The simulation draws the start's pool again and then
    `steps` generations. Each draws its pool, of the same size, at the shares of its diet, (replicates, values). Earlier
    generations keep their measured counts. This is docs/laws.md, E11, value by value.
    """
    rng = np.random.default_rng(seed)
    n = int(pools[-1].sum())
    *kept, rate = (np.tile(_never_zero(counts), (replicates, 1)) for counts in pools)
    drawn = []
    for _ in range(steps + 1):
        drawn.append(rng.multinomial(n, rate))
        if null.repeats:
            chosen = rng.multinomial(null.kept, drawn[-1] / n)
        else:
            chosen = without_replacement(drawn[-1], null.kept, rng)
        kept.append(chosen / null.kept)
        rate = null.diet(kept, rng)
        rate = rate / rate.sum(axis=1, keepdims=True)  # multinomial refuses a sum that rounds to above 1
    return np.stack(drawn)


def _never_zero(counts: np.ndarray) -> np.ndarray:
    """Shares with one prior image spread over all values, so that no value is impossible."""
    return (counts + 1 / len(counts)) / (counts.sum() + 1)
