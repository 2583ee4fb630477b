"""Sampling: from noise to latents."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING

from entropy_loop.errors import EntropyLoopError

if TYPE_CHECKING:
    import torch
    from diffusers import SchedulerMixin, UNet2DConditionModel

    from entropy_loop.generators.diffusion.resident import Text

# All randomness of an image comes from its seed. DDPM and Euler ancestral draw noise in every step, from the image's
# own random stream; the other five are deterministic given the initial noise. The fixed options override a checkpoint
# whose own scheduler config would draw noise (an SDE) or take more steps than were asked for.
SCHEDULERS: dict[str, tuple[str, dict[str, bool | str]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "dpmsolver_multistep": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


def scheduler(name: str, trained_with: Mapping[str, object]) -> SchedulerMixin:
    """diffusers' scheduler of this name. trained_with: config of the checkpoint's own scheduler."""
    import diffusers

    cls, fixed = SCHEDULERS[name]
    return getattr(diffusers, cls).from_config(trained_with, **fixed)


def streams(seeds: list[int]) -> list[torch.Generator]:
    """One random generator per image, always on the CPU."""
    import torch

    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise(random: list[torch.Generator], shape: tuple[int, int, int]) -> torch.Tensor:
    """Standard normal noise, float32 (n, c, h, w): each image's from its own random generator."""
    import torch

    return torch.stack([torch.randn(shape, generator=generator) for generator in random])


def denoise(
    unet: UNet2DConditionModel, schedule: SchedulerMixin, steps: int, start: torch.Tensor,
    random: list[torch.Generator], text: Text, guidance_scale: float, size: tuple[int, int],
) -> torch.Tensor:  # fmt: skip
    """Latents, float32 (n, c, h, w), by classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598, eq. 6 in
    diffusers' convention: guidance_scale = 1 + w).

    start: the initial `noise`. random: the generators that it came from; schedulers that draw noise in each step go on
    drawing from them, as in diffusers' pipeline. text: two rows, the prompt's and the unconditional one. size: height
    and width in pixels. The UNet computes in its own precision, everything else in float32. Raises EntropyLoopError
    when a latent is not finite.
    """
    import torch

    n, device, dtype = len(start), unet.device, unet.dtype
    guided = guidance_scale > 1
    condition = text.rows([1] * n + [0] * n if guided else [0] * n).unet_arguments(size, dtype)
    draws = {"generator": random} if "generator" in signature(schedule.step).parameters else {}
    schedule.set_timesteps(steps, device=device)
    latents = start.to(device) * schedule.init_noise_sigma
    for t in schedule.timesteps:
        doubled = schedule.scale_model_input(torch.cat([latents] * 2) if guided else latents, t)
        predicted = unet(doubled.to(dtype), t, return_dict=False, **condition)[0].float()
        if guided:
            without, with_text = predicted.chunk(2)
            predicted = without + guidance_scale * (with_text - without)
        latents = schedule.step(predicted, t, latents, return_dict=False, **draws)[0]
    if not torch.isfinite(latents).all():
        raise EntropyLoopError("generate: the model made latents that are not finite numbers; nothing was recorded.")
    return latents
