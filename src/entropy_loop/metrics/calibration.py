"""A judge against labelled images: where to say yes, how often that is right, and what other cuts would do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

from entropy_loop.metrics.rates import wilson

CLEAN = "none"  # the kind of degradation of images as they are
Answers = pd.Series | np.ndarray | ExtensionArray
"""Booleans, image by image; missing allowed."""
AXES = ("false_positive_rate", "sensitivity")  # of a ROC curve


@dataclass(frozen=True)
class Performance:
    """Sensitivity of `positives` images that show it, specificity of `negatives` images that do not, each with its
    95 % Wilson interval; None where there is no such image."""

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
    """How a judge did on a concept, or on several in one image, with images of one kind and level of degradation
    (`none`, 0: as they are)."""

    kind: str
    level: float
    concept: str
    rates: Performance


@dataclass(frozen=True)
class Fit:
    """What was fitted and measured of one judge.

    thresholds: by concept. measured: every concept and conjunction, first on the images as they are, then degraded.
    too_few: why a conjunction was not measured. roc: the concepts' curves, with the columns of `roc` and concept,
    positives, negatives. junk: in how many of `refused` images of junk each is seen.
    """

    thresholds: dict[str, float]
    measured: tuple[Measured, ...]
    too_few: dict[str, str]
    roc: pd.DataFrame
    junk: dict[str, int]
    refused: int

    @property
    def clean(self) -> dict[str, Performance]:
        """The images as they are, by concept or conjunction."""
        return {one.concept: one.rates for one in self.measured if one.kind == CLEAN}


def halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices 0..n-1 dealt to two halves by a seeded permutation, each sorted; the first has the odd one."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: -(-n // 2)]), np.sort(order[-(-n // 2) :])


def threshold(positives: np.ndarray, *refused: np.ndarray) -> float:
    """The cut t for which `score > t` serves the worst served best: the least of the share of positives above it and,
    of each of the other sets, the share not above it, is greatest. The middle of the plateau where several are.

    For one other set, the images without the concept, this is Youden's two rates balanced rather than added: adding
    them lets a rare error pay for a frequent one. Scores that are all one have no cut: that score, a no to all.
    """
    scores = np.unique(np.concatenate([positives, *refused]))
    if len(scores) == 1:
        return float(scores[0])
    cuts = (scores[1:] + scores[:-1]) / 2
    least = np.minimum.reduce([_above(positives, cuts), *(1 - _above(other, cuts) for other in refused)])
    best = cuts[least >= least.max() - 1e-12]
    return float((best.min() + best.max()) / 2)


def roc(positives: np.ndarray, negatives: np.ndarray) -> pd.DataFrame:
    """The ROC curve from (0, 0) to (1, 1): what `score > threshold` gives at every cut between two scores.

    Columns: threshold (falling, the last is -inf), false_positive_rate, sensitivity. Points in the middle of a
    horizontal or vertical line are left out; the curve is the same.
    """
    scores = np.unique(np.concatenate([positives, negatives]))
    cuts = np.concatenate([[-np.inf], (scores[1:] + scores[:-1]) / 2, scores[-1:]])[::-1]
    x, y = _above(negatives, cuts), _above(positives, cuts)
    chains = [(v[:-2] == v[1:-1]) & (v[1:-1] == v[2:]) for v in (x, y)]
    kept = np.concatenate([[True], ~(chains[0] | chains[1]), [True]])
    return pd.DataFrame({"threshold": cuts, AXES[0]: x, AXES[1]: y})[kept].reset_index(drop=True)


def thinned(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows (two or more), evenly spaced, the first and the last among them."""
    if len(table) <= most:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, most).round().astype(int)]


def performance(said: Answers, true: Answers) -> Performance:
    """Answers against the truth, image by image; an image that lacks one says nothing."""
    answers, truths = (pd.Series(one, dtype="boolean").array for one in (said, true))
    known = ~(answers.isna() | truths.isna())
    answer, truth = answers[known].to_numpy(bool), truths[known].to_numpy(bool)
    return Performance(*_share(answer[truth]), *_share(~answer[~truth]))


def _share(right: np.ndarray) -> tuple[int, float | None, float | None, float | None]:
    n, hits = len(right), int(right.sum())
    return (n, hits / n, *wilson(hits, n)) if n else (0, None, None, None)


def _above(scores: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Share of the scores above each cut."""
    return 1 - np.searchsorted(np.sort(scores), cuts, side="right") / len(scores)
