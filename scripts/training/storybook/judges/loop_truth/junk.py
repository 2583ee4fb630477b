"""Junk made by models: images of a generation's UNet with noised weights, or with random or empty text.

    python -m scripts.training.storybook.judges.loop_truth.junk --chains DIR --out DIR

A judge trained to recognise decayed figures can start to see figures everywhere. These pictures train and test that it
does not. `label.py pick --junk` takes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from entropy_loop.generators.diffusion import codec, sampling
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.generators.diffusion.resident import Text
from scripts.training.storybook.judges.loop_truth.chains import ESSAY, mixed, text

LEVELS = (0.28, 0.35, 0.45)  # sd of the noise on a weight, over the sd of its tensor
STEPS = 20  # of DDIM, as in the main job
BLOCK = 8


def painted(chain: Path, generation: int, kind: str, level: float, prompts: list[str], seed: int) -> np.ndarray:
    """One picture per prompt, uint8 (n, 64, 64, 3), by the UNet of a generation of a chain that has run.

    kind: `weights` (level: see LEVELS), `random text` (states drawn with the mean and sd of `prompts`' own), or
    `empty text`.
    """
    generator = Diffusion(checkpoint="bundled:storybook", num_inference_steps=STEPS, guidance_scale=3.0)
    parts, rng = generator.model(), torch.Generator().manual_seed(seed)
    net = parts.unet("fp32")
    (trained,) = chain.glob(f"store/g{generation:02d}-train-*")
    net.load(parts.folder, trained)
    net.holds = None  # the weights are no longer those of a generation
    if kind == "weights":
        for weight in net.unet.parameters():
            if weight.ndim >= 2:
                weight += level * weight.std() * torch.randn(weight.shape, generator=rng)
    return np.concatenate(
        [_block(parts, net.unet, kind, prompts[i : i + BLOCK], seed + i, rng) for i in range(0, len(prompts), BLOCK)]
    )


@torch.no_grad()
def _block(parts, unet, kind: str, prompts: list[str], seed: int, rng: torch.Generator) -> np.ndarray:
    states = parts.text(tuple(prompts)).states
    if kind == "random text":
        spread = parts.text(tuple(sorted({*prompts, ""}))).states
        states = spread.mean((0, 1)) + spread.std((0, 1)) * torch.randn(states.shape, generator=rng)
    empty = parts.text(("",)).states.expand(len(prompts), -1, -1)
    rows = _Rows(torch.cat([empty if kind == "empty text" else states, empty]))
    random = sampling.streams([seed + i for i in range(len(prompts))])
    schedule = sampling.scheduler("ddim", parts.pipe.scheduler.config)
    noise = sampling.noise(random, (parts.config["in_channels"], *[parts.config["sample_size"]] * 2))
    latents = sampling.denoise(unet, schedule, STEPS, noise, random, rows, 3.0, (64, 64))
    return codec.decode(parts, latents)


class _Rows(Text):
    """One text per picture of a block: first the conditional states, then the unconditional ones for guidance."""

    def rows(self, index: object) -> Text:
        return self


JUNK = (  # part, chain, generation, and how many of each kind
    ("test", "test-others", 3, 6),
    ("test", "test-others", 6, 6),
    ("calibration", "calibration-mixed", 4, 6),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for part, chain, generation, n in JUNK:
        if not (options.chains / chain / "images.parquet").is_file():
            print(f"{chain} has not run")
            continue
        for name, kind, level in kinds():
            pictures = painted(
                options.chains / chain, generation, kind, level, scenes(n), 1000 * generation + len(rows)
            )
            for picture in pictures:
                file = f"{len(rows):04d}.png"
                Image.fromarray(picture).save(options.out / file)
                rows.append({"file": file, "part": part, "chain": chain, "arm": name, "generation": generation})
    pd.DataFrame(rows).to_csv(options.out / "junk.csv", index=False)


def kinds() -> list[tuple[str, str, float]]:
    """(name, kind, level) of every kind of junk."""
    return [(f"weights {level}", "weights", level) for level in LEVELS] + [
        (kind, kind, 0.0) for kind in ("random text", "empty text")
    ]


def scenes(n: int) -> list[str]:
    """n prompts, every third of them the essay's."""
    others = mixed(2, 7)
    return [text(ESSAY if i % 3 == 0 else others[i % len(others)]) for i in range(n)]


if __name__ == "__main__":
    main()
