"""A diet as a Stable Diffusion UNet sees it: latents and captions."""

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
    """mean, std: moments of the VAE posterior, float32 (n, c, h, w); a fresh draw is made at every step, as
    encoding anew would, without running the encoder again (std 0: the latent itself). text: one row per prompt, what
    guidance holds against them last. prompt: row of `text` of each image, int64 (n,). size: pixels, height and width.
    """

    mean: torch.Tensor
    std: torch.Tensor
    text: Text
    prompt: torch.Tensor
    size: tuple[int, int]


def encode(model: Model, diet: Diet, block: int, roundtrip: str = "pixels") -> Encoded:
    """The diet's latents, times the scaling factor, and its captions. block: images per call of the VAE.

    'pixels': every image through the VAE's encoder once, 8-bit pixels -> posterior moments. 'latents': the
    latents that were generated, without the round trip; real images have none and are encoded.
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
    """(row, the latent it was decoded from) of every image that was generated."""
    from safetensors import safe_open

    for folder, rows in table[~table["real"]].reset_index().groupby("folder"):
        with safe_open(Path(str(folder)) / "latents.safetensors", framework="pt") as latents:
            yield from ((row, latents.get_tensor(id_)) for row, id_ in zip(rows["index"], rows["id"], strict=True))
