"""Any Stable Diffusion folder as a generator: SD 1.x and 2.x, SDXL, and the bundled one.

A generation's own weights are its UNet or a low-rank update of generation 0's, as diffusers keeps them; the rest of
the pipeline is generation 0's for ever:

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

if TYPE_CHECKING:
    import torch

    from entropy_loop.generators.diffusion.resident import Model, Resident


@dataclass(frozen=True)
class Diffusion(Generator):
    """A Stable Diffusion checkpoint: `bundled:storybook`, a diffusers folder, or a downloaded hub id.

    checkpoint: which. revision: a hub commit; set by itself for a bundled model. scheduler, num_inference_steps,
    guidance_scale, height, width (pixels; None: the model's own): as in diffusers' pipeline.
    block: images per UNet call; the last one is padded, so an image never depends on how many are made.
    precision: of the UNet while it makes images; latents, text encoders and VAE are float32. compile: let
    torch.compile make the UNet faster, which takes a minute or two once per run. safety_checker: 'off' does without
    the checkpoint's own; 'flag' writes down which images it objects to (column `flagged` of samples.parquet);
    'keep' leaves those images out of the pool, so that nothing judges them or is trained on them.
    """

    version: ClassVar[int] = 3

    checkpoint: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    scheduler: Literal["ddim", "ddpm", "pndm", "dpmsolver_multistep", "euler", "euler_ancestral", "unipc"] = "ddim"
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] = 50
    guidance_scale: Annotated[float, Field(ge=1)] = 7.5
    height: Annotated[int, Field(ge=8, multiple_of=8)] | None = None
    width: Annotated[int, Field(ge=8, multiple_of=8)] | None = None
    block: Annotated[int, Field(ge=1)] = 32
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    safety_checker: Literal["keep", "flag", "off"] = "off"

    def __post_init__(self) -> None:
        object.__setattr__(self, "revision", assets.pinned(self.checkpoint, self.revision))

    def evaluations_per_image(self) -> float:
        """UNet evaluations; guidance doubles them, PNDM makes one more than its steps."""
        steps = self.num_inference_steps + (self.scheduler == "pndm" and self.num_inference_steps > 1)
        return steps * (2.0 if self.guidance_scale > 1 else 1.0)

    def costs(self, settings: TrainSettings) -> Costs | None:
        """What an image costs, sampled and trained on; None for a checkpoint that is not here and not known."""
        return _costs(self, settings)

    @property
    def origin(self) -> Origin:
        """Of an absolute path its last part alone: others are told of it."""
        path = Path(self.checkpoint)
        return Origin(path.name if path.is_absolute() else self.checkpoint, self.revision)

    def loading(self, settings: TrainSettings, request: Request) -> str:
        """With plain diffusers, in the generation's folder."""
        return snippet.lines(self, settings, request)

    def for_few(self, images: int) -> Self:
        """A block holds no more than these."""
        return replace(self, block=min(self.block, images))

    @property
    def withholds(self) -> bool:
        """What the safety checker keeps back."""
        return self.safety_checker == "keep"

    def downloads(self) -> list[assets.Download]:
        """What `fetch` gets for it."""
        return assets.download(self.checkpoint, self.revision, pretrained.wanted(self.safety_checker != "off"))

    def ready(self, prompts: tuple[str, ...], settings: TrainSettings) -> None:
        """Raises ConfigError when the checkpoint is not here, or not whole, when a prompt is longer than what it
        reads, when it cannot be trained so, or when this machine does not have the precision."""
        folder = assets.find(self.checkpoint, self.revision)
        pretrained.refuse(folder, prompts)
        device.check_precision(self.precision, "generator.precision")
        if self.safety_checker != "off":
            safety.refuse(folder)
        if settings.method != "none":
            device.check_precision(settings.mixed_precision, "train.mixed_precision")
            finetune.refuse_untrainable(pretrained.schedule(folder), settings)
        if settings.method == "lora":
            lora.refuse(resident.empty(folder), settings)

    def base(self, out: Path, tick: Tick) -> None:
        """Writes base.json: which checkpoint generation 0 is, and what its files were."""
        folder = assets.find(self.checkpoint, self.revision)
        print_ = assets.fingerprint(folder, pretrained.files(folder))
        told = {"checkpoint": self.checkpoint, "revision": self.revision, "fingerprint": print_}
        (out / "base.json").write_text(json.dumps(told, indent=1))

    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        """Writes samples.parquet, images/<id>.png (8-bit RGB), latents.safetensors (id -> float32 (c, h, w)) and
        sampling.json: how many images, and how many UNet evaluations they took."""
        from safetensors.torch import save_file

        parts, unet = self._loaded(model)
        objects = safety.checker(parts.folder) if self.safety_checker != "off" else None
        rows: list[dict[str, object]] = []
        kept = recording.Latents(len(requests))
        (out / "images").mkdir()
        with ThreadPoolExecutor(1) as writer:  # pictures are compressed while the next ones are made
            written = []
            for done, block in enumerate(blocks := list(_blocks(requests, self.block)), start=1):
                with memory.enough("generator.block", self.block, partial(self._made, parts, unet, block)):
                    latents, images = self._made(parts, unet, block, self.block)
                flags = objects(images[: len(block)]) if objects else [False] * len(block)
                for request, latent, image, flag in zip(block, latents.cpu(), images, flags, strict=False):
                    if not (flag and self.safety_checker == "keep"):
                        kept.keep(request.id, latent)
                        rows.append(recording.row(request, latent, image) | ({"flagged": flag} if objects else {}))
                        written.append(writer.submit(recording.save, image, out / recording.file(request)))
                tick(done / len(blocks))
            for one in written:
                one.result()  # a full disk is told here
        names = [*recording.COLUMNS, "flagged"] if objects else list(recording.COLUMNS)
        pd.DataFrame(rows, columns=names).to_parquet(out / "samples.parquet", index=False)
        save_file(kept.named, out / "latents.safetensors")
        shutil.copymode(out / "samples.parquet", out / "latents.safetensors")  # safetensors shuts others out
        told = {"images": len(rows), "withheld": len(requests) - len(rows)}
        told["unet_evaluations"] = int(len(requests) * self.evaluations_per_image())
        (out / "sampling.json").write_text(json.dumps(told))

    def split(self, requests: list[Request]) -> list[list[Request]]:
        """The blocks: an image never sees more than its own."""
        return list(_blocks(requests, self.block))

    def join(self, parts: list[Path], out: Path) -> None:
        """The same files as if all had been sampled at once."""
        joining.join(parts, out)

    def train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path, tick: Tick
    ) -> None:
        """Train the UNet, or a low-rank update of it, from `start` on the diet; see `finetune.train`. Where several
        processes were launched, all of them join in."""
        job = partial(self._train, start, diet, settings, step_seeds, out)
        distributed.gather(job)
        job(tick)

    # ---- inside --------------------------------------------------------------------------------------

    def model(self) -> Model:
        """The checkpoint in memory."""
        return resident.model(str(assets.find(self.checkpoint, self.revision)))

    def _train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path,
        tick: Tick = lambda share: None,
    ) -> None:  # fmt: skip
        parts, before = self.model(), self._trained(start)
        encoded = encode(parts, diet, self.block, settings.roundtrip)
        # What is trained is float32; what a low-rank update leaves as it is need not be.
        whole = settings.method == "full" or settings.mixed_precision == "no"
        unet = parts.unet("fp32" if whole else settings.mixed_precision)
        unet.load(parts.folder, before if settings.method == "full" else None)
        if settings.method == "full":
            unet.holds = None
        once = partial(finetune.once, unet.unet, pretrained.schedule(parts.folder), encoded, settings)
        alone = distributed.processes() == 1  # else one process would try what they can only do together
        advice = " and `train.gradient_accumulation_steps: {}` times as many, which is the same training"
        with memory.enough("train.train_batch_size", settings.train_batch_size, once if alone else None, advice):
            finetune.train(
                unet.unet, pretrained.schedule(parts.folder), encoded, settings, step_seeds, before, out, tick
            )

    def _trained(self, model: Checkpoint) -> Path | None:
        """Where a generation's own weights are; None for generation 0, which has the checkpoint's."""
        return None if (model.folder / "base.json").is_file() else model.folder

    def _loaded(self, model: Checkpoint) -> tuple[Model, Resident]:
        """The checkpoint with a generation's weights in its UNet."""
        parts = self.model()
        unet = parts.unet(self.precision)
        unet.load(parts.folder, self._trained(model))
        return parts, unet

    def _made(self, parts: Model, unet: Resident, block: list[Request], n: int) -> tuple[torch.Tensor, np.ndarray]:
        """Latents, float32 (n, c, h, w), and 8-bit images (n, h, w, 3) of a block, padded (or cut) to n images."""
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
        """Height and width of the latents. Raises ConfigError when no latents decode to the size asked for."""
        own, factor = parts.config["sample_size"], parts.pipe.vae_scale_factor
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


@cache
def _costs(one: Diffusion, settings: TrainSettings) -> Costs | None:
    shape = geometry.geometry(one.checkpoint, one.revision)
    if shape is None:
        return None
    edge = shape.unet["sample_size"]
    own = edge if isinstance(edge, list | tuple) else (edge, edge)
    height, width = (
        pixels // shape.factor if pixels else edge for pixels, edge in zip((one.height, one.width), own, strict=True)
    )
    evaluations = one.evaluations_per_image()
    return costs(shape, (height, width), evaluations, one.block, one.precision, settings)
