"""The lineage of an image: the model that made it, and the diets that it entered."""

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
    """The lineages of one chain. images: its rows of images.parquet. training_images: its rows of the diets."""

    chain: Chain
    images: pd.DataFrame
    training_images: pd.DataFrame

    @cached_property
    def diets(self) -> dict[int, pd.DataFrame]:
        """Generation -> its diet; only trained generations."""
        generations = self.training_images["generation"]
        return {int(g): self.training_images[generations == g] for g in generations.unique()}

    @cached_property
    def copies(self) -> Mapping[str, dict[int, int]]:
        """Image of a pool -> generation trained on it -> copies in its diet."""
        copies: dict[str, dict[int, int]] = {}
        for g, diet in self.diets.items():
            for name, count in diet.loc[~diet["real"].astype(bool), "id"].value_counts().items():
                copies.setdefault(str(name), {})[g] = int(count)
        return copies

    def maker(self, generation: int) -> str:
        """The model that makes a generation's images, and what it was trained on."""
        if generation == 0:
            return "made by the checkpoint, before any feedback"
        if self.chain.generations[generation].model.verb != "train":
            return "made by generation 0\u2019s model: nothing is trained in this arm"
        maker = f"made by generation {generation}\u2019s model"
        if generation not in self.diets:
            return maker
        return f"{maker}, trained on {listed(list(self._sources(self.diets[generation])))}"

    def _sources(self, diet: pd.DataFrame) -> Iterator[str]:
        real = diet["real"].astype(bool)
        generations = diet.loc[~real, "id"].map(self._generation_of).value_counts().sort_index()
        for g, count in generations.items():
            yield f"{_images(int(count))} kept from generation {g}"
        if real.any():
            yield f"{int(real.sum())} real {'images' if real.sum() > 1 else 'image'}"

    def fate(self, image: ImageRow) -> str:
        """The diets that an image entered, or why it entered none."""
        if image.set == CHECK:
            return "never fed back: check prompts only test the judges"
        if image.set != POOL:
            return "never fed back: the evaluation set is only for viewing"
        if copies := self.copies.get(image.id):
            diets = [f"generation {g} ({count} {'copies' if count > 1 else 'copy'})" for g, count in copies.items()]
            return f"in the diet of {listed(diets)}"
        if pd.isna(image.kept):
            return "not fed back: this pool was not curated"
        return "in no diet yet" if image.kept else "in no diet"

    @cached_property
    def _generation_of(self) -> pd.Series[int]:
        """Image of a pool -> its generation."""
        pools = self.images[self.images["set"] == POOL]
        return pools.drop_duplicates("id").set_index("id")["generation"]


def _images(count: int) -> str:
    return f"{count} {'images' if count > 1 else 'image'}"
