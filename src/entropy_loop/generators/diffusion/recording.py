"""What is saved of an image: its row in samples.parquet, its pixels and its latent."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_loop.data import SAMPLES, Request

if TYPE_CHECKING:
    import numpy as np
    import torch

COLUMNS = (*SAMPLES, "darkest", "brightest", "pixel_sha256")
"""The last three serve to count images that are black, of one colour, or the same as another."""


def row(request: Request, latent: torch.Tensor, image: np.ndarray) -> dict[str, object]:
    """COLUMNS of an image. latent: float32 (c, h, w), on the CPU. image: 8-bit array (h, w, 3)."""
    digest = hashlib.sha256(latent.numpy().tobytes()).hexdigest()
    sample = (request.id, request.prompt, request.seed, path(request), digest)
    pixels = (int(image.min()), int(image.max()), hashlib.sha256(image.tobytes()).hexdigest())
    return dict(zip(COLUMNS, (*sample, *pixels), strict=True))


def path(request: Request) -> str:
    """Path of an image's file in the folder of its set."""
    return f"images/{request.id}.png"


def save(image: np.ndarray, file: Path) -> None:
    """Save an 8-bit image as PNG, at the fastest compression."""
    from PIL import Image

    Image.fromarray(image).save(file, compress_level=1)


class Latents:
    """Latents, float32 (c, h, w), by image id, in one piece of memory.

    In pieces of their own, between the large short-lived ones of sampling, they kept the allocator from giving back
    0.1 MB per image. most: how many there can be. named: id -> latent.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.named: dict[str, torch.Tensor] = {}

    def keep(self, image: str, latent: torch.Tensor) -> None:
        """Copy an image's latent."""
        if not self.named:
            self._slots = iter(latent.new_empty((self.most, *latent.shape)))
        self.named[image] = next(self._slots).copy_(latent)
