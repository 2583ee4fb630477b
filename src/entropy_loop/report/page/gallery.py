"""Which images the report shows: filmstrips, contact sheets of the evaluation set, pools with what was kept.

Nothing is picked by looking: always the first images of a set, in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import some
from entropy_loop.analysis.judgements import Said
from entropy_loop.analysis.rows import ImageRow
from entropy_loop.data import CHECK, EVALUATION, POOL, Prompt
from entropy_loop.report.figures.sheets import Cell, Mark, png, sheet
from entropy_loop.report.view import StyledChain, View, spoken

STRIPS, ROWS, POOL_SHOWN = 3, 16, 64
CELLS = 600  # images on all contact sheets together; with many arms a sheet gets fewer rows, at least four
CHECKED = 2  # images of each check prompt on a sheet; one where CELLS are too few for two
RECOGNISED = {"yes": "all recognised", "no": "not all recognised", "missing": "not judged"}
AS_NAMED = {"yes": "judged as the prompt says", "no": "not judged as the prompt says", "missing": "not judged"}
"""What the marks of a sheet mean."""
FIRST_ROWS, FIRST_COLUMNS = 6, 7  # of the sheet on the first screen: arms times seeds, and generations


@dataclass(frozen=True)
class Tile:
    """An image in its place on a sheet. image: its row of images.parquet, None where there is none; then the note says
    why, if it is not only that it is not made yet."""

    image: ImageRow | None = None
    mark: Mark = ""
    note: str = ""
    framed: bool = False

    def there(self, root: Path) -> bool:
        """Whether the image's file lies in the results folder."""
        return self.image is not None and (root / self.image.file).is_file()


@dataclass(frozen=True)
class Picture:
    """A sheet of images, and the file of it in `figures/`. columns, labels: above the columns, before the rows; may
    be empty. arm: as it is spoken of, empty on a sheet of several. marks: what they mean."""

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
        """How many such sheets stand side by side on the first screen."""
        return FIRST_COLUMNS // len(self.columns)

    def anchor(self, card: int) -> str:
        """The id of an image's place on this sheet."""
        return f"{self.name}-{card}"

    def _cell(self, tile: Tile) -> Cell:
        file = None if tile.image is None else self.root / tile.image.file
        return Cell(file, tile.mark, tile.note, tile.framed)


@dataclass(frozen=True)
class Gallery:
    """All picture sheets of a results folder."""

    view: View
    root: Path
    said: Said

    @cached_property
    def has_images(self) -> bool:
        files = self.view.tables.images["file"].dropna()
        return bool((files != "").any())

    @cached_property
    def _images(self) -> dict[Hashable, list[ImageRow]]:
        """(run, generation, set, prompt) -> its images in the order of their ids."""
        table = self.view.tables.images.sort_values(["run", "generation", "set", "id"])
        places = ["run", "generation", "set", "prompt"]
        return {place: rows.read(images, ImageRow) for place, images in table.groupby(places)}

    @cached_property
    def _noise(self) -> dict[tuple[str, str], dict[str, dict[int, ImageRow]]]:
        """(run, prompt) -> number in the evaluation set, which stands for the noise -> generation -> its image."""
        found: dict[tuple[str, str], dict[str, dict[int, ImageRow]]] = {}
        for images in self._images.values():
            for image in images:
                if image.set == EVALUATION:
                    number = image.id.rpartition("-")[2]  # the same in every arm, wherever the prompt stands
                    found.setdefault((image.run, image.prompt), {}).setdefault(number, {})[image.generation] = image
        return found

    @cached_property
    def _withheld(self) -> set[tuple[str, int]]:
        """(run, generation) of evaluation sets of which a safety checker kept something back."""
        table = self.view.tables.withheld
        some = table[(table["set"] == EVALUATION) & (table["withheld"] > 0)]
        return set(zip(some["run"], some["generation"], strict=True))

    # ---- what is shown -------------------------------------------------------------------------------

    def first_screen(self, prompt: Prompt) -> list[Picture]:
        """The first seeds of the evaluation set, a few per arm: what one sees of the whole at a glance."""
        chains = [chain for chain in self.view.first_chains(prompt) if chain.arm in self.view.begun]
        every = -(-self._last // (FIRST_COLUMNS - 1)) if self._last >= FIRST_COLUMNS else 1
        shown = sorted({*range(0, self._last + 1, every), self._last})
        abreast = FIRST_COLUMNS // len(shown)
        shelves = min(FIRST_ROWS, -(-len(chains) // abreast))
        made = [
            self._evaluation("first", chain, prompt, shown, FIRST_ROWS // shelves)
            for chain in chains[: abreast * FIRST_ROWS]
        ]
        return [picture for picture in made if picture.rows]

    def filmstrips(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """One seed of the evaluation set per picture: a row per arm, a column per generation."""
        chains = self.view.first_chains(prompt)
        noise = [self._noise.get((chain.planned.name, prompt.text), {}) for chain in chains]
        names = sorted({name for made in noise for name in made})
        for i, name in enumerate(names[: STRIPS if len(chains) <= 4 else 2], start=1):
            rows = [self._row(chain, prompt, name, self._generations) for chain in chains]
            seed = next(image.image_seed for made in noise for image in made.get(name, {}).values())
            arms = [spoken(chain.arm) for chain in chains]
            yield Picture(f"filmstrip-{number}-{i}", f"seed {seed}", self.root, _header(self._generations), arms, rows)

    def contact_sheets(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """The evaluation set of each arm: a row per seed, a column per generation."""
        chains = self.view.first_chains(prompt)
        most = min(ROWS, max(4, CELLS // (len(chains) * (self._last + 1))))
        for chain in chains:
            made = self._evaluation(f"evaluation-{number}", chain, prompt, self._generations, most)
            if made.rows:
                yield made

    def pools(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """The first images of a curated arm's pool, the kept ones framed, at its first and last curation."""
        for chain in self.view.first_chains(prompt):
            pools = [(g, self._set(chain, prompt, g, POOL)) for g in range(chain.last)]
            curated = [(g, pool) for g, pool in pools if any(pd.notna(image.kept) for image in pool)]
            if all(image.kept for _, pool in curated for image in pool):
                continue
            for g, pool in dict((curated[0], curated[-1])).items():
                first = pool[:POOL_SHOWN]
                shown, kept = (sum(bool(image.kept) for image in images) for images in (first, pool))
                count = f"{shown} of these {len(first)} were kept, {kept} of all {len(pool)}"
                title = f"{spoken(chain.arm)}, generation {g}: {count}"
                tiles = [self._pool_tile(image) for image in first]
                rows = [tiles[i : i + 8] for i in range(0, len(tiles), 8)]
                name = f"pool-{number}-{_slug(chain.arm)}-g{g:02d}"
                yield Picture(name, title, self.root, [], [], rows)

    def checks(self) -> Iterator[Picture]:
        """The first images of every check prompt, arm by arm: a row for each, a column per generation."""
        first = {chain.arm: chain for chain in reversed(self.view.chains)} if self.has_images else {}
        for arm in [arm for arm in self.view.arms if arm in first]:
            chain, rows, labels = first[arm], [], []
            prompts = chain.planned.config.check_prompts()
            each = CHECKED if CHECKED * len(prompts) * len(first) * (self._last + 1) <= CELLS else 1
            for prompt in prompts:
                made = [self._set(chain, prompt, g, CHECK) for g in self._generations]
                for i in range(min(each, max(map(len, made)))):
                    rows.append([self._check_tile(of[i], prompt) if i < len(of) else Tile() for of in made])
                    labels.append(", ".join(prompt.concepts))
            if rows:
                name, title = f"check-{_slug(arm)}", f"{spoken(arm)}: the first images of each check prompt"
                header = _header(self._generations)
                yield Picture(name, title, self.root, header, labels, rows, spoken(arm), AS_NAMED)

    # ---- rows and tiles ------------------------------------------------------------------------------

    def _evaluation(self, name: str, chain: StyledChain, prompt: Prompt, shown: Sequence[int], most: int) -> Picture:
        noise = self._noise.get((chain.planned.name, prompt.text), {})
        names = sorted(noise)[:most]
        part = "" if len(names) == len(noise) else f": the first {len(names)} of {len(noise)} seeds"
        title = f"{spoken(chain.arm)}{part}"
        rows = [self._row(chain, prompt, name, shown) for name in names]
        labels = [str(next(iter(noise[name].values())).image_seed) for name in names]
        return Picture(f"{name}-{_slug(chain.arm)}", title, self.root, _header(shown), labels, rows, spoken(chain.arm))

    @cached_property
    def _last(self) -> int:
        return max(chain.last for chain in self.view.chains)

    @property
    def _generations(self) -> Sequence[int]:
        return range(self._last + 1)

    def _set(self, chain: StyledChain, prompt: Prompt, generation: int, stream: str) -> list[ImageRow]:
        return self._images.get((chain.planned.name, generation, stream, prompt.text), [])

    def _row(self, chain: StyledChain, prompt: Prompt, name: str, shown: Sequence[int]) -> list[Tile]:
        made = self._noise.get((chain.planned.name, prompt.text), {}).get(name, {})
        asked = int(name) < chain.planned.config.evaluation.images
        lost = {g: "withheld" if asked and (chain.planned.name, g) in self._withheld else "" for g in shown}
        return [self._tile(made[g], prompt) if g in made else Tile(note=lost[g]) for g in shown]

    def _tile(self, image: ImageRow, prompt: Prompt) -> Tile:
        said = self.said.joint(image, prompt, self.view.judges[0])
        return Tile(image, "missing" if said is None else "yes" if said else "no")

    def _check_tile(self, image: ImageRow, prompt: Prompt) -> Tile:
        said = self.said.of(image).get(self.view.judges[0])
        if said is None or said["answer"].isna().any():
            return Tile(image, "missing")
        right = said["concept"].isin(prompt.concepts) == said["answer"].astype(bool)
        return Tile(image, "yes" if right.all() else "no")

    def _pool_tile(self, image: ImageRow) -> Tile:
        rank = some(image.rank)
        return Tile(image, note="" if rank is None else f"rank {int(rank)}", framed=bool(image.kept))


def _header(generations: Sequence[int]) -> list[str]:
    return [f"generation {g}" if g == 0 else str(g) for g in generations]


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in text)
