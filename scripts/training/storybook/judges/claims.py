"""Claims about a storybook scene: texts, when they are true, and which of them ask for a concept."""

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
    """A text, true of an image whose truth row has, for each column in `where`, one of the values given."""

    text: str
    where: tuple[tuple[str, frozenset[str]], ...]


def claim(text: str, **where: Iterable[str] | str) -> Claim:
    """A claim from column=value or column=values."""
    return Claim(text, tuple((k, frozenset([v] if isinstance(v, str) else v)) for k, v in where.items()))


def truths(claims: list[Claim], table: pd.DataFrame) -> Tensor:
    """float32 (images, claims): 1 where the claim holds."""
    known = {part: table[part[0]].isin(part[1]).to_numpy() for one in claims for part in one.where}
    holds = [np.logical_and.reduce([known[part] for part in one.where]) for one in claims]
    return torch.from_numpy(np.stack(holds, 1).astype(np.float32))


UNKNOWN = "?"
"""A truth that nobody knows: what a loop's picture was asked to show says nothing of its colours."""
UNNAMED = "unnamed"
"""What the eye could not tell, which is none of the names."""


def known(claims: list[Claim], table: pd.DataFrame) -> Tensor:
    """float32 (images, claims): 1 where everything that the claim speaks of is known of the image."""
    unknown = {name: table[name].eq(UNKNOWN).to_numpy() for one in claims for name, _ in one.where}
    open_ = [np.logical_or.reduce([unknown[name] for name, _ in one.where]) for one in claims]
    return torch.from_numpy(np.stack([~column for column in open_], 1).astype(np.float32))


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
    """The claim a scene's caption makes; '' leaves rider, mount or place open."""
    link = {"riding": " riding ", "next_to": " standing next to "}[relation] if rider and mount else ""
    text = photograph(link.join(scene.noun(name) for name in (rider, mount) if name))
    where = {"rider": rider, "mount": mount, "relation": relation if link else "", "background": place}
    return claim(text + (f" {scene.PLACES[place]}" if place else ""), **{k: v for k, v in where.items() if v})


def bank() -> list[Claim]:
    """The claims that stand in every batch."""
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
    """Each concept's yes and no texts; each is judged on its own, whatever the others are."""
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
    """The true answer, bool (images,), to each concept."""
    return {c: table["rider"].eq(c).to_numpy() for c in scene.RIDERS} | {
        **{c: table["mount"].eq(c).to_numpy() for c in scene.MOUNTS},
        "riding": table["relation"].eq("riding").to_numpy(),
    }


def answerable(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Whether the true answer to each concept is known, bool (images,)."""
    columns = dict.fromkeys(scene.RIDERS, "rider") | dict.fromkeys(scene.MOUNTS, "mount") | {"riding": "relation"}
    return {concept: table[name].ne(UNKNOWN).to_numpy() for concept, name in columns.items()}


def expected(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The true answers to each concept and to each conjunction."""
    true = answers(table)
    return true | {name: np.logical_and.reduce([true[c] for c in parts]) for name, parts in JOINT.items()}


def vocabulary() -> list[str]:
    """All words of all claims, sorted."""
    texts = [one.text for one in bank()]
    return sorted({*scene.VOCABULARY, *" ".join(texts).split()})
