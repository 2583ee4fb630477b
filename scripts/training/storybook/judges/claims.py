"""Claims about storybook scenes: their texts, when they are true, and which of them belong to a concept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from entropy_loop.worlds.storybook import scene


@dataclass(frozen=True)
class Claim:
    """A text that is true of an image if each column in `where` of its truth row has one of the given values."""

    text: str
    where: tuple[tuple[str, frozenset[str]], ...]


def claim(text: str, **where: Iterable[str] | str) -> Claim:
    """A claim from column=value or column=values."""
    return Claim(text, tuple((k, frozenset([v] if isinstance(v, str) else v)) for k, v in where.items()))


def truths(claims: list[Claim], table: pd.DataFrame) -> Tensor:
    """float32 (images, claims): 1 where the claim holds."""
    columns = {part: table[part[0]].isin(part[1]).to_numpy() for claim in claims for part in claim.where}
    holds = [np.logical_and.reduce([columns[part] for part in claim.where]) for claim in claims]
    return torch.from_numpy(np.stack(holds, 1).astype(np.float32))


UNKNOWN = "?"
"""An unknown truth. For example, the prompt of a loop's picture does not determine its colours."""
UNNAMED = "unnamed"
"""A figure that the labeller could not identify."""


def known(claims: list[Claim], table: pd.DataFrame) -> Tensor:
    """float32 (images, claims): 1 where the truth of every column in the claim is known."""
    unknown = {name: table[name].eq(UNKNOWN).to_numpy() for claim in claims for name, _ in claim.where}
    undecided = [np.logical_or.reduce([unknown[name] for name, _ in claim.where]) for claim in claims]
    return torch.from_numpy(np.stack([~column for column in undecided], 1).astype(np.float32))


JUNK = {
    "noise": "noise",
    "drowned": "noise",
    "blank": "a blank picture",
    "scrambled": "a scrambled picture",
    "blurred": "a blurred picture",
    "faded": "a faded picture",
    "melted": "a broken picture",
    "broken": "a broken picture",
}
JUNK_TEXTS = sorted(set(JUNK.values()))
RIDING = "somebody riding an animal"
BESIDE = "somebody standing next to an animal"
ALONE = "somebody standing alone"
ANIMAL = "an animal alone"
EMPTY = "an empty place"
WITH_RIDER = ("riding", "next_to", "rider_alone")
WITH_MOUNT = ("riding", "next_to", "mount_alone")


def photograph(text: str) -> str:
    return f"a photograph of {text}"


def statement(rider: str, mount: str, relation: str, place: str) -> Claim:
    """The claim that a scene's caption makes. '' leaves rider, mount or place open."""
    link = {"riding": " riding ", "next_to": " standing next to "}[relation] if rider and mount else ""
    text = photograph(link.join(scene.noun(name) for name in (rider, mount) if name))
    where = {"rider": rider, "mount": mount, "relation": relation if link else "", "background": place}
    return claim(text + (f" {scene.PLACES[place]}" if place else ""), **{k: v for k, v in where.items() if v})


def bank() -> list[Claim]:
    """The claims that are part of every batch."""
    claims = [claim(text, rider=r) for r in scene.RIDERS for text in both(scene.noun(r))]
    claims += [claim(text, mount=m) for m in scene.MOUNTS for text in both(scene.noun(m))]
    claims += [claim(text, background=b) for b in scene.BACKGROUNDS for text in (*both(scene.noun(b)), scene.PLACES[b])]
    claims += [claim(f"somebody in {suit}", suit=suit) for suit in scene.COLOURS["suit"]]
    claims += [claim(f"{scene.noun(coat)} animal", coat=coat) for coat in scene.COLOURS["coat"]]
    claims += [claim(text, relation="riding") for text in both(RIDING)]
    claims += [claim(text, relation="next_to") for text in both(BESIDE)]
    claims += [claim(ALONE, relation="rider_alone"), claim(ANIMAL, relation="mount_alone")]
    claims += [claim(EMPTY, relation="empty")]
    claims += [claim("somebody", relation=WITH_RIDER), claim("an animal", relation=WITH_MOUNT)]
    claims += [claim(text, junk=[k for k, v in JUNK.items() if v == text]) for text in JUNK_TEXTS]
    return claims


def both(text: str) -> tuple[str, str]:
    return text, photograph(text)


def concepts() -> dict[str, dict[str, list[str]]]:
    """Concept -> its yes and no texts."""
    nobody = [ANIMAL, EMPTY, *JUNK_TEXTS]
    no_animal = [ALONE, EMPTY, *JUNK_TEXTS]
    riders = {r: {"yes": [*both(scene.noun(r))], "no": _others(scene.RIDERS, r) + nobody} for r in scene.RIDERS}
    mounts = {m: {"yes": [*both(scene.noun(m))], "no": _others(scene.MOUNTS, m) + no_animal} for m in scene.MOUNTS}
    riding = {"yes": [*both(RIDING)], "no": [*both(BESIDE), ALONE, ANIMAL, EMPTY, *JUNK_TEXTS]}
    return riders | mounts | {"riding": riding}


def _others(names: tuple[str, ...], name: str) -> list[str]:
    return [text for other in names if other != name for text in both(scene.noun(other))]


JOINT = {"all": ("astronaut", "horse", "riding")}
ESSAY = (*JOINT["all"], "all")


ATTRIBUTES = {
    "coat": {v: f"{scene.noun(v)} animal" for v in scene.COLOURS["coat"]},
    "suit": {v: f"somebody in {v}" for v in scene.COLOURS["suit"]},
    "background": {v: photograph(scene.noun(v)) for v in scene.BACKGROUNDS},
}


def answers(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Concept -> true answers, bool (images,)."""
    return {c: table["rider"].eq(c).to_numpy() for c in scene.RIDERS} | {
        **{c: table["mount"].eq(c).to_numpy() for c in scene.MOUNTS},
        "riding": table["relation"].eq("riding").to_numpy(),
    }


def answerable(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Concept -> whether the true answers are known, bool (images,)."""
    columns = dict.fromkeys(scene.RIDERS, "rider") | dict.fromkeys(scene.MOUNTS, "mount") | {"riding": "relation"}
    return {concept: table[name].ne(UNKNOWN).to_numpy() for concept, name in columns.items()}


def expected(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Concept or conjunction -> true answers, bool (images,)."""
    true = answers(table)
    return true | {name: np.logical_and.reduce([true[c] for c in parts]) for name, parts in JOINT.items()}


def vocabulary() -> list[str]:
    """All words of all claims, sorted."""
    texts = [claim.text for claim in bank()]
    return sorted({*scene.VOCABULARY, *" ".join(texts).split()})
