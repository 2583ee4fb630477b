"""Where an image came from and where it went: the model that made it, the diets that it entered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from entropy_loop.analysis.rows import ImageRow
from entropy_loop.data import CHECK, POOL
from entropy_loop.plan import Chain
from entropy_loop.report.text.sentences import listed


@dataclass(frozen=True)
class Lineage:
    """One chain. images: its images, as in images.parquet; eaten: what its generations were trained on, one row per
    training image."""

    chain: Chain
    images: pd.DataFrame
    eaten: pd.DataFrame

    @cached_property
    def diets(self) -> dict[int, pd.DataFrame]:
        """Generation -> its rows of `eaten`; only generations that are trained."""
        of = self.eaten["generation"]
        return {int(g): self.eaten[of == g] for g in of.unique()}

    @cached_property
    def copies(self) -> Mapping[str, dict[int, int]]:
        """Image of a pool -> generation trained on it -> copies in that diet."""
        found: dict[str, dict[int, int]] = {}
        for g, diet in self.diets.items():
            for name, count in diet.loc[~diet["real"].astype(bool), "id"].value_counts().items():
                found.setdefault(str(name), {})[g] = int(count)
        return found

    def maker(self, generation: int) -> str:
        """The model that makes a generation's images, and what it was trained on."""
        if generation == 0:
            return "made by the checkpoint, before any feedback"
        if self.chain.generations[generation].model.verb != "train":
            return "made by generation 0\u2019s model: nothing is trained in this arm"
        told = f"made by generation {generation}\u2019s model"
        if generation not in self.diets:
            return told
        return f"{told}, trained on {listed(list(self._courses(self.diets[generation])))}"

    def _courses(self, diet: pd.DataFrame) -> Iterator[str]:
        real = diet["real"].astype(bool)
        made = diet.loc[~real, "id"].map(self._born).value_counts().sort_index()
        for g, count in made.items():
            yield f"{_images(int(count))} kept from generation {g}"
        if real.any():
            yield f"{int(real.sum())} real {'images' if real.sum() > 1 else 'image'}"

    def fate(self, image: ImageRow) -> str:
        """What became of an image: a row of images.parquet. Images of other sets than the pools are never fed back."""
        if image.set == CHECK:
            return "never fed back: a check prompt tells of the judges"
        if image.set != POOL:
            return "never fed back: the evaluation set is for the eye alone"
        if eaten := self.copies.get(image.id):
            told = [f"generation {g} ({count} {'copies' if count > 1 else 'copy'})" for g, count in eaten.items()]
            return f"in the diet of {listed(told)}"
        if pd.isna(image.kept):
            return "not fed back: this pool was not curated"
        return "in no diet yet" if image.kept else "in no diet"

    @cached_property
    def _born(self) -> pd.Series[int]:
        """The generation of each image of the pools, by id."""
        mine = self.images[self.images["set"] == POOL]
        return mine.drop_duplicates("id").set_index("id")["generation"]


def _images(count: int) -> str:
    return f"{count} {'images' if count > 1 else 'image'}"
