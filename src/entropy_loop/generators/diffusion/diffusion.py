"""Any Stable Diffusion folder as a generator: SD 1.x and 2.x, SDXL, and the bundled one.

A generation's own weights are its UNet, or a low-rank update of generation 0's, in diffusers' format. The rest of the
pipeline is always generation 0's:

    unet = UNet2DConditionModel.from_pretrained(stage / "unet")
    DiffusionPipeline.from_pretrained(checkpoint, unet=unet, dtype=torch.float32)
    DiffusionPipeline.from_pretrained(checkpoint, dtype=torch.float32).load_lora_weights(stage)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop import assets
from entropy_loop.contracts import Costs, Generator, Origin
from entropy_loop.data import Checkpoint, Diet, Request, Tick, TrainSettings
from entropy_loop.errors import ConfigError
from entropy_loop.generators.diffusion import (
    codec,
    finetune,
    geometry,
    joining,
    lora,
    memory,
    pretrained,
    recording,
    resident,
    safety,
    sampling,
    snippet,
)
from entropy_loop.generators.diffusion.costs import costs
from entropy_loop.generators.diffusion.diet import encode
from entropy_loop.machine import device, distributed
from entropy_loop.machine.flops import UnetConfig

if TYPE_CHECKING:
    import torch

    from entropy_loop.generators.diffusion.resident import Model, Resident


@dataclass(frozen=True)
class Diffusion(Generator):
    """A Stable Diffusion checkpoint: `bundled:storybook`, a diffusers folder, or a downloaded hub id."""

    version: ClassVar[int] = 3

    checkpoint: Annotated[str, Field(min_length=1)]
    """The model: `bundled:storybook`, a folder in diffusers' format, or a hub id."""
    revision: str | None = None
    """Commit of a hub model, 40 hex digits. A bundled model sets its own."""
    scheduler: Literal["ddim", "ddpm", "pndm", "dpmsolver_multistep", "euler", "euler_ancestral", "unipc"] = "ddim"
    """Sampler: diffusers' scheduler of this name."""
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] = 50
    """Denoising steps per image, 1 to 1000."""
    guidance_scale: Annotated[float, Field(ge=1)] = 7.5
    """Strength of classifier-free guidance, at least 1; 1 is no guidance."""
    height: Annotated[int, Field(ge=8, multiple_of=8)] | None = None
    """Height of an image in pixels, a multiple of 8. Without it, the model's own."""
    width: Annotated[int, Field(ge=8, multiple_of=8)] | None = None
    """Width of an image in pixels, a multiple of 8. Without it, the model's own."""
    block: Annotated[int, Field(ge=1)] = 32
    """Images per UNet call, at least 1. The last block is padded, so no image depends on how many are made."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the UNet in sampling. Latents, text encoders and VAE are always float32."""
    compile: bool = False
    """Compile the UNet with torch.compile: faster sampling, for one or two minutes at the start of a run."""
    safety_checker: Literal["keep", "flag", "off"] = "off"
    """The checkpoint's own safety checker: 'off' does not run it; 'flag' records the images that it rejects in the
    column `flagged` of samples.parquet; 'keep' keeps them back: no judge sees them, and nothing is trained on them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "revision", assets.pinned(self.checkpoint, self.revision))

    def evaluations_per_image(self) -> float:
        """UNet evaluations. Guidance doubles them; PNDM makes one more than it has steps."""
        steps = self.num_inference_steps + (self.scheduler == "pndm" and self.num_inference_steps > 1)
        return steps * (2.0 if self.guidance_scale > 1 else 1.0)

    def costs(self, settings: TrainSettings) -> Costs | None:
        """Costs of sampling an image and of training on one; None for an unknown checkpoint that is not here."""
        return _costs(self, settings)

    @property
    def origin(self) -> Origin:
        """The checkpoint's name for others to read: of an absolute path, the last part alone."""
        path = Path(self.checkpoint)
        return Origin(path.name if path.is_absolute() else self.checkpoint, self.revision)

    def loading(self, settings: TrainSettings, request: Request) -> str:
        """Lines of plain diffusers, to be run in the generation's folder."""
        return snippet.lines(self, settings, request)

    def for_few(self, images: int) -> Self:
        """The same generator with blocks of at most `images`."""
        return replace(self, block=min(self.block, images))

    @property
    def withholds(self) -> bool:
        return self.safety_checker == "keep"

    def downloads(self) -> list[assets.Download]:
        return assets.download(self.checkpoint, self.revision, pretrained.patterns(self.safety_checker != "off"))

    def ready(self, prompts: tuple[str, ...], settings: TrainSettings) -> None:
        """Raises ConfigError when the checkpoint is missing or incomplete, when a prompt is too long for it, when the
        settings cannot train it, or when this machine does not have the precision."""
        folder = assets.find(self.checkpoint, self.revision)
        pretrained.check(folder, prompts)
        device.check_precision(self.precision, "generator.precision")
        if self.safety_checker != "off":
            safety.check(folder)
        if settings.method != "none":
            device.check_precision(settings.mixed_precision, "train.mixed_precision")
            finetune.check_trainable(pretrained.schedule(folder), settings)
        if settings.method == "lora":
            lora.check_targets(resident.empty(folder), settings)

    def base(self, out: Path, tick: Tick) -> None:
        """Write base.json: generation 0's checkpoint, its revision and a fingerprint of its files."""
        folder = assets.find(self.checkpoint, self.revision)
        fingerprint = assets.fingerprint(folder, pretrained.files(folder))
        origin = {"checkpoint": self.checkpoint, "revision": self.revision, "fingerprint": fingerprint}
        (out / "base.json").write_text(json.dumps(origin, indent=1))

    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet, images/<id>.png (8-bit RGB), latents.safetensors (id -> float32 (c, h, w)) and
        sampling.json: the number of images, of withheld images and of UNet evaluations."""
        from safetensors.torch import save_file

        parts, unet = self._load(model)
        rejects = safety.checker(parts.folder) if self.safety_checker != "off" else None
        rows: list[dict[str, object]] = []
        latents = recording.Latents(len(requests))
        (out / "images").mkdir()
        with ThreadPoolExecutor(1) as writer:  # compresses images while the next block is sampled
            writes = []
            for done, block in enumerate(blocks := list(_blocks(requests, self.block)), start=1):
                with memory.advise("generator.block", self.block, partial(self._sample_block, parts, unet, block)):
                    block_latents, images = self._sample_block(parts, unet, block, self.block)
                flags = rejects(images[: len(block)]) if rejects else [False] * len(block)
                for request, latent, image, flag in zip(block, block_latents.cpu(), images, flags, strict=False):
                    if not (flag and self.safety_checker == "keep"):
                        latents.keep(request.id, latent)
                        rows.append(recording.row(request, latent, image) | ({"flagged": flag} if rejects else {}))
                        writes.append(writer.submit(recording.save, image, out / recording.path(request)))
                tick(done / len(blocks))
            for write in writes:
                write.result()  # raises what went wrong in writing, such as a full disk
        names = [*recording.COLUMNS, "flagged"] if rejects else list(recording.COLUMNS)
        pd.DataFrame(rows, columns=names).to_parquet(out / "samples.parquet", index=False)
        save_file(latents.named, out / "latents.safetensors")
        shutil.copymode(out / "samples.parquet", out / "latents.safetensors")  # safetensors keeps others from reading
        counts = {"images": len(rows), "withheld": len(requests) - len(rows)}
        counts["unet_evaluations"] = int(len(requests) * self.evaluations_per_image())
        (out / "sampling.json").write_text(json.dumps(counts))

    def split(self, requests: list[Request]) -> list[list[Request]]:
        """One part per block: an image depends on no other block."""
        return list(_blocks(requests, self.block))

    def join(self, parts: list[Path], out: Path) -> None:
        """Join parts into the same files as if all had been sampled at once."""
        joining.join(parts, out)

    def train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path, tick: Tick
    ) -> None:
        """Train the UNet, or a low-rank update of it, from `start` on the diet, in all launched processes together; see
        `finetune.train`."""
        job = partial(self._train, start, diet, settings, step_seeds, out)
        distributed.gather(job)
        job(tick)

    # ---- inside --------------------------------------------------------------------------------------

    def model(self) -> Model:
        """The checkpoint in memory; its UNet may hold any generation's weights."""
        return resident.model(str(assets.find(self.checkpoint, self.revision)))

    def _train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path,
        tick: Tick = lambda share: None,
    ) -> None:  # fmt: skip
        parts, weights = self.model(), self._weights(start)
        encoded = encode(parts, diet, self.block, settings.roundtrip)
        # Trained weights are float32; the frozen weights under a low-rank update need not be.
        full = settings.method == "full"
        unet = parts.unet("fp32" if full or settings.mixed_precision == "no" else settings.mixed_precision)
        unet.load(parts.folder, weights if full else None)
        if full:
            unet.holds = None
        schedule = pretrained.schedule(parts.folder)
        attempt = partial(finetune.try_step, unet.unet, schedule, encoded, settings)
        alone = distributed.processes() == 1  # several processes can only try a step together
        advice = " and `train.gradient_accumulation_steps: {}` times as many, which is the same training"
        with memory.advise("train.train_batch_size", settings.train_batch_size, attempt if alone else None, advice):
            finetune.train(unet.unet, schedule, encoded, settings, step_seeds, weights, out, tick)

    def _weights(self, model: Checkpoint) -> Path | None:
        """The folder of a generation's own weights; None for generation 0, which has the checkpoint's."""
        return None if (model.folder / "base.json").is_file() else model.folder

    def _load(self, model: Checkpoint) -> tuple[Model, Resident]:
        """The checkpoint, and its UNet with a generation's weights."""
        parts = self.model()
        unet = parts.unet(self.precision)
        unet.load(parts.folder, self._weights(model))
        return parts, unet

    def _sample_block(
        self, parts: Model, unet: Resident, block: list[Request], n: int
    ) -> tuple[torch.Tensor, np.ndarray]:
        """Latents, float32 (n, c, h, w), and 8-bit images (n, h, w, 3) of a block, padded or cut to n images."""
        import torch

        schedule = sampling.scheduler(self.scheduler, parts.pipe.scheduler.config)
        random = sampling.streams([request.seed for request in block[:n]] + [0] * (n - len(block)))
        height, width = self._latent_size(parts)
        factor = parts.pipe.vae_scale_factor
        with torch.no_grad():
            latents = sampling.denoise(
                unet.compile() if self.compile else unet.unet, schedule, self.num_inference_steps,
                sampling.noise(random, (parts.config["in_channels"], height, width)), random,
                parts.text((block[0].prompt, "")), self.guidance_scale, (height * factor, width * factor),
            )  # fmt: skip
            return latents, codec.decode(parts, latents)

    def _latent_size(self, parts: Model) -> tuple[int, int]:
        """Height and width of the latents. Raises ConfigError when no latents decode to the configured size."""
        factor = parts.pipe.vae_scale_factor
        for name, pixels in (("height", self.height), ("width", self.width)):
            if pixels and pixels % factor:
                raise ConfigError(f"generator.{name}: {pixels} is no multiple of {factor}, a latent's edge in pixels.")
        return _in_latents(self, parts.config, factor)


def _blocks(requests: list[Request], size: int) -> Iterator[list[Request]]:
    """Blocks of at most `size` requests of one prompt: image i of a prompt always has the same place in its block."""
    for _, group in groupby(requests, key=lambda request: request.prompt):
        of_prompt = list(group)
        yield from (of_prompt[i : i + size] for i in range(0, len(of_prompt), size))


@cache
def _costs(generator: Diffusion, settings: TrainSettings) -> Costs | None:
    shape = geometry.geometry(generator.checkpoint, generator.revision)
    if shape is None:
        return None
    size, evaluations = _in_latents(generator, shape.unet, shape.factor), generator.evaluations_per_image()
    return costs(shape, size, evaluations, generator.block, generator.precision, settings)


def _in_latents(generator: Diffusion, unet: UnetConfig, factor: int) -> tuple[int, int]:
    """Height and width of the latents: the configured size, else the UNet's own. factor: pixels per latent pixel."""
    own = unet["sample_size"]
    height, width = own if isinstance(own, list | tuple) else (own, own)
    return (generator.height or height * factor) // factor, (generator.width or width * factor) // factor
