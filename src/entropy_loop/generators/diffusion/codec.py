"""The VAE: latents to 8-bit images and back, always in float32 (SDXL's overflows in half precision).

The number of images per call depends on their size alone, and the last call is padded: no image depends on how many
others there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from entropy_loop.generators.diffusion.resident import Model

PIXELS = 1 << 21  # per call: 8 images of 512 x 512
CACHE = 1 << 30  # bytes of moments


def decode(model: Model, latents: torch.Tensor) -> np.ndarray:
    """8-bit images (n, h, w, 3) of latents (n, c, h, w)."""
    import torch

    vae = model.pipe.vae
    images = []
    for part, padded in _parts(latents / vae.config.scaling_factor, model.pipe.vae_scale_factor):
        pixels = vae.decode(padded, return_dict=False)[0][: len(part)]
        scaled = ((pixels.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        images.append(scaled.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(images)


def moments(model: Model, files: list[str], block: int) -> torch.Tensor:
    """Posterior mean and standard deviation of images, scaled: float32 (2, n, c, h, w).

    block: most images per call; large images are encoded fewer at a time. Moments are cached by a hash of the pixels:
    an image that is trained on again, in a later generation too, is not encoded again.
    """
    import torch

    cache, digests, new = model.moments, [], {}
    for file in files:
        pixels = _pixels(file)
        digests.append(hashlib.sha256(pixels.numpy().tobytes() + bytes(str(pixels.shape), "ascii")).hexdigest())
        if digests[-1] not in cache:
            new[digests[-1]] = pixels
        if len(new) == block:
            cache.update(_encode(model, new, block))
            new = {}
    cache.update(_encode(model, new, block))
    scaled = torch.stack([cache[digest] for digest in digests], dim=1) * model.pipe.vae.config.scaling_factor
    room = max(len(files), CACHE // max(1, cache[digests[0]].nbytes))
    for digest in list(cache)[:-room]:  # the oldest
        del cache[digest]
    return scaled


def _encode(model: Model, images: dict[str, torch.Tensor], block: int) -> dict[str, torch.Tensor]:
    """Moments, float32 (2, c, h, w) by digest, of at most `block` images."""
    import torch

    if not images:
        return {}
    vae = model.pipe.vae
    rows: list[torch.Tensor] = []
    pixels = torch.stack(list(images.values()))
    full = torch.cat([pixels, pixels.new_zeros(block - len(pixels), *pixels.shape[1:])])
    for part, padded in _parts(full, 1):
        posterior = vae.encode(padded.to(vae.device)).latent_dist
        rows += torch.stack([posterior.mean, posterior.std], dim=1)[: len(part)].unbind()
    return dict(zip(images, rows, strict=False))  # the padding is dropped


def _parts(images: torch.Tensor, factor: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(rows, rows with padding) of each call. factor: pixels along the edge of one element of `images`."""
    import torch

    size = max(1, min(len(images), PIXELS // (images.shape[2] * images.shape[3] * factor**2)))
    for start in range(0, len(images), size):
        part = images[start : start + size]
        yield part, torch.cat([part, part.new_zeros(size - len(part), *part.shape[1:])])


def _pixels(file: str) -> torch.Tensor:
    """An image as float32 (3, h, w) in [-1, 1]."""
    import torch
    from PIL import Image

    with Image.open(file) as image:
        array = np.asarray(image.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(array / 127.5 - 1).permute(2, 0, 1)
