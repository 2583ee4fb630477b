"""Any Stable Diffusion folder as a generator: sampling. Training is in `finetune`.

A generation's own weights are its UNet, saved in diffusers' format; the rest of the pipeline is generation
0's for ever:

    unet = UNet2DConditionModel.from_pretrained(stage_folder / "unet")
    StableDiffusionPipeline.from_pretrained(checkpoint, unet=unet)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pandas as pd
from pydantic import Field

from entropy_loop import assets
from entropy_loop.data import SAMPLES, Checkpoint, Diet, Request, Tick, TrainSettings
from entropy_loop.errors import ConfigError, EntropyLoopError
from entropy_loop.generators import finetune, pretrained

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline

# Deterministic given the initial noise: an image's seed is all the randomness it has. Where a checkpoint's own
# scheduler could say otherwise (an SDE), or would need more steps than are asked for, it is overruled.
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "dpmsolver_multistep": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


@dataclass(frozen=True)
class Diffusion:
    """A Stable Diffusion checkpoint: `bundled:storybook`, a diffusers folder, or a downloaded hub id.

    revision: a hub commit; set by itself for a bundled model. scheduler, num_inference_steps,
    guidance_scale, height, width (pixels; None: the model's own): as in diffusers' pipeline.
    block: images per UNet call; the last one is padded, so an image never depends on how many are made.
    """

    version: ClassVar[int] = 1

    checkpoint: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    scheduler: Literal["ddim", "pndm", "dpmsolver_multistep", "euler", "unipc"] = "ddim"
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] = 50
    guidance_scale: Annotated[float, Field(ge=1)] = 7.5
    height: Annotated[int, Field(ge=8, multiple_of=8)] | None = None
    width: Annotated[int, Field(ge=8, multiple_of=8)] | None = None
    block: Annotated[int, Field(ge=1)] = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "revision", assets.pinned(self.checkpoint, self.revision))

    def evaluations_per_image(self) -> float:
        """UNet evaluations; guidance doubles them, PNDM makes one more than its steps."""
        steps = self.num_inference_steps + (self.scheduler == "pndm" and self.num_inference_steps > 1)
        return steps * (2.0 if self.guidance_scale > 1 else 1.0)

    def ready(self, prompts: tuple[str, ...], settings: TrainSettings) -> None:
        """Raises ConfigError when the checkpoint is not here, or not whole, when a prompt is longer than what it
        reads, or when it cannot be trained so."""
        folder = assets.find(self.checkpoint, self.revision)
        pretrained.refuse(folder, prompts)
        if settings.method != "none":
            finetune.refuse_untrainable(pretrained.schedule(folder), settings)

    def base(self, out: Path, tick: Tick) -> None:
        """Writes base.json: which checkpoint generation 0 is, and what its files were."""
        folder = assets.find(self.checkpoint, self.revision)
        print_ = assets.fingerprint(folder, pretrained.files(folder))
        told = {"checkpoint": self.checkpoint, "revision": self.revision, "fingerprint": print_}
        (out / "base.json").write_text(json.dumps(told, indent=1))

    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        """Writes samples.parquet, images/<id>.png (8-bit RGB) and latents.safetensors (id -> float32 (c, h, w))."""
        import torch
        from safetensors.torch import save_file

        pipe = self.pipeline()
        pretrained.load_unet(pipe.unet, self.unet_folder(model))
        scheduler = self._scheduler(pipe)
        (out / "images").mkdir()
        rows: list[dict[str, Any]] = []
        kept: dict[str, torch.Tensor] = {}
        with torch.inference_mode():
            for block in _blocks(requests, self.block):
                latents = self._denoise(pipe, scheduler, block)
                images = decode(pipe, latents)
                for request, latent, image in zip(block, latents, images, strict=False):  # the padding is dropped
                    kept[request.id] = latent.float().cpu().clone()
                    rows.append(_save(request, kept[request.id], image, out))
                tick(len(rows) / len(requests))
        pd.DataFrame(rows, columns=list(SAMPLES)).to_parquet(out / "samples.parquet", index=False)
        save_file(kept, out / "latents.safetensors")
        shutil.copymode(out / "samples.parquet", out / "latents.safetensors")  # safetensors shuts others out

    def train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path, tick: Tick
    ) -> None:
        """Full fine-tuning of the UNet from `start` on the diet; see `finetune.train`."""
        pipe = self.pipeline()
        pretrained.load_unet(pipe.unet, self.unet_folder(start))
        finetune.train(pipe, diet, settings, step_seeds, self.block, out, tick)

    # ---- inside --------------------------------------------------------------------------------------

    def pipeline(self) -> StableDiffusionPipeline:
        return pretrained.pipeline(str(assets.find(self.checkpoint, self.revision)))

    def unet_folder(self, model: Checkpoint) -> Path:
        """Where a generation's UNet is: its own, or generation 0's in the checkpoint itself."""
        base = (model.folder / "base.json").is_file()
        return (assets.find(self.checkpoint, self.revision) if base else model.folder) / "unet"

    def _scheduler(self, pipe: StableDiffusionPipeline) -> Any:
        import diffusers

        name, fixed = SCHEDULERS[self.scheduler]
        return getattr(diffusers, name).from_config(pipe.scheduler.config, **fixed)

    def _denoise(self, pipe: StableDiffusionPipeline, scheduler: Any, block: list[Request]) -> torch.Tensor:
        """Latents, float32 (block, c, h, w), by classifier-free guidance (Ho & Salimans 2022,
        arXiv 2207.12598, eq. 6 in diffusers' convention: guidance_scale = 1 + w)."""
        import torch

        device = pipe.unet.device
        scheduler.set_timesteps(self.num_inference_steps, device=device)
        latents = self._noise(pipe, block).to(device) * scheduler.init_noise_sigma
        text = pretrained.embed(pipe, (block[0].prompt,)).expand(self.block, -1, -1)
        guided = self.guidance_scale > 1
        if guided:
            text = torch.cat([pretrained.embed(pipe, ("",)).expand(self.block, -1, -1), text])
        for t in scheduler.timesteps:
            doubled = scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, t)
            noise = pipe.unet(doubled, t, encoder_hidden_states=text, return_dict=False)[0]
            if guided:
                without, with_text = noise.chunk(2)
                noise = without + self.guidance_scale * (with_text - without)
            latents = scheduler.step(noise, t, latents, return_dict=False)[0]
        if not torch.isfinite(latents).all():
            raise EntropyLoopError(
                "generate: the model makes images that are not finite numbers; nothing was recorded."
            )
        return latents

    def _noise(self, pipe: StableDiffusionPipeline, block: list[Request]) -> torch.Tensor:
        """Standard normal noise, one generator per image, drawn in float32 on the CPU whatever the device."""
        import torch

        height, width = self._latent_size(pipe)
        seeds = [request.seed for request in block] + [0] * (self.block - len(block))
        shape = (pipe.unet.config.in_channels, height, width)
        return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])

    def _latent_size(self, pipe: StableDiffusionPipeline) -> tuple[int, int]:
        """Height and width of the latents. Raises ConfigError when no latents decode to the size asked for."""
        own, factor = pipe.unet.config.sample_size, pipe.vae_scale_factor
        sizes = own if isinstance(own, list | tuple) else (own, own)
        for name, asked in (("height", self.height), ("width", self.width)):
            if asked and asked % factor:
                raise ConfigError(f"generator.{name}: {asked} is no multiple of {factor}, a latent's edge in pixels.")
        height, width = (
            asked // factor if asked else s for asked, s in zip((self.height, self.width), sizes, strict=True)
        )
        return height, width


def _blocks(requests: list[Request], size: int) -> Iterator[list[Request]]:
    """Runs of at most `size` requests of one prompt: image i of a prompt always has the same place."""
    for _, group in groupby(requests, key=lambda request: request.prompt):
        of_prompt = list(group)
        yield from (of_prompt[i : i + size] for i in range(0, len(of_prompt), size))


def decode(pipe: StableDiffusionPipeline, latents: torch.Tensor) -> Any:
    """8-bit images (n, h, w, 3) as a numpy array."""
    import torch

    pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
    scaled = ((pixels.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()


def _save(request: Request, latent: torch.Tensor, image: Any, out: Path) -> dict[str, Any]:
    from PIL import Image

    file = f"images/{request.id}.png"
    Image.fromarray(image).save(out / file, compress_level=1)
    digest = hashlib.sha256(latent.numpy().tobytes()).hexdigest()
    return {
        "id": request.id,
        "prompt": request.prompt,
        "image_seed": request.seed,
        "file": file,
        "latent_sha256": digest,
    }
