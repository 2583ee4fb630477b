"""Training a Stable Diffusion UNet on a diet: all of it, or a low-rank update.

Every random number of step s (posterior draw, noise, timestep, caption dropout) comes from that step's own
seed, and the order of the images from the first one, so a result depends on nothing that was saved, and on neither
the number of processes nor how a step's images are split up.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from entropy_loop.data import KEPT, Tick, TrainSettings
from entropy_loop.errors import ConfigError
from entropy_loop.generators.diffusion import lora
from entropy_loop.generators.diffusion.diet import Encoded
from entropy_loop.generators.diffusion.learning import Learning, refuse_broken
from entropy_loop.machine import distributed

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from torch.nn import Module, Parameter


@dataclass(frozen=True)
class Batch:
    """What a training step, or a part of one, learns from: rows of the diet and everything drawn for them, each
    with one row per image. text: rows of the diet's texts."""

    latents: torch.Tensor
    noise: torch.Tensor
    t: torch.Tensor
    text: torch.Tensor

    def rows(self, rows: slice) -> Batch:
        return Batch(self.latents[rows], self.noise[rows], self.t[rows], self.text[rows])


def train(
    unet: UNet2DConditionModel, schedule: Mapping[str, object], encoded: Encoded, settings: TrainSettings,
    step_seeds: list[int], start: Path | None, out: Path, tick: Tick,
) -> None:  # fmt: skip
    """Train `unet` in place on an encoded diet, with every process that there is; writes unet/ (diffusers' format,
    float32 safetensors) or pytorch_lora_weights.safetensors, and training.csv.

    schedule: the config of the scheduler that the checkpoint was trained with. start: the generation whose low-rank
    update is trained on. A training that was cut off goes on from the newest checkpoint that it left in `out`. Raises
    TrainingDiverged when a loss, gradient or weight is not finite; nothing is written then.
    """
    with _prepared(unet, settings, start, step_seeds[0]) as learnt, distributed.accelerator(settings) as accelerator:
        log = _optimise(accelerator, unet, learnt, schedule, encoded, settings, step_seeds, out / KEPT, tick)
        refuse_broken(unet.state_dict())
        if distributed.leads():
            log.to_csv(out / "training.csv", index=False)
            lora.save(unet, settings, out) if settings.method == "lora" else _save(unet, out)


def once(
    unet: UNet2DConditionModel, schedule: Mapping[str, object], encoded: Encoded, settings: TrainSettings, images: int
) -> None:
    """One optimisation step with so many images in a pass: does it fit into memory? Spoils the weights."""
    settings = replace(settings, train_batch_size=images, gradient_accumulation_steps=1, max_train_steps=1)
    with _prepared(unet, settings, None, 0) as learnt, distributed.accelerator(settings) as accelerator:
        _optimise(accelerator, unet, learnt, schedule, encoded, settings, [0], None, lambda share: None)


@contextmanager
def _prepared(
    unet: UNet2DConditionModel, settings: TrainSettings, start: Path | None, seed: int
) -> Iterator[list[Parameter]]:
    """The parameters that are learnt, float32. Afterwards the UNet is what it was but for their values; adapters are
    taken out of it."""
    low_rank = settings.method == "lora"
    unet.train()
    if settings.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    try:
        yield lora.add(unet, settings, start, seed) if low_rank else list(unet.requires_grad_().parameters())
    finally:
        unet.disable_gradient_checkpointing()
        unet.requires_grad_(False).eval().zero_grad()
        distributed.release(unet)
        if low_rank:
            lora.remove(unet)


def _optimise(
    accelerator: Accelerator, unet: UNet2DConditionModel, learnt: list[Parameter], schedule: Mapping[str, object],
    encoded: Encoded, settings: TrainSettings, step_seeds: list[int], kept: Path | None, tick: Tick,
) -> pd.DataFrame:  # fmt: skip
    """Leaves the trained weights in the UNet; returns one row per step: loss, gradient norm, learning rate. kept: where
    checkpoints are, from the newest of which it goes on; None keeps none."""
    from diffusers import DDPMScheduler

    noise_scheduler = DDPMScheduler.from_config(schedule)
    learning, every = Learning(accelerator, learnt, settings), settings.checkpointing_steps
    model = learning.prepare(unet)
    if kept:
        learning.resume(kept)
    orders = _batches(len(encoded.prompt), settings, step_seeds[0])
    for step, rows in list(enumerate(orders))[len(learning.log) :]:
        loss: torch.Tensor | float = 0.0
        for part in _parts(draw(noise_scheduler, encoded, rows, settings, step_seeds[step]), settings, accelerator):
            with accelerator.accumulate(model):
                error = loss_of(model, noise_scheduler, encoded, part, settings)
                accelerator.backward(error)
            loss = loss + error.detach() / settings.gradient_accumulation_steps
        learning.step(accelerator.reduce(loss, "mean"))
        if kept and every and (step + 1) % every == 0 and step + 1 < settings.max_train_steps:
            learning.save(kept)
        tick((step + 1) / settings.max_train_steps)
    return learning.finish()


def _save(unet: UNet2DConditionModel, out: Path) -> None:
    unet.save_pretrained(out / "unet", safe_serialization=True)
    for file in (out / "unet").glob("*.safetensors"):
        shutil.copymode(out / "training.csv", file)  # safetensors shuts others out


# ---- one step ----------------------------------------------------------------------------------------


def _batches(n: int, settings: TrainSettings, seed: int) -> Iterator[np.ndarray]:
    """Row numbers of each step's images: shuffled epochs, one after the other without a gap."""
    steps, size = settings.max_train_steps, settings.images
    epochs = -(-steps * size // n)
    order = np.concatenate([np.random.default_rng([seed, epoch]).permutation(n) for epoch in range(epochs)])
    return (order[step * size : (step + 1) * size] for step in range(steps))


def draw(scheduler: DDPMScheduler, encoded: Encoded, rows: np.ndarray, settings: TrainSettings, seed: int) -> Batch:
    """Everything that is random in a step, for all its images: drawn on the CPU, whatever the device."""
    import torch

    random = torch.Generator().manual_seed(seed)
    device, index = encoded.mean.device, torch.from_numpy(rows)
    shape = encoded.mean[index].shape
    posterior, noise = (torch.randn(shape, generator=random) for _ in range(2))
    t = torch.randint(scheduler.config.num_train_timesteps, (len(rows),), generator=random)
    dropped = torch.rand(len(rows), generator=random) < settings.proportion_empty_prompts
    if settings.noise_offset:
        noise = noise + settings.noise_offset * torch.randn((*shape[:2], 1, 1), generator=random)
    latents = encoded.mean[index] + encoded.std[index] * posterior.to(device)
    text = torch.where(dropped, len(encoded.text.states) - 1, encoded.prompt[index])
    return Batch(latents, noise.to(device), t.to(device), text.to(device))


def _parts(batch: Batch, settings: TrainSettings, accelerator: Accelerator) -> Iterator[Batch]:
    """The step's images as this process takes them, one backward pass after the other."""
    size = settings.train_batch_size
    for first in range(0, settings.images, size):
        yield batch.rows(slice(first + accelerator.process_index, first + size, accelerator.num_processes))


def loss_of(
    unet: Module, scheduler: DDPMScheduler, encoded: Encoded, batch: Batch, settings: TrainSettings
) -> torch.Tensor:
    """Noise (or velocity) prediction error of a batch, a scalar.

    z_t = sqrt(a_t) z + sqrt(1 - a_t) e (Ho et al. 2020, arXiv 2006.11239, eq. 4 and 14).
    """
    noisy = scheduler.add_noise(batch.latents, batch.noise, batch.t)
    told = encoded.text.rows(batch.text).told(encoded.size, noisy.dtype)
    predicted = unet(noisy, batch.t, return_dict=False, **told)[0]
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(batch.latents, batch.noise, batch.t) if velocity else batch.noise
    errors = (predicted.float() - target).square().mean(dim=(1, 2, 3))
    return (errors * _weights(scheduler, batch.t, settings.snr_gamma, velocity)).mean()


def _weights(scheduler: DDPMScheduler, t: torch.Tensor, snr_gamma: float | None, velocity: bool) -> torch.Tensor:
    """Min-SNR weights min(SNR, gamma) / SNR, over SNR + 1 for velocity (Hang et al. 2023, arXiv 2303.09556)."""
    import torch

    if snr_gamma is None:
        return torch.ones_like(t, dtype=torch.float32)
    alphas = scheduler.alphas_cumprod.to(t.device)[t]
    snr = alphas / (1 - alphas)
    return snr.clamp(max=snr_gamma) / (snr + 1 if velocity else snr)


# ---- what is refused ---------------------------------------------------------------------------------


def refuse_untrainable(schedule: Mapping[str, object], settings: TrainSettings) -> None:
    """Raises ConfigError when a scheduler's config asks for a target, or for weights, that this loss does not have,
    or when the images of a pass cannot be shared out."""
    target = schedule.get("prediction_type", "epsilon")
    if target not in ("epsilon", "v_prediction"):
        raise ConfigError(f"train: the checkpoint predicts {target!r}; only epsilon and v_prediction can be trained.")
    if settings.snr_gamma and target == "epsilon" and schedule.get("rescale_betas_zero_snr"):
        raise ConfigError(
            "train.snr_gamma: the checkpoint's last timestep has a signal-to-noise ratio of 0 "
            "(rescale_betas_zero_snr), which has no min-SNR weight for a model that predicts noise; leave it out."
        )
    if settings.train_batch_size % (several := distributed.processes()):
        raise ConfigError(
            f"train.train_batch_size: {settings.train_batch_size} images cannot be shared equally by {several} "
            "processes; make it a multiple."
        )
