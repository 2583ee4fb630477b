"""The codec: round trips, broken latents, and the test sets that use them.

Images: float32 (n, 3, 64, 64) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from scripts.training.storybook.pictures import (
    FIRST_JUNK,
    Damage,
    add_noise,
    blur,
    jpeg,
    junk_melted,
    junk_rows,
    pictures,
    test_scenes,
    to_float,
    to_pixels,
    train_scenes,
    truth_table,
    uniform,
)


class Codec:
    """A diffusers AutoencoderKL as images -> latents -> images."""

    def __init__(self, folder: Path, fast: bool = False) -> None:
        """fast: compute in bfloat16, twice as fast and good enough for training data."""
        from diffusers import AutoencoderKL

        self.vae = AutoencoderKL.from_pretrained(folder).eval().to(memory_format=torch.channels_last)
        self.precision = torch.autocast("cpu", torch.bfloat16, enabled=fast)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The posterior's mean, scaled to unit variance: float32 (n, c, h, w)."""
        with self.precision:
            parts = [self.vae.encode(part * 2 - 1).latent_dist.mode() for part in images.split(64)]
        return torch.cat(parts).float() * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images, rounded to 8-bit pixels as a loop stores them."""
        with self.precision:
            parts = [self.vae.decode(part / self.vae.config.scaling_factor).sample for part in latents.split(64)]
        return to_float(to_pixels(torch.cat(parts).float() / 2 + 0.5))

    def round_trips(self, images: Tensor, times: int = 1) -> Tensor:
        for _ in range(times):
            images = self.decode(self.encode(images))
        return images

    def broken(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Decoded latents of noise with at most a tenth of signal variance."""
        signal = uniform(rng, 0, 0.1, len(images), 1, 1, 1) * (torch.rand((len(images), 1, 1, 1), generator=rng) < 0.7)
        latents = self.encode(images)
        mixed = signal.sqrt() * latents + (1 - signal).sqrt() * torch.randn(latents.shape, generator=rng)
        return self.decode(mixed * uniform(rng, 0.7, 1.3, len(images), 1, 1, 1))

    def shaken(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Decoded latents with little noise, under 6 % of the variance, so that the scene stays plain."""
        latents = self.encode(images)
        noise = uniform(rng, 0, 0.06, len(images), 1, 1, 1)
        return self.decode((1 - noise).sqrt() * latents + noise.sqrt() * torch.randn(latents.shape, generator=rng))


def all_junk(codec: Codec) -> dict[str, Damage]:
    """The junk of phase 1 and that added in phase 2. Decoding is slow, so `broken` makes six at a time."""
    return {**FIRST_JUNK, "melted": junk_melted, "broken": lambda images, rng: codec.broken(images[:6], rng)}


@dataclass(frozen=True)
class Labelled:
    """Images float32 (n, 3, 64, 64) with their truth."""

    images: Tensor
    table: pd.DataFrame


def labelled(seed: int, codec: Codec) -> Labelled:
    """Test scenes, every other one through the codec once."""
    scenes = test_scenes(seed)
    images = to_float(pictures(scenes))
    images[1::2] = codec.round_trips(images[1::2])
    return Labelled(images, truth_table(scenes))


def junk_set(seed: int, codec: Codec, per_kind: int = 100) -> Labelled:
    """per_kind images of each kind of junk."""
    rng = torch.Generator().manual_seed(seed)
    scenes = to_float(pictures(train_scenes(per_kind, seed)))
    makers = {**all_junk(codec), "broken": codec.broken}
    # In parts of ten, because sizes and strengths are drawn once per part.
    images = [torch.cat([make(part, rng) for part in scenes.split(10)]) for make in makers.values()]
    kinds = [kind for kind in makers for _ in range(per_kind)]
    return Labelled(to_float(to_pixels(torch.cat(images))), junk_rows(kinds))


def degradations(images: Tensor, codec: Codec, seed: int) -> Iterable[tuple[str, float, Tensor]]:
    """(kind, level, degraded images), from none to severe."""
    rng = torch.Generator().manual_seed(seed)
    yield "none", 0, images
    yield from (("gaussian_blur_sigma_px", sigma, blur(images, sigma)) for sigma in (0.5, 1.0, 1.5, 2.0))
    yield from (("gaussian_noise_sigma", sigma, add_noise(images, sigma, rng)) for sigma in (0.05, 0.1, 0.2, 0.3))
    yield from (("jpeg_quality", quality, jpeg(images, quality)) for quality in (50, 25, 10))
    for trips in range(1, 9):
        images = codec.round_trips(images)
        if trips in (1, 2, 4, 8):
            yield "vae_round_trips", trips, images
