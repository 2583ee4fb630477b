"""The sheets of the report: filmstrips, contact sheets of the evaluation set, and pools with their kept images.

Sheets show the first images of a set, never a choice by eye.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import float_or_none
from entropy_loop.analysis.judgements import ImageJudgements
from entropy_loop.analysis.rows import ImageRow
from entropy_loop.data import CHECK, EVALUATION, POOL, Prompt
from entropy_loop.report.figures.sheets import Cell, Mark, png, sheet
from entropy_loop.report.view import StyledChain, View, arm_label

STRIPS, ROWS, POOL_SHOWN = 3, 16, 64
CELLS = 600  # images on all contact sheets together; with many arms a sheet gets fewer rows, but at least four
CHECKED = 2  # images of each check prompt on a sheet, or one where that would exceed CELLS
RECOGNISED = {"yes": "all recognised", "no": "not all recognised", "missing": "not judged"}
AS_NAMED = {"yes": "judged as the prompt says", "no": "not judged as the prompt says", "missing": "not judged"}
"""Mark -> its meaning on a sheet."""
FIRST_ROWS, FIRST_COLUMNS = 6, 7  # of the sheets on the first screen: arms times seeds, and generations


@dataclass(frozen=True)
class Tile:
    """A place on a sheet. image: its row of images.parquet, or None. note: below the image, or why there is none; empty
    for one that is not made yet."""

    image: ImageRow | None = None
    mark: Mark = ""
    note: str = ""
    framed: bool = False

    def has_file(self, root: Path) -> bool:
        """Whether the image's file is in the results folder."""
        return self.image is not None and (root / self.image.file).is_file()


@dataclass(frozen=True)
class Picture:
    """A sheet of images and its file in `figures/`. columns, labels: heads of the columns and rows, or empty. arm: its
    label, empty on a sheet of several arms. marks: mark -> meaning."""

    name: str
    title: str
    root: Path
    columns: Sequence[str]
    labels: Sequence[str]
    rows: Sequence[Sequence[Tile]]
    arm: str = ""
    marks: Mapping[str, str] = field(default_factory=lambda: RECOGNISED)

    @property
    def file(self) -> str:
        return f"figures/{self.name}.png"

    @property
    def png(self) -> bytes:
        return png(sheet([[self._cell(tile) for tile in row] for row in self.rows], self.columns, self.labels))

    @property
    def abreast(self) -> int:
        """How many such sheets fit side by side on the first screen."""
        return FIRST_COLUMNS // len(self.columns)

    def anchor(self, card: int) -> str:
        """The HTML id of an image's place on this sheet; card: number of its card."""
        return f"{self.name}-{card}"

    def _cell(self, tile: Tile) -> Cell:
        file = None if tile.image is None else self.root / tile.image.file
        return Cell(file, tile.mark, tile.note, tile.framed)


@dataclass(frozen=True)
class Gallery:
    """All picture sheets of a results folder."""

    view: View
    root: Path
    judgements: ImageJudgements

    @cached_property
    def has_images(self) -> bool:
        files = self.view.tables.images["file"].dropna()
        return bool((files != "").any())

    @cached_property
    def _images(self) -> dict[Hashable, list[ImageRow]]:
        """(run, generation, set, prompt) -> images by id."""
        table = self.view.tables.images.sort_values(["run", "generation", "set", "id"])
        places = ["run", "generation", "set", "prompt"]
        return {place: rows.read(images, ImageRow) for place, images in table.groupby(places)}

    @cached_property
    def _noise(self) -> dict[tuple[str, str], dict[str, dict[int, ImageRow]]]:
        """(run, prompt) -> number in the evaluation set, which fixes the noise -> generation -> image."""
        by_noise: dict[tuple[str, str], dict[str, dict[int, ImageRow]]] = {}
        for images in self._images.values():
            for image in images:
                if image.set == EVALUATION:
                    number = image.id.rpartition("-")[2]  # the same in every arm, whatever the place of the prompt
                    by_noise.setdefault((image.run, image.prompt), {}).setdefault(number, {})[image.generation] = image
        return by_noise

    @cached_property
    def _withheld(self) -> set[tuple[str, int]]:
        """(run, generation) of the evaluation sets of which a safety checker withheld images."""
        table = self.view.tables.withheld
        table = table[(table["set"] == EVALUATION) & (table["withheld"] > 0)]
        return set(zip(table["run"], table["generation"], strict=True))

    # ---- sheets --------------------------------------------------------------------------------------

    def first_screen(self, prompt: Prompt) -> list[Picture]:
        """A few seeds of the evaluation set per started arm, in at most FIRST_COLUMNS generations."""
        chains = [chain for chain in self.view.first_chains(prompt) if chain.arm in self.view.started_arms]
        every = -(-self._last // (FIRST_COLUMNS - 1)) if self._last >= FIRST_COLUMNS else 1
        shown = sorted({*range(0, self._last + 1, every), self._last})
        abreast = FIRST_COLUMNS // len(shown)
        shelves = min(FIRST_ROWS, -(-len(chains) // abreast))
        sheets = [
            self._evaluation("first", chain, prompt, shown, FIRST_ROWS // shelves)
            for chain in chains[: abreast * FIRST_ROWS]
        ]
        return [picture for picture in sheets if picture.rows]

    def filmstrips(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """A sheet per seed of the evaluation set: a row per arm, a column per generation."""
        chains = self.view.first_chains(prompt)
        noise = [self._noise.get((chain.planned.name, prompt.text), {}) for chain in chains]
        names = sorted({name for images in noise for name in images})
        for i, name in enumerate(names[: STRIPS if len(chains) <= 4 else 2], start=1):
            rows = [self._row(chain, prompt, name, self._generations) for chain in chains]
            seed = next(image.image_seed for images in noise for image in images.get(name, {}).values())
            arms = [arm_label(chain.arm) for chain in chains]
            yield Picture(f"filmstrip-{number}-{i}", f"seed {seed}", self.root, _header(self._generations), arms, rows)

    def contact_sheets(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """A sheet per arm of its evaluation set: a row per seed, a column per generation."""
        chains = self.view.first_chains(prompt)
        most = min(ROWS, max(4, CELLS // (len(chains) * (self._last + 1))))
        for chain in chains:
            picture = self._evaluation(f"evaluation-{number}", chain, prompt, self._generations, most)
            if picture.rows:
                yield picture

    def pools(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """Per arm its first and last curated pool: the first images, the kept ones framed."""
        for chain in self.view.first_chains(prompt):
            pools = [(g, self._set(chain, prompt, g, POOL)) for g in range(chain.last)]
            curated = [(g, pool) for g, pool in pools if any(pd.notna(image.kept) for image in pool)]
            if all(image.kept for _, pool in curated for image in pool):
                continue
            for g, pool in dict((curated[0], curated[-1])).items():
                first = pool[:POOL_SHOWN]
                shown, kept = (sum(bool(image.kept) for image in images) for images in (first, pool))
                count = f"{shown} of these {len(first)} were kept, {kept} of all {len(pool)}"
                title = f"{arm_label(chain.arm)}, generation {g}: {count}"
                tiles = [self._pool_tile(image) for image in first]
                rows = [tiles[i : i + 8] for i in range(0, len(tiles), 8)]
                name = f"pool-{number}-{_slug(chain.arm)}-g{g:02d}"
                yield Picture(name, title, self.root, [], [], rows)

    def checks(self) -> Iterator[Picture]:
        """A sheet per arm of the first images of every check prompt: a row per image, a column per generation."""
        first = {chain.arm: chain for chain in reversed(self.view.chains)} if self.has_images else {}
        for arm in [arm for arm in self.view.arms if arm in first]:
            chain, rows, labels = first[arm], [], []
            prompts = chain.planned.config.check_prompts()
            each = CHECKED if CHECKED * len(prompts) * len(first) * (self._last + 1) <= CELLS else 1
            for prompt in prompts:
                sets = [self._set(chain, prompt, g, CHECK) for g in self._generations]
                for i in range(min(each, max(map(len, sets)))):
                    rows.append([self._check_tile(set_[i], prompt) if i < len(set_) else Tile() for set_ in sets])
                    labels.append(", ".join(prompt.concepts))
            if rows:
                name, title = f"check-{_slug(arm)}", f"{arm_label(arm)}: the first images of each check prompt"
                header = _header(self._generations)
                yield Picture(name, title, self.root, header, labels, rows, arm_label(arm), AS_NAMED)

    # ---- rows and tiles ------------------------------------------------------------------------------

    def _evaluation(self, name: str, chain: StyledChain, prompt: Prompt, shown: Sequence[int], most: int) -> Picture:
        noise = self._noise.get((chain.planned.name, prompt.text), {})
        names = sorted(noise)[:most]
        part = "" if len(names) == len(noise) else f": the first {len(names)} of {len(noise)} seeds"
        title = f"{arm_label(chain.arm)}{part}"
        rows = [self._row(chain, prompt, name, shown) for name in names]
        labels = [str(next(iter(noise[name].values())).image_seed) for name in names]
        return Picture(
            f"{name}-{_slug(chain.arm)}", title, self.root, _header(shown), labels, rows, arm_label(chain.arm)
        )

    @cached_property
    def _last(self) -> int:
        return max(chain.last for chain in self.view.chains)

    @property
    def _generations(self) -> Sequence[int]:
        return range(self._last + 1)

    def _set(self, chain: StyledChain, prompt: Prompt, generation: int, name: str) -> list[ImageRow]:
        return self._images.get((chain.planned.name, generation, name, prompt.text), [])

    def _row(self, chain: StyledChain, prompt: Prompt, name: str, shown: Sequence[int]) -> list[Tile]:
        images = self._noise.get((chain.planned.name, prompt.text), {}).get(name, {})
        asked = int(name) < chain.planned.config.evaluation.images
        notes = {g: "withheld" if asked and (chain.planned.name, g) in self._withheld else "" for g in shown}
        return [self._tile(images[g], prompt) if g in images else Tile(note=notes[g]) for g in shown]

    def _tile(self, image: ImageRow, prompt: Prompt) -> Tile:
        answer = self.judgements.joint_answer(image, prompt, self.view.judges[0])
        return Tile(image, "missing" if answer is None else "yes" if answer else "no")

    def _check_tile(self, image: ImageRow, prompt: Prompt) -> Tile:
        judged = self.judgements.of_image(image).get(self.view.judges[0])
        if judged is None or judged["answer"].isna().any():
            return Tile(image, "missing")
        right = judged["concept"].isin(prompt.concepts) == judged["answer"].astype(bool)
        return Tile(image, "yes" if right.all() else "no")

    def _pool_tile(self, image: ImageRow) -> Tile:
        rank = float_or_none(image.rank)
        return Tile(image, note="" if rank is None else f"rank {int(rank)}", framed=bool(image.kept))


def _header(generations: Sequence[int]) -> list[str]:
    return [f"generation {g}" if g == 0 else str(g) for g in generations]


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in text)
