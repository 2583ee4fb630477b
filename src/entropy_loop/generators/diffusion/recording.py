"""What is written down of an image: its row in samples.parquet, and its pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_loop.data import SAMPLES, Request

if TYPE_CHECKING:
    import numpy as np
    import torch

COLUMNS = (*SAMPLES, "darkest", "brightest", "pixel_sha256")
"""The last three tell who counts them how many images are black, of one colour, or the same."""


def row(request: Request, latent: torch.Tensor, image: np.ndarray) -> dict[str, object]:
    """COLUMNS of an image. latent: float32 (c, h, w), on the CPU. image: 8-bit array (h, w, 3)."""
    digest = hashlib.sha256(latent.numpy().tobytes()).hexdigest()
    asked = (request.id, request.prompt, request.seed, file(request), digest)
    seen = (int(image.min()), int(image.max()), hashlib.sha256(image.tobytes()).hexdigest())
    return dict(zip(COLUMNS, (*asked, *seen), strict=True))


def file(request: Request) -> str:
    """Where an image is, in the folder of its set."""
    return f"images/{request.id}.png"


def save(image: np.ndarray, file: Path) -> None:
    """As PNG, compressed quickly."""
    from PIL import Image

    Image.fromarray(image).save(file, compress_level=1)


class Latents:
    """Latents, float32 (c, h, w), by their image's id, in one piece of memory: each in a piece of its own, among the
    large and short-lived ones of sampling, they kept 0.1 MB an image from being given back.

    most: how many there can be. named: those that were kept.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.named: dict[str, torch.Tensor] = {}

    def keep(self, image: str, latent: torch.Tensor) -> None:
        """Copy an image's latent."""
        if not self.named:
            self._places = iter(latent.new_empty((self.most, *latent.shape)))
        self.named[image] = next(self._places).copy_(latent)
