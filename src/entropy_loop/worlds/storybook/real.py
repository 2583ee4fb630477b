"""The storybook world as real data: scenes drawn afresh, with known truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, product
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop.contracts import Real
from entropy_loop.data import CHECK, Prompt, Request, Tick
from entropy_loop.errors import ConfigError
from entropy_loop.worlds.degraded import noisy
from entropy_loop.worlds.storybook import scene

FORM = "a photograph of "
Attribute = Literal["coat", "suit", "background", "facing"]


@dataclass(frozen=True)
class Storybook(Real):
    """Drawn scenes of what a prompt asks for; what it leaves open follows the world's own shares."""

    version: ClassVar[int] = 1

    only: dict[Attribute, str] = field(default_factory=dict)
    """Attribute values that every scene has, such as {coat: brown}: data with less diversity, for a control."""
    noise: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of Gaussian noise on the pixels, as a share of their full range, at least 0; for a control."""

    def __post_init__(self) -> None:
        for name, value in self.only.items():
            if value not in scene.SHARES[name]:
                raise ConfigError(f"only.{name}: no {value!r}; known: {', '.join(scene.SHARES[name])}.")

    def ready(self) -> None:
        """It draws."""

    def stock(self, prompt: str) -> int | None:
        """As many as one likes of what the world can draw, else none."""
        try:
            asked(prompt)
        except ConfigError:
            return 0
        return None

    def draw(self, requests: list[Request], out: Path, tick: Tick) -> None:
        """Writes images/<id>.png and samples.parquet with the truth of every scene in further columns."""
        drawn = (scene.sample(r.seed, 0, **asked(r.prompt) | dict(self.only)) for r in requests)
        self._write([(r, r.prompt, one) for r, one in zip(requests, drawn, strict=True)], out, tick)

    def check_prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Check prompts beside those that are there, four for each target of which this world draws every concept:
        another rider on its mount, its rider beside another mount, and another rider beside, and riding, another mount.
        So each concept of the target stands in some of them and is missing in others. There are none where some targets
        name a place and others do not: the place behind the others' figures is open, so it could not be missing."""
        found: list[Prompt] = []
        targets = [prompt for prompt in prompts if prompt.role == "target"]
        if len({any(scene.CONCEPTS.get(c) == "background" for c in target.concepts) for target in targets}) > 1:
            return found
        for target in targets:
            if set(target.concepts) <= set(scene.CONCEPTS):
                found += _beside(target, {prompt.text for prompt in (*prompts, *found)})
        return found

    def can_teach(self, concept: str) -> bool:
        """Whether scenes can show it: a rider, a mount, a place or riding."""
        place = scene.CONCEPTS.get(concept)
        fixed = {str(name): told for name, told in self.only.items()}
        return place is not None and fixed.get(place, concept) == concept

    def ready_to_teach(self, concepts: tuple[str, ...], images: int, prompts: tuple[str, ...]) -> None:
        """It draws as many as are wanted."""

    def teach(self, requests: list[Request], prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
        """As `draw`, but a request's prompt is a concept: scenes that show it, else by the world's own shares, each
        under its own caption."""
        drawn = [(r, self._scene_with(r.prompt, r.seed)) for r in requests]
        self._write([(r, scene.caption(one), one) for r, one in drawn], out, tick)

    def _scene_with(self, concept: str, seed: int) -> scene.Scene:
        """The first scene of the album `seed` in which what is fixed is there to be seen: a rider fixed in an empty
        meadow is not."""
        place = scene.CONCEPTS[concept]
        fixed = {str(name): told for name, told in self.only.items()} | {place: concept}
        album = (scene.sample(seed, index, **fixed) for index in count())
        return next(one for one in album if getattr(one, place) == concept)

    def _write(self, scenes: list[tuple[Request, str, scene.Scene]], out: Path, tick: Tick) -> None:
        """(request, caption, scene) as images and a table."""
        from PIL import Image

        (out / "images").mkdir()
        rows = []
        for number, (request, caption, drawn) in enumerate(scenes):
            pixels = self._corrupted(scene.render(drawn), request.seed)
            file = f"images/{request.id}.png"
            Image.fromarray(pixels).save(out / file, compress_level=1)
            told = {"id": request.id, "prompt": caption, "image_seed": request.seed, "file": file}
            rows.append(told | {"latent_sha256": hashlib.sha256(pixels.tobytes()).hexdigest()} | asdict(drawn))
            tick((number + 1) / len(scenes))
        pd.DataFrame(rows).to_parquet(out / "samples.parquet", index=False)

    def _corrupted(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        if not self.noise:
            return pixels
        return noisy(pixels, self.noise, np.random.default_rng([seed, 1]))


def _beside(target: Prompt, taken: set[str]) -> Iterator[Prompt]:
    """Four prompts near a target, none of them taken or an unseen pair. Where it names a place, the first two have this
    one and the others another: what is not named may be anywhere."""
    has = {scene.CONCEPTS[name]: name for name in target.concepts}
    riders, mounts, places = (
        [name for name in names if name not in target.concepts]
        for names in (scene.RIDERS, scene.MOUNTS, scene.BACKGROUNDS)
    )
    own, other = (has["background"], places[0]) if "background" in has else ("", "")
    rider, mount = has.get("rider", riders[-1]), has.get("mount", mounts[-1])
    for first, second, link, place in (
        (riders, [mount], "riding", own),
        ([rider], mounts, "standing next to", own),
        (riders[1:], mounts[1:], "standing next to", other),
        (riders[2:], mounts[2:], "riding", other),
    ):
        for pair in product(first, second):
            text = f"{FORM}{scene.noun(pair[0])} {link} {scene.noun(pair[1])}"
            text += f" {scene.PLACES[place]}" if place else ""
            if pair not in scene.UNSEEN_PAIRS and text not in taken:
                named = (*pair, link, place)
                yield Prompt(text, CHECK, tuple(name for name in named if name in scene.CONCEPTS))
                break


def asked(prompt: str) -> dict[str, str]:
    """What a prompt in the world's words fixes. Raises ConfigError when the world cannot draw it."""
    words = prompt.removeprefix(FORM)
    for place, phrase in scene.PLACES.items():
        if words.endswith(f" {phrase}"):
            return {**asked(f"{FORM}{words.removesuffix(f' {phrase}')}"), "background": place}
    for relation, link in (("riding", " riding "), ("next_to", " standing next to ")):
        rider, found, mount = words.partition(link)
        if found:
            return {"relation": relation, "rider": _name(rider, scene.RIDERS), "mount": _name(mount, scene.MOUNTS)}
    known = {scene.noun(name): {"relation": "rider_alone", "rider": name} for name in scene.RIDERS}
    known |= {scene.noun(name): {"relation": "mount_alone", "mount": name} for name in scene.MOUNTS}
    known |= {scene.noun(name): {"relation": "empty", "background": name} for name in scene.BACKGROUNDS}
    if not prompt.startswith(FORM) or words not in known:
        raise ConfigError(
            f"real: the storybook world cannot draw {prompt!r}; it draws 'a photograph of an astronaut riding a "
            "horse' and the like (`entropy-loop world storybook` shows them)."
        )
    return known[words]


def _name(words: str, names: tuple[str, ...]) -> str:
    for name in names:
        if words == scene.noun(name):
            return name
    raise ConfigError(f"real: the storybook world has no {words!r} there; known: {', '.join(names)}.")
