"""The self-check: closed forms that the real loop, its regimes and its policies must reproduce (docs/laws.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from entropy_loop.commands.selfcheck import estimation, selection
from entropy_loop.commands.selfcheck.bench import Bench, Claim
from entropy_loop.errors import ConfigError, nearest

LAWS: dict[str, Callable[[Bench], Iterator[Claim]]] = {
    "E1 replace": partial(estimation.replace_ml, feedback={"use": "replace"}),
    "E1 window of 1": partial(estimation.replace_ml, feedback={"use": "window", "generations": 1}),
    "E2 replace, unbiased fit": partial(estimation.replace_unbiased, images=5, policy={"use": "none"}),
    "E3 sampling bias": estimation.sampling_bias,
    "E4 accumulate": partial(estimation.accumulate_ml, feedback={"use": "accumulate"}),
    "E4 window of T": partial(estimation.accumulate_ml, feedback={"use": "window", "generations": estimation.FITS}),
    "E5 accumulate, known variance": estimation.accumulate_known,
    "E5 accumulate_subsample": estimation.subsample,
    "E7 mix_real": partial(estimation.real_data, regime="mix_real"),
    "E7 fresh_real": partial(estimation.real_data, regime="fresh_real"),
    "E8 real weight 0.5": partial(estimation.golden_ratio, weight=0.5),
    "E8 real weight 0.618": partial(estimation.golden_ratio, weight=0.618),
    "E8 real weight 0.8": partial(estimation.golden_ratio, weight=0.8),
    "E9 top 0.5, r = 1": partial(selection.best, k=0.5, correlation=1.0),
    "E9 top 0.5, r = 0.6": partial(selection.best, k=0.5, correlation=0.6),
    "E9 top 0.1, r = 1": partial(selection.best, k=0.1, correlation=1.0),
    "E9 top 0.1, r = 0.6": partial(selection.best, k=0.1, correlation=0.6),
    "E9 best of 10, twice": partial(selection.breeding, policy="top_k", sign=1),
    "E9 worst of 10, twice": partial(selection.breeding, policy="bottom_k", sign=-1),
    "E9 random_k": partial(estimation.replace_unbiased, images=10, policy={"use": "random_k", "k": 5}),
    "E9 threshold": selection.threshold,
    "E10 choice of 4": partial(selection.choice, n=40, candidates=4, reward=3.0),
    "E10 choice of 6": partial(selection.choice, n=6, candidates=6, reward=5.0),
    "E10 categories": selection.choice_categories,
    "E11 drift": selection.drift,
    "E11 missed concepts": selection.missed,
}
FAR, RARE = 4.0, 1e-3


@dataclass(frozen=True)
class Line:
    """One statistic of a law: its expected value, its mean over the loop's chains, and the distance in standard
    errors."""

    law: str
    statistic: str
    expected: float
    measured: float
    z: float
    chains: int


def selfcheck(names: Iterable[str] | None = None, seed: int = 0) -> list[Line]:
    """Every statistic of the named laws, or of all. The same seed gives the same numbers; each law has its own
    noise. Raises ConfigError for a name that is no law."""
    names = list(LAWS) if names is None else list(names)
    for name in names:
        if name not in LAWS:
            raise ConfigError(f"no law {name!r}; {nearest(name, list(LAWS))}")
    return [_line(name, *claim) for name in names for claim in LAWS[name](Bench(seed))]


def plausible(lines: Sequence[Line]) -> bool:
    """Whether a correct loop could give these lines: every |z| is at most 4, and `surprise` is at least 0.001."""
    return all(abs(line.z) <= FAR for line in lines) and surprise(lines) >= RARE


def surprise(lines: Sequence[Line]) -> float:
    """p of the sum of squared z-scores, chi-square with one degree of freedom per line, since no two lines share a
    chain. Two-sided: agreement that is too good is no chance either."""
    from scipy.stats import chi2

    total, n = sum(line.z**2 for line in lines), len(lines)
    return float(2 * min(chi2.cdf(total, n), chi2.sf(total, n)))


def _line(law: str, statistic: str, expected: float, values: np.ndarray) -> Line:
    """z is the t-value of the chains' mean, as a standard normal number of the same tail, for chains may be few. No
    |z| is above 37.5, where the tail leaves the range of a float; chains that all agree have that z, or none."""
    from scipy.stats import norm, t

    measured, chains = values.mean(), len(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = (measured - expected) / (values.std(ddof=1) / np.sqrt(chains))
    tail = np.maximum(t.sf(abs(far), chains - 1), np.finfo(float).tiny)
    z = np.copysign(norm.isf(tail), far)
    return Line(law, statistic, float(expected), float(measured), float(z), chains)
