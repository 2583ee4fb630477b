"""Moved copies of images. They show the same, so a good judge gives them the same answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from entropy_loop.data import IMAGES, MOVED, MOVES, SAMPLES, Samples, Tick

PIXELS = 2  # by which an image is shifted


def mirrored(image: np.ndarray) -> np.ndarray:
    """The mirror image, (h, w, 3)."""
    return np.ascontiguousarray(image[:, ::-1])


def shifted(image: np.ndarray) -> np.ndarray:
    """The image PIXELS to the right and down, (h, w, 3). New pixels repeat the edge."""
    height, width = image.shape[:2]
    return np.pad(image, ((PIXELS, 0), (PIXELS, 0), (0, 0)), mode="edge")[:height, :width]


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = dict(zip(MOVES, (mirrored, shifted), strict=True))


def move(pool: Samples, prompts: tuple[str, ...], images: int, out: Path, tick: Tick) -> None:
    """Write moved copies of the first `images` images of each prompt to images/, and samples.parquet with two more
    columns: `of`, the image's id in the pool, and `move`. A toy's image has no pixels, so only its row is copied."""
    table = pool.table[pool.table["prompt"].isin(prompts)].groupby("prompt", sort=False).head(images)
    rows = []
    for row in table.to_dict("records"):
        for name, change in CHANGES.items():
            id_ = f"{MOVED[0]}{row['id'][1:]}-{name}"
            pixels = _save_moved(pool.folder / row["file"], change, out, id_) if row["file"] else {}
            rows.append(row | {"id": id_, "of": row["id"], "move": name} | pixels)
        tick(len(rows) / (len(CHANGES) * len(table)))
    # Other columns of images.parquet describe the original's pixels.
    kept = [name for name in pool.table if name in SAMPLES or name not in IMAGES]
    pd.DataFrame(rows, columns=[*kept, "of", "move"]).to_parquet(out / "samples.parquet", index=False)


def _save_moved(file: Path, change: Callable[[np.ndarray], np.ndarray], out: Path, id_: str) -> dict[str, str]:
    """Write a moved image. Returns the columns of its row that depend on its pixels."""
    from PIL import Image

    with Image.open(file) as image:
        pixels = change(np.asarray(image.convert("RGB")))
    (out / "images").mkdir(exist_ok=True)
    Image.fromarray(pixels).save(out / f"images/{id_}.png", compress_level=1)
    return {"file": f"images/{id_}.png", "latent_sha256": hashlib.sha256(pixels.tobytes()).hexdigest()}
