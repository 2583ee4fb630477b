"""The storybook world as real data: new scenes for each request, with known truth."""

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
        """It needs no data."""

    def stock(self, prompt: str) -> int | None:
        """None, for no end, if the world can draw the prompt; else 0."""
        try:
            parse_prompt(prompt)
        except ConfigError:
            return 0
        return None

    def draw(self, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write images/<id>.png, and samples.parquet with the truth of every scene in further columns."""
        scenes = [(r, r.prompt, scene.sample(r.seed, 0, **parse_prompt(r.prompt) | self._only)) for r in requests]
        self._write(scenes, out, tick)

    def check_prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Four new check prompts for each target whose concepts this world can draw.

        They are: another rider on the target's mount, its rider next to another mount, and another rider next to, and
        riding, another mount. So some of them have a concept of the target and others lack it. There are none if only
        some targets name a background: a scene of the others may have any background, so none is sure to lack it.
        """
        checks: list[Prompt] = []
        targets = [prompt for prompt in prompts if prompt.role == "target"]
        if len({any(scene.CONCEPTS.get(c) == "background" for c in target.concepts) for target in targets}) > 1:
            return checks
        for target in targets:
            if set(target.concepts) <= set(scene.CONCEPTS):
                checks += _near_misses(target, {prompt.text for prompt in (*prompts, *checks)})
        return checks

    def can_teach(self, concept: str) -> bool:
        """Whether scenes can show the concept: a rider, a mount, a background or riding, unless `only` excludes it."""
        field = scene.CONCEPTS.get(concept)
        return field is not None and self._only.get(field, concept) == concept

    def ready_to_teach(self, concepts: tuple[str, ...], images: int, prompts: tuple[str, ...]) -> None:
        """It needs no data."""

    def teach(self, requests: list[Request], prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
        """As `draw`, but a request's prompt is a concept. Scenes show it, follow the world's own shares in everything
        else, and have captions of their own."""
        drawn = [(r, self._scene_with(r.prompt, r.seed)) for r in requests]
        self._write([(r, scene.caption(shown), shown) for r, shown in drawn], out, tick)

    def _scene_with(self, concept: str, seed: int) -> scene.Scene:
        """The first scene of the album `seed` that shows the concept: an empty scene does not show a fixed rider."""
        field = scene.CONCEPTS[concept]
        album = (scene.sample(seed, index, **self._only | {field: concept}) for index in count())
        return next(drawn for drawn in album if getattr(drawn, field) == concept)

    @property
    def _only(self) -> dict[str, str]:
        return {str(name): value for name, value in self.only.items()}

    def _write(self, scenes: list[tuple[Request, str, scene.Scene]], out: Path, tick: Tick) -> None:
        """Write images and samples.parquet. scenes: (request, caption, scene)."""
        from PIL import Image

        (out / "images").mkdir()
        rows = []
        for number, (request, caption, drawn) in enumerate(scenes):
            pixels = self._corrupted(scene.render(drawn), request.seed)
            file = f"images/{request.id}.png"
            Image.fromarray(pixels).save(out / file, compress_level=1)
            sample = {"id": request.id, "prompt": caption, "image_seed": request.seed, "file": file}
            rows.append(sample | {"latent_sha256": hashlib.sha256(pixels.tobytes()).hexdigest()} | asdict(drawn))
            tick((number + 1) / len(scenes))
        pd.DataFrame(rows).to_parquet(out / "samples.parquet", index=False)

    def _corrupted(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        if not self.noise:
            return pixels
        return noisy(pixels, self.noise, np.random.default_rng([seed, 1]))


def _near_misses(target: Prompt, taken: set[str]) -> Iterator[Prompt]:
    """Four prompts near a target, none of them `taken` or with an unseen pair. If the target names a background, two of
    them name the same one and two another: a scene whose prompt names none may have any."""
    asked = {scene.CONCEPTS[name]: name for name in target.concepts}
    riders, mounts, places = (
        [name for name in names if name not in target.concepts]
        for names in (scene.RIDERS, scene.MOUNTS, scene.BACKGROUNDS)
    )
    own, other = (asked["background"], places[0]) if "background" in asked else ("", "")
    rider, mount = asked.get("rider", riders[-1]), asked.get("mount", mounts[-1])
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


def parse_prompt(prompt: str) -> dict[str, str]:
    """Field of a scene -> value that the prompt fixes. Raises ConfigError when the world cannot draw the prompt."""
    words = prompt.removeprefix(FORM)
    for place, phrase in scene.PLACES.items():
        if words.endswith(f" {phrase}"):
            return {**parse_prompt(f"{FORM}{words.removesuffix(f' {phrase}')}"), "background": place}
    for relation, link in (("riding", " riding "), ("next_to", " standing next to ")):
        rider, linked, mount = words.partition(link)
        if linked:
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
    raise ConfigError(f"real: the storybook world cannot draw {words!r} there; known: {', '.join(names)}.")
