"""Uncertainty of statistics of a whole set of images: diversity, distances, coverage, entropies, means.

A bootstrap would add duplicates, which by themselves lower diversity and distances. So images are only left out
(jackknife) or permuted between sets:

- `interval`: of the mean over many pools of this size from the same model;
- `another_pool`: the band of another pool of the same size and model, for statistics of one set;
- `same_model`: the band if pool and reference come from one model, for statistics of two sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd

from entropy_loop.metrics.rates import Interval

GROUPS = 32
REPLICATES = 400
Set = np.ndarray | pd.DataFrame | pd.Series
"""One row per image, at least one. The images are independent draws of one model, in no particular order."""
Family = Callable[..., dict[str, float]]
"""Computes named statistics of one or more sets, NaN where missing."""


def standard_error(span: Interval, n: int) -> float:
    """The standard error behind an `interval` of a statistic of one set of n images."""
    from scipy.special import stdtrit

    return (span.high - span.low) / 2 / float(stdtrit(min(GROUPS, n) - 1, 0.975))


def means(table: pd.DataFrame) -> dict[str, float]:
    """The mean of each column, missing values left out."""
    return {str(name): float(column.mean()) for name, column in table.items()}


def interval(family: Family, *sets: Set, shares: Collection[str] = ()) -> dict[str, Interval]:
    """95 % interval of each statistic's mean over draws of sets of these sizes: value -+ t times its standard error.

    Some statistics depend on the set size (Vendi, coverage), so this is no limit for infinitely many images. All sets
    are treated as random. On Gaussian mixtures 90 to 100 % of the intervals held their value; those of distances near 0
    and of shares of neighbours were up to twice as wide as needed. Statistics that jump, such as the number of
    surviving values, have no useful jackknife.

    shares: names of statistics that are shares of images. Near 0 and 1 their jackknife error can be 0, so they get
    Wilson's interval at the effective size that their error implies, at most the size of the smallest set (as Korn &
    Graubard 1998, Survey Methodology 24:193).
    """
    value, error, quantile = _jackknife(family, sets)
    n = min(map(len, sets))
    return {
        name: _share(value[name], error[name], n) if name in shares else _around(value[name], quantile * error[name])
        for name in value
    }


def another_pool(family: Family, pool: Set) -> dict[str, Interval]:
    """95 % band of each statistic in another pool of this size from the same model.

    The difference of two such pools has twice the variance of one.
    """
    value, error, quantile = _jackknife(family, (pool,))
    return {name: _around(value[name], quantile * math.sqrt(2) * error[name]) for name in value}


def same_model(family: Family, pool: np.ndarray, reference: np.ndarray, seed: int) -> dict[str, Interval]:
    """95 % band of each statistic if pool and reference come from the same model.

    Their images are permuted into sets of the same two sizes (permutation test: Gretton et al. 2012, JMLR 13:723,
    section 5; exact under this hypothesis for any statistic).
    """
    rng = np.random.default_rng(seed)
    images, n = np.concatenate([pool, reference]), len(pool)
    permuted = (images[rng.permutation(len(images))] for _ in range(REPLICATES))
    draws = [family(rows[:n], rows[n:]) for rows in permuted]
    low, high = np.quantile(_values(draws), (0.025, 0.975), axis=0).tolist()
    return dict(zip(draws[0], map(Interval, low, high), strict=True))


def _around(value: float, reach: float) -> Interval:
    return Interval(value - reach, value + reach)


def _share(value: float, error: float, n: int) -> Interval:
    from statsmodels.stats.proportion import proportion_confint

    spread = value * (1 - value)
    size = min(n, spread / error**2) if spread > 0 and error > 0 else n
    low, high = proportion_confint(value * size, size, method="wilson")
    return Interval(float(low), float(high))


def _jackknife(family: Family, sets: tuple[Set, ...]) -> tuple[dict[str, float], dict[str, float], float]:
    """Each statistic, its standard error, and the 97.5 % quantile of t with (fewest groups - 1) degrees of freedom."""
    from scipy.special import stdtrit

    value = family(*sets)
    error = np.sqrt(sum(_variance(family, sets, i) for i in range(len(sets))))
    quantile = float(stdtrit(min(GROUPS, *map(len, sets)) - 1, 0.975))
    return value, dict(zip(value, error.tolist(), strict=True)), quantile


def _variance(family: Family, sets: tuple[Set, ...], i: int) -> np.ndarray:
    """Variance of each statistic over draws of set i, by the delete-a-group jackknife.

    (g - 1)/g times the sum of squared deviations of the g leave-one-group-out values from their mean (Quenouille 1956,
    Biometrika 43:353; variances of several sets add up: Arvesen 1969, Ann. Math. Stat. 40:2076). Apart from the smaller
    set size, it is not too small in expectation, also for statistics that are not smooth (Efron & Stein 1981, Ann.
    Stat. 9:586). Groups keep the cost independent of the pool size.
    """
    rows, groups = sets[i], min(GROUPS, len(sets[i]))
    label = np.arange(len(rows)) % groups
    values = _values([family(*sets[:i], rows[label != group], *sets[i + 1 :]) for group in range(groups)])
    return (groups - 1) / groups * np.sum((values - values.mean(axis=0)) ** 2, axis=0)


def _values(draws: Sequence[dict[str, float]]) -> np.ndarray:
    """A row per draw, a column per statistic."""
    return np.array([list(draw.values()) for draw in draws])
