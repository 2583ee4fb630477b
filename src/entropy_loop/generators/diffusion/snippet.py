"""Python with diffusers alone that loads a trained generation and generates an image with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_loop import assets
from entropy_loop.data import Request, TrainSettings
from entropy_loop.generators.diffusion import pretrained
from entropy_loop.generators.diffusion.sampling import SCHEDULERS

if TYPE_CHECKING:
    from entropy_loop.generators.diffusion.diffusion import Diffusion


def lines(generator: Diffusion, settings: TrainSettings, request: Request) -> str:
    """The lines to run in the folder of the weights. They generate the image of a request as the loop does: same
    scheduler, steps, guidance, size and noise, in float32. The checkpoint must be on this machine.

    The image is saved beside the folder, because `verify` reports a file that is not in the receipt as damage.
    """
    scheduler, fixed = SCHEDULERS[generator.scheduler]
    options = "".join(f", {name}={value!r}" for name, value in fixed.items())
    size = f", height={generator.height}" if generator.height else ""
    size += f", width={generator.width}" if generator.width else ""
    classes, load = _load(generator, settings)
    return f"""import torch
from diffusers import {", ".join(sorted({*classes, scheduler}))}
{_base(generator)}
{load}
pipe.scheduler = {scheduler}.from_config(pipe.scheduler.config{options})
image = pipe(
    {request.prompt!r},
    num_inference_steps={generator.num_inference_steps}, guidance_scale={generator.guidance_scale}{size},
    generator=torch.Generator().manual_seed({request.seed}),
).images[0]
image.save("../picture.png")  # beside this folder, which `entropy-loop verify` holds to its receipt"""


def _base(generator: Diffusion) -> str:
    """The line that sets `base`: a hub id, a folder, or a bundled checkpoint."""
    if generator.checkpoint.startswith(assets.PREFIX):
        return f"from entropy_loop import assets\n\nbase = assets.find({generator.checkpoint!r})"
    return f"\nbase = {generator.origin.checkpoint!r}" + ("" if _commit(generator) else "  # wherever it lies")


def _load(generator: Diffusion, settings: TrainSettings) -> tuple[set[str], str]:
    """The classes to import, and the lines that make `pipe`. Without dtype, parts that are stored in half precision
    would stay in it. A safety checker that the run did not use is not loaded: it may be missing."""
    xl = pretrained.family(assets.find(generator.checkpoint, generator.revision)) == pretrained.XL
    options = f", revision={commit!r}" if (commit := _commit(generator)) else ""
    options += "" if xl or generator.safety_checker != "off" else ", safety_checker=None, feature_extractor=None"
    load = f"DiffusionPipeline.from_pretrained(base{options}, dtype=torch.float32"
    if settings.method == "lora":
        return {"DiffusionPipeline"}, f'pipe = {load})\npipe.load_lora_weights(".")'
    unet = 'unet = UNet2DConditionModel.from_pretrained("unet")'
    return {"DiffusionPipeline", "UNet2DConditionModel"}, f"{unet}\npipe = {load}, unet=unet)"


def _commit(generator: Diffusion) -> str | None:
    """The commit of a hub checkpoint; None for others."""
    return generator.revision if assets.COMMIT.fullmatch(generator.revision or "") else None
