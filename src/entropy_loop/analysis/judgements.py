"""The answers of the judges, looked up by image."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from entropy_loop.analysis.rows import ImageRow
from entropy_loop.data import ALL, Prompt
from entropy_loop.metrics.rates import answers


@dataclass(frozen=True)
class ImageJudgements:
    """judgements.parquet (`table`), looked up by a row of images.parquet."""

    table: pd.DataFrame
    _joint_answers: dict[tuple[Hashable, ...], pd.Series[bool]] = field(default_factory=dict)

    def of_image(self, image: ImageRow) -> dict[str, pd.DataFrame]:
        """Judge -> its rows on an image."""
        rows = self._sets.get((image.run, image.generation, image.set), self.table.head(0))
        return {str(judge): group for judge, group in rows[rows["id"] == image.id].groupby("judge", sort=False)}

    def joint_answer(self, image: ImageRow, prompt: Prompt, judge: str) -> bool | None:
        """Whether a judge recognised every concept of the prompt in an image; None for a missing answer."""
        place = (image.run, image.generation, image.set, prompt.text, judge)
        if place not in self._joint_answers:
            rows = self._sets.get(place[:3], self.table.head(0))
            self._joint_answers[place] = answers(rows[rows["judge"] == judge], prompt.concepts)[ALL]
        answer = self._joint_answers[place].get(image.id)
        return None if pd.isna(answer) else bool(answer)

    @cached_property
    def _sets(self) -> dict[tuple[Hashable, ...], pd.DataFrame]:
        return dict(iter(self.table.groupby(["run", "generation", "set"])))
