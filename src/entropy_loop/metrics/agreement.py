"""Agreement of raters with each other, with themselves and with known truth, and of model judges with raters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from entropy_loop.metrics.calibration import performance
from entropy_loop.metrics.rates import wilson

RESAMPLES = 500
MIN_IMAGES = 20  # with two or more answers, for an interval of alpha


class Statistic(NamedTuple):
    """A statistic of n images or answers with its 95 % interval; None, with a reason, where it is undefined."""

    statistic: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    reason: str = ""


def alpha(answers: np.ndarray, seed: int = 0) -> Statistic:
    """Krippendorff's alpha for yes and no (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

    answers: float (raters, images), 1 yes, 0 no, NaN missing. The interval is a bootstrap over the images. Undefined
    when no image has two answers, and when all answers are the same.
    """
    counts = np.stack([np.nansum(answers == value, axis=0) for value in (0, 1)], axis=1)
    counts = counts[counts.sum(axis=1) >= 2]
    if len(counts) == 0:
        return Statistic("alpha", 0, None, None, None, "no image has answers of two people")
    value = _alpha(counts)
    if value is None:
        return Statistic("alpha", len(counts), None, None, None, "all answers are the same")
    if len(counts) < MIN_IMAGES:
        return Statistic("alpha", len(counts), value, None, None, f"no interval under {MIN_IMAGES} images")
    rng = np.random.default_rng(seed)
    drawn = [_alpha(counts[rng.integers(len(counts), size=len(counts))]) for _ in range(RESAMPLES)]
    low, high = np.quantile([value for value in drawn if value is not None], (0.025, 0.975))
    return Statistic("alpha", len(counts), value, float(low), float(high))


def _alpha(counts: np.ndarray) -> float | None:
    """counts: int (images, 2), the numbers of no and yes."""
    import krippendorff

    if min(counts.sum(axis=0)) == 0:
        return None
    return float(krippendorff.alpha(value_counts=counts, value_domain=[0, 1], level_of_measurement="nominal"))


def with_themselves(answers: pd.DataFrame) -> Iterator[tuple[str, Statistic]]:
    """(concept, share of repeats with the rater's first answer); answers: columns `people.book.ANSWERS`."""
    keys = ["rater", "file", "concept"]
    first, again = (answers[answers["repeat"] == repeat].set_index(keys)["answer"] for repeat in (False, True))
    pairs = pd.concat({"first": first, "again": again}, axis=1).dropna()
    for concept, rows in pairs.groupby("concept", sort=False):
        same = rows["first"] == rows["again"]
        yield str(concept), _share("self_agreement", int(same.sum()), len(same))


def with_truth(answers: pd.DataFrame) -> Iterator[tuple[str, str, Statistic]]:
    """(rater, concept, share of catch trials answered correctly); answers: columns `people.book.ANSWERS`."""
    trials = answers.dropna(subset=["truth", "answer"])
    for (rater, concept), rows in trials.groupby(["rater", "concept"], sort=False):
        right = rows["answer"] == rows["truth"]
        yield str(rater), str(concept), _share("catch_accuracy", int(right.sum()), len(right))


def of_judge(judge: pd.Series, people: pd.Series) -> Iterator[Statistic]:
    """A judge against the majority of raters: Cohen's kappa, sensitivity and specificity.

    judge, people: booleans by image, missing allowed. Images that lack either are left out.
    """
    both = pd.DataFrame({"judge": judge.astype("boolean"), "people": people.astype("boolean")}).dropna()
    yield _kappa(both["judge"].to_numpy(bool), both["people"].to_numpy(bool))
    rates = performance(both["judge"], both["people"])
    for name, n, only in (("sensitivity", rates.positives, "no"), ("specificity", rates.negatives, "yes")):
        value, low, high = (getattr(rates, f"{name}{end}") for end in ("", "_low", "_high"))
        yield Statistic(name, n, value, low, high, "" if n else f"people say {only} to every image")


def _kappa(judge: np.ndarray, people: np.ndarray) -> Statistic:
    from statsmodels.stats.inter_rater import cohens_kappa

    n = len(judge)
    if n == 0:
        return Statistic("kappa", 0, None, None, None, "no image has both answers")
    table = np.array([[int(((judge == a) & (people == b)).sum()) for b in (False, True)] for a in (False, True)])
    if max(table.sum(axis=0)) == n or max(table.sum(axis=1)) == n:
        return Statistic("kappa", n, None, None, None, "one side says the same of every image")
    kappa = cohens_kappa(table)
    return Statistic("kappa", n, float(kappa.kappa), float(kappa.kappa_low), float(kappa.kappa_upp))


def _share(name: str, hits: int, n: int) -> Statistic:
    return Statistic(name, n, hits / n, *wilson(hits, n))
