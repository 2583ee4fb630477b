"""Which images the report shows: filmstrips, contact sheets of the evaluation set, pools with what was kept.

Nothing is picked by looking: always the first images of a set, in the order in which they were asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from entropy_loop.data import ALL, EVALUATION, POOL, Prompt
from entropy_loop.metrics.rates import answers
from entropy_loop.report.sheets import Cell, Mark, jpeg, png, sheet
from entropy_loop.report.view import Chain, View, spoken

STRIPS, ROWS, POOL_SHOWN = 3, 16, 64
CELLS = 600  # images on all contact sheets together; with many arms a sheet gets fewer rows, at least four
PNG_LIMIT = 700_000  # bytes of one picture in the page; above it the page has a JPEG, `figures/` the PNG
BUDGET = 6_500_000  # bytes of all pictures in the page; what is beyond it stands in `figures/` alone


@dataclass(frozen=True)
class Picture:
    """A picture of the page, and the file of it in `figures/`."""

    name: str
    title: str
    alt: str
    width: int
    png: bytes
    source: str  # data URL; empty when the page links to the file instead

    @property
    def file(self) -> str:
        return f"figures/{self.name}.png"


@dataclass
class Gallery:
    """All picture sheets of a results folder."""

    view: View
    root: Path
    spent: int = 0

    @cached_property
    def has_images(self) -> bool:
        files = self.view.tables.images["file"].dropna()
        return bool((files != "").any())

    @cached_property
    def _images(self) -> dict[tuple[Any, ...], pd.DataFrame]:
        """(run, generation, set, prompt) -> its images in the order of their ids."""
        table = self.view.tables.images.sort_values(["run", "generation", "set", "id"])
        return dict(iter(table.groupby(["run", "generation", "set", "prompt"])))

    @cached_property
    def _judged(self) -> dict[tuple[Any, ...], pd.DataFrame]:
        table = self.view.tables.judgements
        table = table[table["set"] == EVALUATION]
        return dict(iter(table.groupby(["run", "generation", "judge"])))

    # ---- what is shown -------------------------------------------------------------------------------

    def filmstrips(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """One seed of the evaluation set per picture: a row per arm, a column per generation."""
        chains = self.view.first_chains(prompt)
        for i in range(STRIPS if len(chains) <= 4 else 2):
            rows = [[self._cell(chain, prompt, g, i) for g in range(self._last + 1)] for chain in chains]
            seed = next((s for chain in chains if (s := self._seed(chain, prompt, i)) is not None), None)
            if seed is not None:
                arms = [spoken(chain.arm) for chain in chains]
                alt = f"Seed {seed}: one image per generation (columns) and arm (rows: {', '.join(arms)})."
                made = sheet(rows, self._header, arms)
                yield self._picture(f"filmstrip-{number}-{i + 1}", f"seed {seed}", alt, made)

    def contact_sheets(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """The evaluation set of each arm: a row per seed, a column per generation."""
        chains = self.view.first_chains(prompt)
        most = min(ROWS, max(4, CELLS // (len(chains) * (self._last + 1))))
        for chain in chains:
            seeds = len(self._set(chain, prompt, 0, EVALUATION))
            count = min(most, seeds)
            rows = [[self._cell(chain, prompt, g, i) for g in range(self._last + 1)] for i in range(count)]
            if rows:
                labels = [str(self._seed(chain, prompt, i)) for i in range(count)]
                part = "" if count == seeds else f": the first {count} of {seeds} seeds"
                title = f"{spoken(chain.arm)}{part}"
                alt = f"{title}; evaluation set, seeds (rows), generations 0-{self._last} (columns)."
                made = sheet(rows, self._header, labels)
                yield self._picture(f"evaluation-{number}-{_slug(chain.arm)}", title, alt, made)

    def pools(self, prompt: Prompt, number: int) -> Iterator[Picture]:
        """The first images of a curated arm's pool, the kept ones framed, at its first and last curation."""
        for chain in self.view.first_chains(prompt):
            pools = [(g, self._set(chain, prompt, g, POOL)) for g in range(chain.last)]
            curated = [(g, pool) for g, pool in pools if len(pool) and pool["kept"].notna().any()]
            if not curated or all(pool["kept"].astype(bool).all() for _, pool in curated):
                continue
            for g, pool in dict((curated[0], curated[-1])).items():
                kept, first = pool["kept"].astype(bool), pool.head(POOL_SHOWN)
                shown = int(kept.head(POOL_SHOWN).sum())
                count = f"{shown} of these {len(first)} were kept, {int(kept.sum())} of all {len(pool)}"
                title = f"{spoken(chain.arm)}, generation {g}: {count}"
                alt = f"Pool of {title}; the kept ones are framed."
                cells = [self._pool_cell(row) for row in first.itertuples()]
                rows = [cells[i : i + 8] for i in range(0, len(cells), 8)]
                yield self._picture(f"pool-{number}-{_slug(chain.arm)}-g{g:02d}", title, alt, sheet(rows, [], []))

    # ---- cells ---------------------------------------------------------------------------------------

    @cached_property
    def _last(self) -> int:
        return max(chain.last for chain in self.view.chains)

    @cached_property
    def _header(self) -> list[str]:
        return [f"generation {g}" if g == 0 else str(g) for g in range(self._last + 1)]

    def _set(self, chain: Chain, prompt: Prompt, generation: int, stream: str) -> pd.DataFrame:
        return self._images.get((chain.run.name, generation, stream, prompt.text), self.view.tables.images.head(0))

    def _seed(self, chain: Chain, prompt: Prompt, index: int) -> int | None:
        images = self._set(chain, prompt, 0, EVALUATION)
        return int(images["image_seed"].iloc[index]) if index < len(images) else None

    def _cell(self, chain: Chain, prompt: Prompt, generation: int, index: int) -> Cell:
        images = self._set(chain, prompt, generation, EVALUATION)
        if index >= len(images):
            return Cell(None)
        row = images.iloc[index]
        return Cell(self._file(row["file"]), self._mark(chain, prompt, generation, row["id"]))

    def _mark(self, chain: Chain, prompt: Prompt, generation: int, image: str) -> Mark:
        judgements = self._judged.get((chain.run.name, generation, self.view.judges[0]))
        if judgements is None:
            return "missing"
        said = answers(judgements[judgements["id"] == image], prompt.concepts)[ALL].dropna()
        return "missing" if said.empty else "yes" if bool(said.iloc[0]) else "no"

    def _pool_cell(self, row: Any) -> Cell:
        note = "" if pd.isna(row.rank) else f"rank {int(row.rank)}"
        return Cell(self._file(row.file), note=note, framed=bool(row.kept))

    def _file(self, name: str) -> Path | None:
        return self.root / name if name else None

    def _picture(self, name: str, title: str, alt: str, image: Image.Image) -> Picture:
        whole = png(image)
        kind, data = ("png", whole) if len(whole) <= PNG_LIMIT else ("jpeg", jpeg(image))
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        if self.spent + len(source) > BUDGET:
            return Picture(name, title, alt, image.width, whole, "")
        self.spent += len(source)
        return Picture(name, title, alt, image.width, whole, source)


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in text)
