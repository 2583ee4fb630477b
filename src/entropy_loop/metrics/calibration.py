"""Calibrates a judge on labelled images: threshold, sensitivity and specificity, ROC curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

from entropy_loop.metrics.rates import wilson

CLEAN = "none"  # the degradation of unchanged images
Answers = pd.Series | np.ndarray | ExtensionArray
"""One boolean per image, missing allowed."""
AXES = ("false_positive_rate", "sensitivity")  # of a ROC curve


@dataclass(frozen=True)
class Performance:
    """Sensitivity on `positives` images that show the concept and specificity on `negatives` images that do not, each
    with its 95 % Wilson interval; None where there is no such image."""

    positives: int
    sensitivity: float | None
    sensitivity_low: float | None
    sensitivity_high: float | None
    negatives: int
    specificity: float | None
    specificity_low: float | None
    specificity_high: float | None


@dataclass(frozen=True)
class Measured:
    """A judge's rates on a concept or conjunction of concepts, for one kind and level of degradation (unchanged images:
    `none`, 0)."""

    kind: str
    level: float
    concept: str
    rates: Performance


@dataclass(frozen=True)
class Fit:
    """The calibration of one judge.

    thresholds: by concept. measured: every concept and conjunction, first on unchanged images, then on degraded ones.
    too_few: conjunction -> the reason why it was not measured. roc: the concepts' curves, with the columns of `roc` and
    concept, positives, negatives. junk: concept -> in how many of the `refused` junk images it is seen.
    """

    thresholds: dict[str, float]
    measured: tuple[Measured, ...]
    too_few: dict[str, str]
    roc: pd.DataFrame
    junk: dict[str, int]
    refused: int

    @property
    def clean(self) -> dict[str, Performance]:
        """Rates on unchanged images, by concept or conjunction."""
        return {measured.concept: measured.rates for measured in self.measured if measured.kind == CLEAN}


def halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the indices 0..n-1 into two sorted halves by a seeded permutation; if n is odd, the first has one more."""
    first, second = np.array_split(np.random.default_rng(seed).permutation(n), 2)
    return np.sort(first), np.sort(second)


def threshold(positives: np.ndarray, *refused: np.ndarray) -> float:
    """The threshold t of `score > t` with the largest minimum rate.

    The rates are the share of positives above t and, for each refused set, the share not above t. Between several best
    thresholds the middle is returned. With one refused set, the negatives, this is the balanced form of Youden's index,
    which adds sensitivity and specificity and so lets one make up for the other. If all scores are the same, that score
    is returned, so every answer is no.
    """
    scores = np.unique(np.concatenate([positives, *refused]))
    if len(scores) == 1:
        return float(scores[0])
    cuts = (scores[1:] + scores[:-1]) / 2
    worst_rate = np.minimum.reduce([_above(positives, cuts), *(1 - _above(other, cuts) for other in refused)])
    best = cuts[worst_rate >= worst_rate.max() - 1e-12]
    return float((best.min() + best.max()) / 2)


def roc(positives: np.ndarray, negatives: np.ndarray) -> pd.DataFrame:
    """The ROC curve of `score > threshold` from (0, 0) to (1, 1), at every cut between two scores.

    Columns: threshold (falling, the last is -inf), false_positive_rate, sensitivity. Points inside a horizontal or
    vertical segment are left out.
    """
    scores = np.unique(np.concatenate([positives, negatives]))
    cuts = np.concatenate([[-np.inf], (scores[1:] + scores[:-1]) / 2, scores[-1:]])[::-1]
    x, y = _above(negatives, cuts), _above(positives, cuts)
    inside = [(v[:-2] == v[1:-1]) & (v[1:-1] == v[2:]) for v in (x, y)]
    corner = np.concatenate([[True], ~(inside[0] | inside[1]), [True]])
    return pd.DataFrame({"threshold": cuts, AXES[0]: x, AXES[1]: y})[corner].reset_index(drop=True)


def thinned(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows (2 or more), evenly spaced, with the first and the last row."""
    if len(table) <= most:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, most).round().astype(int)]


def performance(answers: Answers, truth: Answers) -> Performance:
    """Sensitivity and specificity of answers against the truth; images that lack either are left out."""
    given, known = (pd.Series(values, dtype="boolean").array for values in (answers, truth))
    both = ~(given.isna() | known.isna())
    answer, true = given[both].to_numpy(bool), known[both].to_numpy(bool)
    return Performance(*_share(answer[true]), *_share(~answer[~true]))


def _share(right: np.ndarray) -> tuple[int, float | None, float | None, float | None]:
    n, hits = len(right), int(right.sum())
    return (n, hits / n, *wilson(hits, n)) if n else (0, None, None, None)


def _above(scores: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Share of the scores above each cut, float (cuts,)."""
    return 1 - np.searchsorted(np.sort(scores), cuts, side="right") / len(scores)
