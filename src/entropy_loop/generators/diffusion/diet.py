"""A diet as training of a Stable Diffusion UNet needs it: latents and captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from entropy_loop.data import Diet
from entropy_loop.generators.diffusion import codec

if TYPE_CHECKING:
    import torch

    from entropy_loop.generators.diffusion.resident import Model, Text


@dataclass(frozen=True)
class Encoded:
    """An encoded diet of n images.

    mean, std: moments of the VAE's posterior, scaled, float32 (n, c, h, w). Each step draws from it, as if the images
    were encoded again; std 0 gives the latent itself. text: one row per prompt, and the unconditional row last. prompt:
    number of each image's row in `text`, int64 (n,). size: height and width in pixels.
    """

    mean: torch.Tensor
    std: torch.Tensor
    text: Text
    prompt: torch.Tensor
    size: tuple[int, int]


def encode(model: Model, diet: Diet, block: int, roundtrip: str = "pixels") -> Encoded:
    """Encode a diet. block: most images per call of the VAE.

    roundtrip: 'pixels' encodes every 8-bit image with the VAE; 'latents' takes the latents that were generated, and
    encodes only real images, which have none.
    """
    import torch

    table = diet.table
    prompts = tuple(dict.fromkeys(table["prompt"]))
    files = [str(Path(folder) / file) for folder, file in zip(table["folder"], table["file"], strict=True)]
    with torch.no_grad():
        mean, std = codec.moments(model, files, block)
        text = model.text((*prompts, ""))
        if roundtrip == "latents":
            for row, latent in _generated(table):
                mean[row], std[row] = latent.to(mean.device), 0.0
    rows = torch.tensor([prompts.index(prompt) for prompt in table["prompt"]])
    factor = model.pipe.vae_scale_factor
    return Encoded(mean, std, text, rows, (mean.shape[2] * factor, mean.shape[3] * factor))


def _generated(table: pd.DataFrame) -> Iterator[tuple[int, torch.Tensor]]:
    """(row number, latent that the image was decoded from) of every generated image."""
    from safetensors import safe_open

    for folder, rows in table[~table["real"]].reset_index().groupby("folder"):
        with safe_open(Path(str(folder)) / "latents.safetensors", framework="pt") as latents:
            yield from ((row, latents.get_tensor(id_)) for row, id_ in zip(rows["index"], rows["id"], strict=True))
