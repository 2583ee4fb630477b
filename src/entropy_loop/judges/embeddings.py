"""The part that all embedders share: noise indices beside the vectors, and opening images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entropy_loop.contracts import Embedded
from entropy_loop.data import Samples
from entropy_loop.metrics.noise import noise

if TYPE_CHECKING:
    from PIL import Image


def embedded(vectors: Iterable[np.ndarray], samples: Samples) -> Embedded:
    """Vectors, float32 (images, d), and noise indices, in the samples' order.

    vectors: (d,) for each image. Noise is measured on the files' own pixels, before a model resizes them.
    """
    rows = list(vectors)
    pixels = (np.asarray(image) for image in open_images(samples.folder / file for file in samples.table["file"]))
    return Embedded(np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32), noise(pixels))


def open_images(files: Iterable[Path]) -> Iterator[Image.Image]:
    """The files as RGB PIL images, one after the other."""
    from PIL import Image

    for file in files:
        with Image.open(file) as image:
            yield image.convert("RGB")
