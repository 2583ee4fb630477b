"""Images with known truth: drawn by the storybook world, or from a folder that people labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from entropy_loop import seeds
from entropy_loop.data import Tick
from entropy_loop.errors import ConfigError, nearest
from entropy_loop.worlds import pictures
from entropy_loop.worlds.imagefolder import metadata
from entropy_loop.worlds.storybook import scene


@dataclass(frozen=True)
class Labelled:
    """Labelled images. files: one per image. truth: one row per image in that order, one column per concept, of dtype
    boolean; missing where an image is not labelled for a concept."""

    files: tuple[Path, ...]
    truth: pd.DataFrame


def storybook(prompts: Sequence[tuple[str, ...]], n: int, seed: int, out: Path, tick: Tick) -> Labelled:
    """Draw n scenes to `out`: many show the concepts of the prompts, many do not.

    Every second scene is drawn from the world's own shares. The others take the prompts in turn: once with all concepts
    of the prompt, once as a near miss, where another value of its kind replaces one of them (another rider; standing
    next to instead of riding). So each concept, and each prompt's concepts together, has images with it, near misses,
    and unrelated images. Raises ConfigError for a concept that the world does not draw.
    """
    from PIL import Image

    concepts = list(dict.fromkeys(name for prompt in prompts for name in prompt))
    for name in concepts:
        if name not in scene.CONCEPTS:
            raise ConfigError(
                f"concepts.{name}: the storybook world does not draw it; {nearest(name, list(scene.CONCEPTS))} Label "
                "images of your own and name their folder with --images."
            )
    out.mkdir(parents=True, exist_ok=True)
    files, truth = [], []
    for index in range(n):
        drawn = _sample(prompts, index, seeds.seed(seed, "calibrate", index=index))
        files.append(out / f"{index:06d}.png")
        Image.fromarray(scene.render(drawn)).save(files[-1], compress_level=1)
        truth.append(scene.shows(drawn))
        tick((index + 1) / n)
    return Labelled(tuple(files), pd.DataFrame(truth, columns=concepts).astype("boolean"))


# The values that can replace a concept in a near miss, by field of a scene.
_VALUES = {
    "rider": scene.RIDERS, "mount": scene.MOUNTS, "relation": ("riding", "next_to"), "background": scene.BACKGROUNDS,
}  # fmt: skip


def _sample(prompts: Sequence[tuple[str, ...]], index: int, seed: int) -> scene.Scene:
    turn, unrelated = divmod(index, 2)
    if unrelated:
        return scene.sample(seed, 0)
    round_, number = divmod(turn, len(prompts))
    fixed = {scene.CONCEPTS[name]: name for name in prompts[number]}
    if round_ % 2:  # a near miss
        rng = np.random.default_rng([seed, 1])  # independent of the scene's own random numbers
        field = str(rng.choice(list(fixed)))
        fixed[field] = str(rng.choice([value for value in _VALUES[field] if value != fixed[field]]))
    return scene.sample(seed, 0, **fixed)


def folder(data_dir: Path, concepts: Sequence[str]) -> Labelled:
    """The images of an imagefolder whose metadata.jsonl has a column of true and false for each concept. Where it is
    missing or null, the image is not labelled for the concept.

    Raises ConfigError for another value, for a concept without a column, and for a file that is no image, too large or
    cut short.
    """
    rows = metadata(data_dir)
    table = data_dir / "metadata.jsonl"
    for name in concepts:
        if not any(name in row for row in rows):
            columns = sorted({column for row in rows for column in row} - {"file_name"})
            raise ConfigError(f"{table}: has no column {name!r} of true and false; {nearest(name, columns)}")
    truth = [
        {name: _label(row.get(name), f"{table}, line {number}: {name!r}") for name in concepts}
        for number, row in enumerate(rows, start=1)
    ]
    files = tuple(data_dir / str(row["file_name"]) for row in rows)
    for number, file in enumerate(files, start=1):
        pictures.check(file, f"{table}, line {number}")
    return Labelled(files, pd.DataFrame(truth, columns=list(concepts)).astype("boolean"))


def _label(value: object, where: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"{where} is {value!r}; a label is true, false, or null for none.")
    return value
