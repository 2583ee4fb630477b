"""The images of the page: the pixels of each stand in it once, and each has a card with what is known of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import DASH, number, some
from entropy_loop.analysis.judgements import Said
from entropy_loop.analysis.rows import ImageRow, JudgedRow, Text
from entropy_loop.data import ALL, CHECK, EVALUATION, POOL
from entropy_loop.report.figures.sheets import webp
from entropy_loop.report.page.gallery import Picture, Tile
from entropy_loop.report.page.lineage import Lineage
from entropy_loop.report.view import StyledChain, View

BUDGET = 3_000_000  # bytes of all images and cards in the page; what is beyond it stands in `figures/` alone
SETS = {POOL: "pool", EVALUATION: "evaluation set", CHECK: "check prompts"}
SMALL = 96  # pixels of the longer side
CARD, ROW, PLACE = 1_100, 130, 420  # bytes of a card, of a judgement on it, of a place on a sheet: about, and at most


Place = tuple[str, int, str, str]
"""(run, generation, set, id) of an image."""


@dataclass(frozen=True)
class Pixels:
    """An image as the page holds it: `number` names it there."""

    number: int
    width: int
    height: int
    source: str  # data URL

    @property
    def small(self) -> bool:
        """Whether it is enlarged without smoothing."""
        return max(self.width, self.height) <= SMALL


@dataclass(frozen=True)
class Judged:
    """What one judge said of one concept, as it is shown."""

    concept: str
    judge: str
    score: str
    threshold: str
    answer: str


@dataclass(frozen=True)
class Card:
    """What is known of an image. facts: (what, value). places: (sheet, anchor of the image there)."""

    number: int
    name: str
    pixels: Pixels
    facts: list[tuple[str, str]]
    judged: list[Judged]
    places: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Album:
    """All images of a page, within a budget of bytes: a sheet that does not fit is left out whole."""

    view: View
    root: Path
    said: Said
    spent: int = 0
    pixels: dict[str, Pixels] = field(default_factory=dict)
    cards: dict[Place, Card] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # names of the sheets that are in

    def take(self, picture: Picture, where: str) -> None:
        """Put a sheet's images in, each with its card; where the budget is too small, do nothing."""
        images = [tile.image for row in picture.rows for tile in row if tile.image and tile.there(self.root)]
        new = dict.fromkeys(image.file for image in images if image.file not in self.pixels)
        made = {file: self._pixels(self.root / file, len(self.pixels) + i) for i, file in enumerate(new, start=1)}
        cards = len({_key(image) for image in images} - set(self.cards))
        cost = sum(len(one.source) for one in made.values()) + PLACE * len(images)
        cost += cards * (CARD + ROW * self._rows_of_a_card)
        if self.spent + cost > BUDGET:
            return
        self.spent += cost
        self.taken.add(picture.name)
        self.pixels |= made
        for image in images:
            card = self.cards.setdefault(_key(image), self._card(image))
            card.places.append((where, picture.anchor(card.number)))

    def card(self, tile: Tile) -> Card | None:
        """The card of an image in its place; None for one that is not there."""
        return None if tile.image is None else self.cards.get(_key(tile.image))

    def _pixels(self, file: Path, number: int) -> Pixels:
        data, (width, height) = webp(file)
        return Pixels(number, width, height, f"data:image/webp;base64,{base64.b64encode(data).decode()}")

    def _card(self, image: ImageRow) -> Card:
        if (card := self.cards.get(_key(image))) is not None:
            return card
        chain, number_ = self._chains[image.run], len(self.cards) + 1
        name = f"{chain.name}, generation {image.generation}, {SETS[image.set]}, seed {image.image_seed}"
        return Card(number_, name, self.pixels[image.file], list(self._facts(chain, image)), list(self._said(image)))

    def _facts(self, chain: StyledChain, image: ImageRow) -> Iterator[tuple[str, str]]:
        lineage = self._lineages[chain.planned.name]
        yield "prompt", image.prompt
        yield "seed", f"{image.image_seed} (image {image.id} of chain {image.run})"
        if (score := some(image.score)) is not None:
            yield "curator\u2019s score", f"{number(score, 4)}{self._rank(image)}"
        if image.set == POOL:
            yield "kept", DASH if pd.isna(image.kept) else "yes" if image.kept else "no"
        yield "origin", lineage.maker(image.generation)
        yield "fate", lineage.fate(image)

    def _rank(self, image: ImageRow) -> str:
        if (rank := some(image.rank)) is None:
            return ""
        pools = self._images[(self._images["run"] == image.run) & (self._images["set"] == POOL)]
        pool = pools[(pools["generation"] == image.generation) & (pools["prompt"] == image.prompt)]
        return f", rank {int(rank)} of {len(pool)}"

    def _said(self, image: ImageRow) -> Iterator[Judged]:
        """Every judge on every concept of the prompt, and on all of them in this one image; on an image of a check
        prompt on those of the targets."""
        asked = self._chains[image.run].planned.config.judged_prompts(image.set)
        prompt = next(prompt for prompt in asked if prompt.text == image.prompt)
        for judge, table in self.said.of(image).items():
            if len(prompt.concepts) > 1 and image.set != CHECK:
                yield Judged(ALL, judge, "", "", _answer(self.said.joint(image, prompt, judge), ""))
            for row in rows.read(table, JudgedRow):
                answer = _answer(row.answer, row.reason)
                yield Judged(row.concept, judge, _number(row.score), _number(row.threshold), answer)

    # ---- tables by place -----------------------------------------------------------------------------

    @cached_property
    def _images(self) -> pd.DataFrame:
        return self.view.tables.images

    @cached_property
    def _chains(self) -> dict[str, StyledChain]:
        return {chain.planned.name: chain for chain in self.view.chains}

    @cached_property
    def _lineages(self) -> dict[str, Lineage]:
        images, diets = self._images, self.view.tables.diets
        return {
            name: Lineage(chain.planned, images[images["run"] == name], diets[diets["run"] == name])
            for name, chain in self._chains.items()
        }

    @cached_property
    def _rows_of_a_card(self) -> int:
        return len(self.view.judges) * (1 + max((len(prompt.concepts) for prompt in self.view.prompts), default=0))


def _key(image: ImageRow) -> Place:
    return image.run, image.generation, image.set, image.id


def _number(value: float) -> str:
    return DASH if pd.isna(value) else number(value, 3)


def _answer(answer: bool | None, reason: Text) -> str:
    said = DASH if pd.isna(answer) else "yes" if answer else "no"
    return f"{said} ({reason})" if isinstance(reason, str) and reason else said
