"""Do people agree: with each other, with themselves, with what is known; and do model judges agree with people?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from entropy_loop.metrics.calibration import performance
from entropy_loop.metrics.rates import wilson

RESAMPLES = 500
LEAST = 20  # images with two answers or more, for an interval of alpha


class Statistic(NamedTuple):
    """A number with its 95 % interval, of n images or answers; None, with a reason, where it is not defined."""

    statistic: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    reason: str = ""


def alpha(answers: np.ndarray, seed: int = 0) -> Statistic:
    """Krippendorff's alpha for yes and no (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

    answers: float (raters, images), NaN where missing. Its interval is a bootstrap over the images. Undefined where no
    image has two answers, and where all answers are one: without any difference there is nothing to agree on.
    """
    counts = np.stack([np.nansum(answers == value, axis=0) for value in (0, 1)], axis=1)
    counts = counts[counts.sum(axis=1) >= 2]
    if len(counts) == 0:
        return Statistic("alpha", 0, None, None, None, "no image has answers of two people")
    value = _alpha(counts)
    if value is None:
        return Statistic("alpha", len(counts), None, None, None, "all answers are the same")
    if len(counts) < LEAST:
        return Statistic("alpha", len(counts), value, None, None, f"no interval under {LEAST} images")
    rng = np.random.default_rng(seed)
    drawn = [_alpha(counts[rng.integers(len(counts), size=len(counts))]) for _ in range(RESAMPLES)]
    low, high = np.quantile([one for one in drawn if one is not None], (0.025, 0.975))
    return Statistic("alpha", len(counts), value, float(low), float(high))


def _alpha(counts: np.ndarray) -> float | None:
    """counts: how many said no and yes, one row per image."""
    import krippendorff

    if min(counts.sum(axis=0)) == 0:
        return None
    return float(krippendorff.alpha(value_counts=counts, value_domain=[0, 1], level_of_measurement="nominal"))


def with_themselves(answers: pd.DataFrame) -> Iterator[tuple[str, Statistic]]:
    """(concept, share of repeats in which a rater says the same again); `answers` as `people.book.ANSWERS`."""
    keys = ["rater", "file", "concept"]
    first, again = (answers[answers["repeat"] == repeat].set_index(keys)["answer"] for repeat in (False, True))
    pairs = pd.concat({"first": first, "again": again}, axis=1).dropna()
    for concept, rows in pairs.groupby("concept", sort=False):
        same = rows["first"] == rows["again"]
        yield str(concept), _share("self_agreement", int(same.sum()), len(same))


def with_truth(answers: pd.DataFrame) -> Iterator[tuple[str, str, Statistic]]:
    """(rater, concept, share of catch trials that the rater gets right)."""
    told = answers.dropna(subset=["truth", "answer"])
    for (rater, concept), rows in told.groupby(["rater", "concept"], sort=False):
        right = rows["answer"] == rows["truth"]
        yield str(rater), str(concept), _share("catch_accuracy", int(right.sum()), len(right))


def of_judge(said: pd.Series, people: pd.Series) -> Iterator[Statistic]:
    """Cohen's kappa of a judge's answers with what most people say, and its sensitivity and specificity against them.

    Booleans, missing allowed; an image that lacks one says nothing.
    """
    both = pd.DataFrame({"said": said.astype("boolean"), "people": people.astype("boolean")}).dropna()
    yield _kappa(both["said"].to_numpy(bool), both["people"].to_numpy(bool))
    found = performance(both["said"], both["people"])
    says = "" if found.positives else "people say no to every image"
    sensitivity = found.sensitivity, found.sensitivity_low, found.sensitivity_high
    yield Statistic("sensitivity", found.positives, *sensitivity, says)
    says = "" if found.negatives else "people say yes to every image"
    specificity = found.specificity, found.specificity_low, found.specificity_high
    yield Statistic("specificity", found.negatives, *specificity, says)


def _kappa(said: np.ndarray, people: np.ndarray) -> Statistic:
    from statsmodels.stats.inter_rater import cohens_kappa

    n = len(said)
    if n == 0:
        return Statistic("kappa", 0, None, None, None, "no image has both answers")
    table = np.array([[int(((said == a) & (people == b)).sum()) for b in (False, True)] for a in (False, True)])
    if max(table.sum(axis=0)) == n or max(table.sum(axis=1)) == n:
        return Statistic("kappa", n, None, None, None, "one side says the same of every image")
    found = cohens_kappa(table)
    return Statistic("kappa", n, float(found.kappa), float(found.kappa_low), float(found.kappa_upp))


def _share(name: str, hits: int, n: int) -> Statistic:
    return Statistic(name, n, hits / n, *wilson(hits, n))
