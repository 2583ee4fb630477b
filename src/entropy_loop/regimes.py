"""Feedback regimes: which kept images and which real images the next generation is trained on.

A regime never looks inside an entry of the history (one per generation 0..g). So the plan calls it with stages, the
loop with selections and the null model with rates, and all three use the same diet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop.contracts import Of, Regime
from entropy_loop.data import Diet, Samples, Selection
from entropy_loop.metrics import nulls


@dataclass(frozen=True)
class Replace(Regime):
    """Only what the last generation kept."""

    version: ClassVar[int] = 1

    def fed(self) -> str:
        return "what the generation before it kept"


@dataclass(frozen=True)
class Accumulate(Regime):
    """Everything kept so far; each kept image counts once (Gerstgrasser et al. 2024, arXiv 2404.01413)."""

    version: ClassVar[int] = 1

    def eats(self, history: Sequence[Of]) -> Sequence[Of]:
        return history

    def fed(self) -> str:
        return "everything kept so far"


@dataclass(frozen=True)
class AccumulateSubsample(Accumulate):
    """A random part of everything kept so far, as large as the last kept set (Kazdan et al. 2024, arXiv 2410.16713)."""

    version: ClassVar[int] = 1
    subsamples: ClassVar[bool] = True

    def fed(self) -> str:
        return "of everything kept so far a random part, as large as the last kept set"


@dataclass(frozen=True)
class Window(Regime):
    """What the last few generations kept."""

    version: ClassVar[int] = 1
    generations: Annotated[int, Field(ge=1)]
    """Number of generations, at least 1."""

    def eats(self, history: Sequence[Of]) -> Sequence[Of]:
        return history[-self.generations :]

    def fed(self) -> str:
        return f"what the {self.generations} generations before it kept"


@dataclass(frozen=True)
class MixReal(Regime):
    """What the last generation kept and one fixed set of real images."""

    version: ClassVar[int] = 1
    real_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the diet that is real, above 0 to 1. At 1 real images replace the kept ones."""

    def fed(self) -> str:
        return "what the generation before it kept"


@dataclass(frozen=True)
class FreshReal(MixReal):
    """What the last generation kept and real images that no step has seen before."""

    version: ClassVar[int] = 1
    fresh: ClassVar[bool] = True


def diet(
    regime: Regime,
    history: Sequence[Selection],
    real: Samples | None,
    seeds: Mapping[str, int],
    taught: Samples | None = None,
) -> Diet:
    """The diet of one training: what the regime takes from the history, real images, and taught images with captions of
    their own. seeds: target prompt -> seed for subsampling."""
    eaten = pd.concat([selection.fed for selection in regime.eats(history)], ignore_index=True)
    newest = history[-1].fed["prompt"].value_counts()
    parts = []
    for prompt, seed in seeds.items():
        rows = eaten[eaten["prompt"] == prompt]
        if regime.subsamples:
            rows = rows.sample(n=newest[prompt], random_state=np.random.default_rng(seed)).sort_index()
        if real:
            extra = real.of_prompt(prompt).head(regime.real_images(len(rows)))
            rows = rows if regime.real_fraction < 1 else rows.head(0)
            parts.append(extra.assign(folder=str(real.folder), real=True))
        parts.append(rows)
    if taught:
        parts.append(taught.table.assign(folder=str(taught.folder), real=True))
    return Diet(pd.concat(parts, ignore_index=True))


def neutral_diet(regime: Regime, kept: int, real: float | np.ndarray | None) -> nulls.Diet:
    """The regime for a null model (`metrics.nulls.Diet`): maps the rates in what generations 0..g kept to those in the
    diet. kept: images kept per generation. real: rate of the real images, or their shares (values,) of an attribute;
    None without real images."""

    def shares(history: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        eaten = regime.eats(history)
        synthetic: np.ndarray = np.mean(eaten, axis=0)
        if regime.subsamples:
            images = np.rint(synthetic * kept * len(eaten)).astype(np.int64)
            synthetic = nulls.without_replacement(images, kept, rng) / kept
        if real is None:
            return synthetic
        count = regime.real_images(kept)
        real_shares = real if isinstance(real, np.ndarray) else np.array([real, 1 - real])
        drawn = rng.multinomial(count, real_shares, len(synthetic)) / count if regime.fresh else real_shares
        share = 1.0 if regime.real_fraction == 1 else count / (count + kept)
        return share * drawn + (1 - share) * synthetic

    def diet(history: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        if history[0].ndim == 1:  # a rate is the share of one of two values
            return shares([np.stack([rate, 1 - rate], axis=1) for rate in history], rng)[:, 0]
        return shares(history, rng)

    return diet
