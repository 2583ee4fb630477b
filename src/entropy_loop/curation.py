"""Curation policies: which images of a pool are passed on. Pure functions on tables.

A policy is called with one prompt's scores (columns id, score; one row per image of the pool) and the seed of this
curation. It returns the same rows with `rank` (1 = best, missing if the policy does not rank), `copies` (how often the
image enters the diet) and `kept` (at least once). Ties are broken by id, so the order of the rows does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, StrictFloat, StrictInt

from entropy_loop.contracts import Policy
from entropy_loop.data import SELECTION
from entropy_loop.errors import ConfigError, EntropyLoopError

Size = Annotated[StrictInt, Field(ge=1)] | Annotated[StrictFloat, Field(gt=0, le=1)]
"""Number of images to keep, or with a decimal point the share of the pool (1.0 is the whole pool)."""


@dataclass(frozen=True)
class KeepAll(Policy):
    """No curation: the whole pool is passed on."""

    version: ClassVar[int] = 2
    reads_scores: ClassVar[bool] = False

    def kept(self, images: int) -> str:
        return "all"

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        return _selection(scores, np.ones(len(scores)))


@dataclass(frozen=True)
class _KeepK(Policy):
    """Keeps k images of a pool."""

    k: Size
    """Number of images, at least 1. With a decimal point: share of the pool, above 0 to 1.0."""

    def most_kept(self, images: int) -> int:
        return self.k if isinstance(self.k, int) else max(1, round(self.k * images))

    def check(self, images: int) -> None:
        if self.most_kept(images) > images:
            raise ConfigError(f"k = {self.k} is more than the {images} images of a pool; lower k or raise `images`.")


@dataclass(frozen=True)
class TopK(_KeepK):
    """The k images with the highest score."""

    version: ClassVar[int] = 2
    best_first: ClassVar[bool] = True

    def kept(self, images: int) -> str:
        return f"the {self.most_kept(images)} best"

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        ranked = _ranked(scores, self.best_first)
        return _selection(ranked, ranked["rank"] <= self.most_kept(len(ranked)))


@dataclass(frozen=True)
class BottomK(TopK):
    """The k images with the lowest score; rank 1 is the worst."""

    version: ClassVar[int] = 2
    best_first: ClassVar[bool] = False

    def kept(self, images: int) -> str:
        return f"the {self.most_kept(images)} worst"


@dataclass(frozen=True)
class People(TopK):
    """The k images that most people picked on the rating page, where each picks k of the whole pool."""

    version: ClassVar[int] = 2
    reads_scores: ClassVar[bool] = False
    asks_people: ClassVar[bool] = True
    raters: Annotated[int, Field(ge=1)] = 1
    """Number of people who pick, at least 1."""

    def kept(self, images: int) -> str:
        return f"the {self.most_kept(images)} that people picked"


@dataclass(frozen=True)
class RandomK(_KeepK):
    """k images drawn at random without replacement: the control for every curated arm."""

    version: ClassVar[int] = 2
    reads_scores: ClassVar[bool] = False

    def kept(self, images: int) -> str:
        return f"{self.most_kept(images)} at random"

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        ids = np.sort(scores["id"].to_numpy(dtype=str))
        # A pool may have fewer images than k: a safety checker can withhold some.
        drawn = np.random.default_rng(seed).choice(ids, size=min(self.most_kept(len(ids)), len(ids)), replace=False)
        return _selection(scores, scores["id"].isin(set(drawn)))


@dataclass(frozen=True)
class Threshold(Policy):
    """Every image that scores enough."""

    version: ClassVar[int] = 2
    size_known: ClassVar[bool] = False
    score: float
    """Lowest score that is passed on, in the scorer's unit."""

    def kept(self, images: int) -> str:
        return f"those that score at least {self.score:g}"

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        ranked = _ranked(scores)
        if ranked["score"].max() < self.score:
            raise EntropyLoopError(
                f"curation: no image scores {self.score} or more (the best scores {ranked['score'].max():.4g}), so "
                "nothing would be fed back; lower curate.policy.score."
            )
        return _selection(ranked, ranked["score"] >= self.score)


@dataclass(frozen=True)
class KChoice(_KeepK):
    """k times, `candidates` images are drawn with replacement and one of them is chosen by its score.

    Bradley-Terry: candidate i is chosen with probability e^(beta r_i) / sum_j e^(beta r_j), r the score
    (Ferbach et al. 2024, arXiv 2407.09499, section 2). An image can be chosen more than once.
    """

    version: ClassVar[int] = 2
    repeats: ClassVar[bool] = True
    candidates: Annotated[int, Field(ge=1)] = 2
    """Number of images drawn for each choice, at least 1."""
    beta: Annotated[float, Field(ge=0)] = 1.0
    """Inverse temperature of the choice, per unit of score; at least 0. At 0 the score has no influence."""

    def kept(self, images: int) -> str:
        return f"{self.most_kept(images)} choices, each of one among {self.candidates} by score"

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        ranked = _ranked(scores)
        rng, k = np.random.default_rng(seed), self.most_kept(len(ranked))
        drawn = rng.integers(len(ranked), size=(k, self.candidates))
        # The argmax of reward + Gumbel noise is a draw from the softmax, and no exponential can overflow.
        reward = self.beta * ranked["score"].to_numpy()[drawn] + rng.gumbel(size=drawn.shape)
        chosen = drawn[np.arange(k), reward.argmax(axis=1)]
        return _selection(ranked, np.bincount(chosen, minlength=len(ranked)))


def _ranked(scores: pd.DataFrame, best_first: bool = True) -> pd.DataFrame:
    """The scores sorted, ties by id, with `rank`. Raises EntropyLoopError for a score that is not finite."""
    finite = np.isfinite(scores["score"])
    if not finite.all():
        images = scores.loc[~finite, "id"].tolist()
        raise EntropyLoopError(f"curation: {len(images)} scores are not finite numbers (first: image {images[0]}).")
    ordered = scores.sort_values(["score", "id"], ascending=[not best_first, True], ignore_index=True)
    return ordered.assign(rank=np.arange(1, len(ordered) + 1))


def _selection(table: pd.DataFrame, copies: np.ndarray | pd.Series) -> pd.DataFrame:
    """The policy's result. Ranks are missing if the table has none."""
    table = table.assign(copies=np.asarray(copies, dtype=np.int64), **({} if "rank" in table else {"rank": np.nan}))
    return table.assign(kept=table["copies"] > 0)[list(SELECTION)].sort_values("id", ignore_index=True)
