"""An album of scenes on disk: an imagefolder that `datasets` loads, and a contact sheet."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entropy_loop.data import Tick
from entropy_loop.errors import ConfigError, as_storage_error
from entropy_loop.worlds.storybook import scene

if TYPE_CHECKING:
    from PIL import Image


def write(n: int, seed: int, out: Path, tick: Tick) -> Path:
    """Write n scenes, metadata.jsonl (file_name, text, one column per concept and per truth field) and
    contact_sheet.png.

    The sheet is beside the folder of the images, because `datasets` takes every image in that folder for data. An older
    album in `out` is replaced. Returns the imagefolder. Raises ConfigError when `out` may hold other images.
    """
    images = out / "images"
    old = sorted(images.glob("[0-9]" * 6 + ".png"))
    if old and not (images / "metadata.jsonl").is_file():
        raise ConfigError(
            f"{images}: holds {old[0].name} but no metadata.jsonl, so it may be no album of ours; empty the folder "
            "or use another --out."
        )
    with as_storage_error(out):
        images.mkdir(parents=True, exist_ok=True)
        for image in old:  # `datasets` refuses an image without a line in the metadata
            image.unlink()
        pixels = _draw(n, seed, images, tick)
        sheet(pixels).save(out / "contact_sheet.png")
    return images


def _draw(n: int, seed: int, images: Path, tick: Tick) -> list[np.ndarray]:
    from PIL import Image

    pixels, lines = [], []
    for index, drawn in enumerate(scene.album(n, seed)):
        name = f"{index:06d}.png"
        pixels.append(scene.render(drawn))
        Image.fromarray(pixels[-1]).save(images / name)
        row = {"file_name": name, "text": scene.caption(drawn)} | scene.shows(drawn) | asdict(drawn)
        lines.append(json.dumps(row) + "\n")
        tick((index + 1) / n)
    (images / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    return pixels


def sheet(pixels: list[np.ndarray]) -> Image.Image:
    """The first 64 images, 8 in a row, enlarged twice."""
    from PIL import Image

    shown = pixels[:64]
    columns = min(8, len(shown))
    rows = -(-len(shown) // columns)
    canvas = Image.new("RGB", (columns * scene.SIZE, rows * scene.SIZE), "white")
    for i, image in enumerate(shown):
        canvas.paste(Image.fromarray(image), (i % columns * scene.SIZE, i // columns * scene.SIZE))
    return canvas.resize((canvas.width * 2, canvas.height * 2), Image.Resampling.NEAREST)
