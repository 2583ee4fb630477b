"""Judges of the toy generator, which reads an image's truth from its table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from entropy_loop.data import JUDGEMENTS, Concept, Prompt, Samples, Tick, columns


@dataclass(frozen=True)
class ExactScorer:
    """The score of an image is the number of concepts it shows."""

    version: ClassVar[int] = 1

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """It needs no model."""

    def score(self, samples: Samples, prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
        table = samples.table[samples.table["prompt"].isin(prompts)]
        scores = [float(len(shows.split("+"))) if shows else 0.0 for shows in table["shows"]]
        pd.DataFrame({"id": table["id"], "score": scores}).to_parquet(out / "scores.parquet", index=False)


@dataclass(frozen=True)
class ExactRecogniser:
    """A concept is recognised if and only if the image shows it."""

    version: ClassVar[int] = 1

    @property
    def label(self) -> str:
        return "exact"

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """It needs no model."""

    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], out: Path, tick: Tick
    ) -> None:
        rows = [
            {"id": image, "concept": name, "answer": name in shows.split("+")}
            for prompt in prompts
            for image, shows in samples.of_prompt(prompt.text)[["id", "shows"]].to_numpy()
            for name in prompt.concepts
        ]
        table = pd.DataFrame(rows)
        table = table.assign(score=table["answer"].astype(float), threshold=0.5, reason="")
        columns(table, JUDGEMENTS).to_parquet(out / "judgements.parquet", index=False)
