"""diffusers' pipeline, used as in its documentation. The peer of our sampler."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline


def load(folder: Path) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, safety_checker=None)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample(
    pipe: StableDiffusionPipeline, prompt: str, seeds: list[int], batch: int, steps: int, guidance: float, out: Path
) -> None:
    """Sample one image per seed, `batch` at a time, and save them as PNG."""
    out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(seeds), batch):
        part = seeds[first : first + batch]
        generators = [torch.Generator().manual_seed(seed) for seed in part]
        images = pipe(
            prompt, num_images_per_prompt=len(part), generator=generators, num_inference_steps=steps,
            guidance_scale=guidance,
        ).images  # fmt: skip
        for number, image in enumerate(images, start=first):
            image.save(out / f"{number:05d}.png")
