"""From noise to latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entropy_loop.errors import EntropyLoopError

if TYPE_CHECKING:
    import torch

    from entropy_loop.generators.resident import Text

# Deterministic given the initial noise: an image's seed is all the randomness it has. Where a checkpoint's own
# scheduler could say otherwise (an SDE), or would need more steps than are asked for, it is overruled.
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "dpmsolver_multistep": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


def scheduler(name: str, trained_with: Any) -> Any:
    """diffusers' scheduler of this name. trained_with: the config of the checkpoint's own."""
    import diffusers

    cls, fixed = SCHEDULERS[name]
    return getattr(diffusers, cls).from_config(trained_with, **fixed)


def noise(seeds: list[int], shape: tuple[int, int, int]) -> torch.Tensor:
    """Standard normal noise, float32 (n, c, h, w): one generator per image, on the CPU whatever the device."""
    import torch

    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def denoise(
    unet: Any, schedule: Any, steps: int, start: torch.Tensor, text: Text, guidance_scale: float, size: tuple[int, int]
) -> torch.Tensor:
    """Latents, float32 (n, c, h, w), by classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598, eq. 6 in
    diffusers' convention: guidance_scale = 1 + w).

    start: `noise`. text: two rows, the prompt's and the one that guidance holds against it. size: pixels, height and
    width. The UNet computes in its own precision, everything else in float32.
    """
    import torch

    n, device, dtype = len(start), unet.device, unet.dtype
    guided = guidance_scale > 1
    told = text.rows([1] * n + [0] * n if guided else [0] * n).told(size, dtype)
    schedule.set_timesteps(steps, device=device)
    latents = start.to(device) * schedule.init_noise_sigma
    for t in schedule.timesteps:
        doubled = schedule.scale_model_input(torch.cat([latents] * 2) if guided else latents, t)
        predicted = unet(doubled.to(dtype), t, return_dict=False, **told)[0].float()
        if guided:
            without, with_text = predicted.chunk(2)
            predicted = without + guidance_scale * (with_text - without)
        latents = schedule.step(predicted, t, latents, return_dict=False)[0]
    if not torch.isfinite(latents).all():
        raise EntropyLoopError("generate: the model makes images that are not finite numbers; nothing was recorded.")
    return latents
