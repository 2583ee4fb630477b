"""What every embedder writes down of a set of images, whichever model made the vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from entropy_loop.data import Samples
from entropy_loop.metrics.noise import noise


def write(vectors: Iterable[np.ndarray], samples: Samples, out: Path) -> None:
    """embeddings.npy, float32 (images, d), and noise.parquet (one row per image), in the samples' order.

    vectors: (d,) for each image. Noise is that of the files' own pixels, not of what a model resizes them to.
    """
    rows = list(vectors)
    np.save(out / "embeddings.npy", np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32))
    pixels = (np.asarray(image) for image in opened(samples.folder / file for file in samples.table["file"]))
    noise(pixels).assign(id=list(samples.table["id"])).to_parquet(out / "noise.parquet", index=False)


def opened(files: Iterable[Path]) -> Iterator[Any]:
    """The files as PIL images, RGB."""
    from PIL import Image

    for file in files:
        with Image.open(file) as image:
            yield image.convert("RGB")
