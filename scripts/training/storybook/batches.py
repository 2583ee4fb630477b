"""Training batches of augmented scenes and junk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scripts.training.storybook.pictures import Damage, augment, junk_rows, to_float


@dataclass
class Batches:
    """step -> (images, truth table), determined by seed and step.

    pixels: uint8 (n, 64, 64, 3). table: their truth. makers: kind of junk -> its function. change: augmentation of the
    scenes.
    """

    pixels: np.ndarray
    table: pd.DataFrame
    makers: Mapping[str, Damage]
    size: int
    seed: int
    junk_share: float = 0.16
    change: Damage = augment

    def __call__(self, step: int) -> tuple[Tensor, pd.DataFrame]:
        rng = torch.Generator().manual_seed(self.seed * 100_003 + step)
        n_junk = round(self.size * self.junk_share)
        rows = torch.randint(0, len(self.pixels), (self.size,), generator=rng).numpy()
        images = to_float(self.pixels[rows])
        junk, kinds = junk_of(self.makers, images, n_junk, rng)
        images = torch.cat([self.change(images[n_junk:], rng), junk])
        return images, pd.concat([self.table.iloc[rows[n_junk:]], junk_rows(kinds)], ignore_index=True)


@dataclass(frozen=True)
class Source:
    """Images uint8 (n, 64, 64, 3) with their truth, the number of them per batch, and their augmentation."""

    pixels: np.ndarray
    table: pd.DataFrame
    shown: int
    change: Damage = augment


@dataclass
class Mixture:
    """Batches of images from several sources and of junk made from them: step -> (images, truth table)."""

    sources: Sequence[Source]
    makers: Mapping[str, Damage]
    junk: int
    seed: int

    def __call__(self, step: int) -> tuple[Tensor, pd.DataFrame]:
        rng = torch.Generator().manual_seed(self.seed * 100_003 + step)
        images, tables = zip(*(self._of(source, rng) for source in self.sources), strict=True)
        shown = torch.cat(images)
        junk, kinds = junk_of(self.makers, shown[torch.randperm(len(shown), generator=rng)], self.junk, rng)
        return torch.cat([shown, junk]), pd.concat([*tables, junk_rows(kinds)], ignore_index=True)

    def _of(self, source: Source, rng: torch.Generator) -> tuple[Tensor, pd.DataFrame]:
        rows = torch.randint(0, len(source.pixels), (source.shown,), generator=rng).numpy()
        return source.change(to_float(source.pixels[rows]), rng), source.table.iloc[rows]


def junk_of(makers: Mapping[str, Damage], images: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, list[str]]:
    """n junk images of four kinds, each made from a dozen scenes (mixtures need that many), and their kinds."""
    names = list(makers)
    chosen = [names[i] for i in torch.randint(0, len(names), (4,), generator=rng)]
    parts = [makers[kind](part, rng)[: math.ceil(n / 4)] for kind, part in zip(chosen, images.split(12), strict=False)]
    kinds = [kind for kind, part in zip(chosen, parts, strict=True) for _ in part]
    return torch.cat(parts)[:n], kinds[:n]
