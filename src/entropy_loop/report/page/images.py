"""The images of the page: the pixels of each image once, and a card with its details."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import DASH, float_or_none, number
from entropy_loop.analysis.judgements import ImageJudgements
from entropy_loop.analysis.rows import ImageRow, JudgementRow, Text
from entropy_loop.data import ALL, CHECK, EVALUATION, POOL
from entropy_loop.report.figures.sheets import webp
from entropy_loop.report.page.gallery import Picture, Tile
from entropy_loop.report.page.lineage import Lineage
from entropy_loop.report.view import StyledChain, View

BUDGET = 3_000_000  # bytes of all images and cards in the page; sheets beyond it are in `figures/` alone
SETS = {POOL: "pool", EVALUATION: "evaluation set", CHECK: "check prompts"}
SMALL = 96  # pixels of the longer side, up to which an image is enlarged without smoothing
CARD, ROW, PLACE = 1_100, 130, 420  # estimated bytes, from above: of a card, a judgement on it, a place on a sheet

Place = tuple[str, int, str, str]
"""(run, generation, set, id) of an image."""


@dataclass(frozen=True)
class Pixels:
    """An image of the page; number: of its CSS class."""

    number: int
    width: int
    height: int
    source: str  # data URL

    @property
    def small(self) -> bool:
        return max(self.width, self.height) <= SMALL


@dataclass(frozen=True)
class JudgementLine:
    """The judgement of one judge on one concept, as text."""

    concept: str
    judge: str
    score: str
    threshold: str
    answer: str


@dataclass(frozen=True)
class Card:
    """The card of an image. details: (label, value). places: (sheet, HTML id of the image there)."""

    number: int
    name: str
    pixels: Pixels
    details: list[tuple[str, str]]
    judgements: list[JudgementLine]
    places: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Album:
    """The images of a page within a budget of bytes; a sheet that does not fit is left out whole."""

    view: View
    root: Path
    judgements: ImageJudgements
    spent: int = 0
    pixels: dict[str, Pixels] = field(default_factory=dict)
    cards: dict[Place, Card] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # names of the embedded sheets

    def take(self, picture: Picture, kind: str) -> None:
        """Embeds a sheet's images with their cards, unless that would exceed the budget."""
        images = [tile.image for row in picture.rows for tile in row if tile.image and tile.has_file(self.root)]
        new = dict.fromkeys(image.file for image in images if image.file not in self.pixels)
        pixels = {file: self._pixels(self.root / file, len(self.pixels) + i) for i, file in enumerate(new, start=1)}
        cards = len({_key(image) for image in images} - set(self.cards))
        cost = sum(len(image.source) for image in pixels.values()) + PLACE * len(images)
        cost += cards * (CARD + ROW * self._rows_of_a_card)
        if self.spent + cost > BUDGET:
            return
        self.spent += cost
        self.taken.add(picture.name)
        self.pixels |= pixels
        for image in images:
            card = self.cards.setdefault(_key(image), self._card(image))
            card.places.append((kind, picture.anchor(card.number)))

    def card(self, tile: Tile) -> Card | None:
        """The card of a place's image, if there is one."""
        return None if tile.image is None else self.cards.get(_key(tile.image))

    def _pixels(self, file: Path, number: int) -> Pixels:
        data, (width, height) = webp(file)
        return Pixels(number, width, height, f"data:image/webp;base64,{base64.b64encode(data).decode()}")

    def _card(self, image: ImageRow) -> Card:
        if (card := self.cards.get(_key(image))) is not None:
            return card
        chain = self._chains[image.run]
        name = f"{chain.name}, generation {image.generation}, {SETS[image.set]}, seed {image.image_seed}"
        details, judgements = list(self._details(chain, image)), list(self._judgement_lines(image))
        return Card(len(self.cards) + 1, name, self.pixels[image.file], details, judgements)

    def _details(self, chain: StyledChain, image: ImageRow) -> Iterator[tuple[str, str]]:
        lineage = self._lineages[chain.planned.name]
        yield "prompt", image.prompt
        yield "seed", f"{image.image_seed} (image {image.id} of chain {image.run})"
        if (score := float_or_none(image.score)) is not None:
            yield "curator\u2019s score", f"{number(score, 4)}{self._rank(image)}"
        if image.set == POOL:
            yield "kept", DASH if pd.isna(image.kept) else "yes" if image.kept else "no"
        yield "origin", lineage.maker(image.generation)
        yield "fate", lineage.fate(image)

    def _rank(self, image: ImageRow) -> str:
        if (rank := float_or_none(image.rank)) is None:
            return ""
        pools = self._images[(self._images["run"] == image.run) & (self._images["set"] == POOL)]
        pool = pools[(pools["generation"] == image.generation) & (pools["prompt"] == image.prompt)]
        return f", rank {int(rank)} of {len(pool)}"

    def _judgement_lines(self, image: ImageRow) -> Iterator[JudgementLine]:
        """Every judge on `all` and the concepts of the prompt; for a check prompt, on the concepts of the targets."""
        asked = self._chains[image.run].planned.config.judged_prompts(image.set)
        prompt = next(prompt for prompt in asked if prompt.text == image.prompt)
        for judge, table in self.judgements.of_image(image).items():
            if len(prompt.concepts) > 1 and image.set != CHECK:
                answer = _answer(self.judgements.joint_answer(image, prompt, judge), "")
                yield JudgementLine(ALL, judge, "", "", answer)
            for row in rows.read(table, JudgementRow):
                answer = _answer(row.answer, row.reason)
                yield JudgementLine(row.concept, judge, _number(row.score), _number(row.threshold), answer)

    # ---- tables by key -------------------------------------------------------------------------------

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
    text = DASH if pd.isna(answer) else "yes" if answer else "no"
    return f"{text} ({reason})" if isinstance(reason, str) and reason else text
