"""Judge and scorers of the toy generators: they read what an image shows from its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop.contracts import Judge, Scorer
from entropy_loop.data import JUDGEMENTS, Concept, Prompt, Samples, Tick


@dataclass(frozen=True)
class ExactScorer(Scorer):
    """The score of an image is the number of concepts it shows."""

    version: ClassVar[int] = 1

    def ready(self, prompts: tuple[str, ...]) -> None:
        """It needs no model."""

    def score(self, samples: Samples, prompts: tuple[str, ...], tick: Tick) -> pd.DataFrame:
        table = samples.table[samples.table["prompt"].isin(prompts)]
        scores = [float(len(shows.split("+"))) if shows else 0.0 for shows in table["shows"]]
        return pd.DataFrame({"id": table["id"], "score": scores})


@dataclass(frozen=True)
class TraitScorer(Scorer):
    """The score of an image has a known correlation with its trait."""

    version: ClassVar[int] = 1

    correlation: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Correlation r of score and trait, in [0, 1], as long as the trait has variance 1: score = r trait +
    sqrt(1 - r^2) noise, where noise is a standard normal number of the image's own."""

    def ready(self, prompts: tuple[str, ...]) -> None:
        """It needs no model."""

    def score(self, samples: Samples, prompts: tuple[str, ...], tick: Tick) -> pd.DataFrame:
        table = samples.table[samples.table["prompt"].isin(prompts)]
        # The second number of the seed makes this noise independent of the image's own.
        noise = np.array([np.random.default_rng((seed, 1)).standard_normal() for seed in table["image_seed"]])
        scores = self.correlation * table["trait"] + (1 - self.correlation**2) ** 0.5 * noise
        return pd.DataFrame({"id": table["id"], "score": scores})


@dataclass(frozen=True)
class ExactRecogniser(Judge):
    """A concept is recognised if and only if the image shows it."""

    version: ClassVar[int] = 1

    @property
    def label(self) -> str:
        return "exact"

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """It needs no model."""

    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick: Tick
    ) -> pd.DataFrame:
        wanted = {prompt.text: prompt.concepts for prompt in prompts}
        rows = [
            (image, name, name in shows.split("+"))
            for image, text, shows in samples.table[["id", "prompt", "shows"]].itertuples(index=False)
            for name in wanted.get(text, ())
        ]
        table = pd.DataFrame(rows, columns=["id", "concept", "answer"])
        table = table.assign(score=table["answer"].astype(float), threshold=0.5, reason="")
        return table[list(JUDGEMENTS)]
