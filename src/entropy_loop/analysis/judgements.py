"""What the judges said, image by image."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from entropy_loop.analysis.rows import ImageRow
from entropy_loop.data import ALL, Prompt
from entropy_loop.metrics.rates import answers


@dataclass(frozen=True)
class Said:
    """judgements.parquet, by image: a row of images.parquet stands for one."""

    table: pd.DataFrame
    _joint: dict[tuple[Hashable, ...], pd.Series[bool]] = field(default_factory=dict)

    def of(self, image: ImageRow) -> dict[str, pd.DataFrame]:
        """Judge -> its judgements of an image."""
        rows = self._sets.get((image.run, image.generation, image.set), self.table.head(0))
        return {str(judge): mine for judge, mine in rows[rows["id"] == image.id].groupby("judge", sort=False)}

    def joint(self, image: ImageRow, prompt: Prompt, judge: str) -> bool | None:
        """Whether a judge recognised every concept of the prompt in an image; None where that is missing."""
        place = (image.run, image.generation, image.set, prompt.text, judge)
        if place not in self._joint:
            rows = self._sets.get(place[:3], self.table.head(0))
            self._joint[place] = answers(rows[rows["judge"] == judge], prompt.concepts)[ALL]
        said = self._joint[place].get(image.id)
        return None if pd.isna(said) else bool(said)

    @cached_property
    def _sets(self) -> dict[tuple[Hashable, ...], pd.DataFrame]:
        return dict(iter(self.table.groupby(["run", "generation", "set"])))
