"""Curation policies: which of a pool's images are passed on. Pure functions on tables.

A policy is called with one prompt's scores (columns id, score; one row per image of the pool) and the
seed of this curation; it returns the same rows with `rank` (1 = best, missing where the policy ranks
nothing) and `kept`. Ties are broken by id, so the order of the rows never matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop.data import SELECTION, columns
from entropy_loop.errors import ConfigError, EntropyLoopError


@dataclass(frozen=True)
class KeepAll:
    """No curation: the whole pool is passed on."""

    version: ClassVar[int] = 1
    reads_scores: ClassVar[bool] = False

    def check(self, images: int) -> None:
        """Any pool will do."""

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        return columns(scores.assign(kept=True), SELECTION).sort_values("id", ignore_index=True)


@dataclass(frozen=True)
class TopK:
    """The k images with the highest score."""

    version: ClassVar[int] = 1
    reads_scores: ClassVar[bool] = True
    k: Annotated[int, Field(ge=1)]

    def check(self, images: int) -> None:
        _k_fits(self.k, images)

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        if not np.isfinite(scores["score"]).all():
            bad = scores.loc[~np.isfinite(scores["score"]), "id"].tolist()
            raise EntropyLoopError(f"curation: {len(bad)} scores are not finite numbers (first: {bad[0]}).")
        ordered = scores.sort_values(["score", "id"], ascending=[False, True], ignore_index=True)
        ordered = ordered.assign(rank=np.arange(1, len(ordered) + 1))
        return columns(ordered.assign(kept=ordered["rank"] <= self.k), SELECTION).sort_values("id", ignore_index=True)


@dataclass(frozen=True)
class RandomK:
    """k images drawn at random without replacement: the control for every curated arm."""

    version: ClassVar[int] = 1
    reads_scores: ClassVar[bool] = False
    k: Annotated[int, Field(ge=1)]

    def check(self, images: int) -> None:
        _k_fits(self.k, images)

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        ids = np.sort(scores["id"].to_numpy(dtype=str))
        kept = set(np.random.default_rng(seed).choice(ids, size=self.k, replace=False))
        return columns(scores.assign(kept=scores["id"].isin(kept)), SELECTION).sort_values("id", ignore_index=True)


def _k_fits(k: int, images: int) -> None:
    if k > images:
        raise ConfigError(f"k = {k} is more than the {images} images of a pool; lower k or raise `images`.")
