"""What becomes of the rare values of an attribute: shares, entropy, survivors, correction for misreading, drift.

`counts` are how many images show each value of the attribute, always in one order of values and at least one
image in all; functions that say (..., values) take replicates in front.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from entropy_loop.errors import ConfigError
from entropy_loop.metrics.nulls import REPLICATES, Drift, without_replacement


def count(labels: pd.Series[str], values: Sequence[str]) -> np.ndarray:
    """How many labels are each of the values, (values,); missing labels do not count. Raises ConfigError."""
    found = labels.dropna().value_counts()
    if unknown := sorted(set(found.index) - set(values)):
        raise ConfigError(f"attributes: {unknown} was read, but the values are {list(values)}; add it to the config.")
    return found.reindex(list(values), fill_value=0).to_numpy()


def variety(labels: pd.Series[str], values: Sequence[str]) -> dict[str, float]:
    """The entropy of a pool's labels, in bits: a family for the intervals of `resample`."""
    return {"entropy": float(entropy(count(labels, values)))}


def entropy(counts: np.ndarray) -> np.ndarray:
    """Shannon entropy of shares or counts (..., values), in bits (...), without correction for its bias.

    It is too low by about (values seen - 1) / (2 n ln 2) bits (Miller 1955), alike in pools of one size:
    under a third of its standard deviation for 128 images and 6 values, and nothing in a difference.
    """
    p = counts / counts.sum(axis=-1, keepdims=True)
    return -np.sum(p * np.log2(p, where=p > 0, out=np.zeros_like(p)), axis=-1)


def survivors(counts: np.ndarray, among: np.ndarray) -> np.ndarray:
    """How many of some values, a mask (values,), occur at all; (..., values) to (...). Only rare ones ever do not."""
    return np.sum(counts[..., among] > 0, axis=-1)


def other_pools(counts: np.ndarray, seed: int) -> np.ndarray:
    """Counts (replicates, values) of other pools of this size from the model that made this one.

    The quantiles of their entropy or survivors are a band of "same model, another pool". Shares are drawn from
    what the pool leaves open (Dirichlet, one image spread over all values beforehand), then a pool at each.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(int(counts.sum()), rng.dirichlet(counts + 1 / len(counts), REPLICATES))


def corrected_shares(counts: np.ndarray, confusion: np.ndarray, seed: int) -> pd.DataFrame:
    """True shares behind what a recogniser with a known confusion matrix read; one row per value.

    confusion: counts (values, values), held-out images by true value (rows) and read value (columns).
    share: the most likely shares of all possible ones, none negative, sum 1 (for two values the clipped estimate
    of Rogan & Gladen 1978, Am. J. Epidemiol. 107:71). low, high: 95 % of the shares that fit draws from what the
    pool (Dirichlet, Jeffreys' prior) and the held-out images (one more, spread over the row) leave open.
    floor: share of the pool that is read as the value but shows another one. A value rarer than its floor is
    unmeasurable: its share is NaN with a reason, but its interval still bounds it, so that a tail which is lost
    is not lost sight of. A value without held-out images has no interval either.
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

    Expectation maximisation (Dempster et al. 1977): every step stays on the simplex; the problem is concave.
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

    pools: counts of the pools of generations 0..start that were seen; the simulation draws the start again
    and then `steps` generations, each of which draws its pool of as many images at the shares of its diet; the diet is
    asked with shares (replicates, values). Generations before the start stay as they were seen. docs/laws.md,
    E11, value by value.
    """
    rng = np.random.default_rng(seed)
    n = int(pools[-1].sum())
    *eaten, rate = (np.tile(_never_zero(counts), (replicates, 1)) for counts in pools)
    drawn = []
    for _ in range(steps + 1):
        drawn.append(rng.multinomial(n, rate))
        shares, kept = drawn[-1] / n, null.kept
        chosen = rng.multinomial(kept, shares) if null.repeats else without_replacement(drawn[-1], kept, rng)
        eaten.append(chosen / kept)
        rate = null.diet(eaten, rng)
        rate = rate / rate.sum(axis=1, keepdims=True)  # multinomial refuses a sum that rounds to more than 1
    return np.stack(drawn)


def _never_zero(counts: np.ndarray) -> np.ndarray:
    """Shares with one image spread over all values: one that was not seen need not be impossible."""
    return (counts + 1 / len(counts)) / (counts.sum() + 1)
