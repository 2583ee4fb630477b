"""What is written down of an image: its row in samples.parquet, and its pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_loop.data import SAMPLES, Request

if TYPE_CHECKING:
    import torch

COLUMNS = (*SAMPLES, "darkest", "brightest", "pixel_sha256")
"""The last three tell who counts them how many images are black, of one colour, or the same."""


def row(request: Request, latent: torch.Tensor, image: Any) -> dict[str, Any]:
    """COLUMNS of an image. latent: float32 (c, h, w), on the CPU. image: 8-bit array (h, w, 3)."""
    digest = hashlib.sha256(latent.numpy().tobytes()).hexdigest()
    asked = (request.id, request.prompt, request.seed, f"images/{request.id}.png", digest)
    seen = (int(image.min()), int(image.max()), hashlib.sha256(image.tobytes()).hexdigest())
    return dict(zip(COLUMNS, (*asked, *seen), strict=True))


def save(image: Any, file: Path) -> None:
    """As PNG, compressed quickly."""
    from PIL import Image

    Image.fromarray(image).save(file, compress_level=1)
