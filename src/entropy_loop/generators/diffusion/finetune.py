"""Training a Stable Diffusion UNet on a diet: all of it, or a low-rank update.

Every random number of step s (posterior draw, noise, timestep, caption dropout) comes from that step's own seed, and
the order of the images from the first step's seed. So no random state is saved, and the random numbers depend neither
on the number of processes nor on how a step's images are split up.
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
from entropy_loop.generators.diffusion.learning import Learning, check_finite
from entropy_loop.machine import distributed

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from torch.nn import Module, Parameter


@dataclass(frozen=True)
class Batch:
    """Images of a training step, or of a part of one, and everything drawn for them; each tensor has one row per image.
    latents, noise: float32 (n, c, h, w). t: timesteps. text: row numbers of `Encoded.text`."""

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
    """Train `unet` in place on an encoded diet, in all processes together. Writes unet/ (diffusers' format, float32
    safetensors) or pytorch_lora_weights.safetensors, and training.csv.

    schedule: config of the scheduler that the checkpoint was trained with. start: the generation whose low-rank update
    training continues. An interrupted training resumes from its newest checkpoint in `out`. Raises TrainingDiverged,
    and writes nothing, when a loss, gradient norm or weight is not finite.
    """
    with _prepared(unet, settings, start, step_seeds[0]) as learnt, distributed.accelerator(settings) as accelerator:
        log = _optimise(accelerator, unet, learnt, schedule, encoded, settings, step_seeds, out / KEPT, tick)
        check_finite(unet.state_dict())
        if distributed.leads():
            log.to_csv(out / "training.csv", index=False)
            lora.save(unet, settings, out) if settings.method == "lora" else _save(unet, out)


def try_step(
    unet: UNet2DConditionModel, schedule: Mapping[str, object], encoded: Encoded, settings: TrainSettings, images: int
) -> None:
    """Make one optimisation step with `images` per backward pass, to see whether it fits into memory. The weights are
    useless afterwards."""
    settings = replace(settings, train_batch_size=images, gradient_accumulation_steps=1, max_train_steps=1)
    with _prepared(unet, settings, None, 0) as learnt, distributed.accelerator(settings) as accelerator:
        _optimise(accelerator, unet, learnt, schedule, encoded, settings, [0], None, lambda share: None)


@contextmanager
def _prepared(
    unet: UNet2DConditionModel, settings: TrainSettings, start: Path | None, seed: int
) -> Iterator[list[Parameter]]:
    """The parameters to train, float32. On exit the UNet is set back to inference and adapters are taken out."""
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
    encoded: Encoded, settings: TrainSettings, step_seeds: list[int], checkpoints: Path | None, tick: Tick,
) -> pd.DataFrame:  # fmt: skip
    """Train the parameters in place. Returns one row per step: loss, gradient norm, learning rate. checkpoints: the
    folder of checkpoints, also to resume from; None writes none."""
    from diffusers import DDPMScheduler

    noise_scheduler = DDPMScheduler.from_config(schedule)
    learning, every = Learning(accelerator, learnt, settings), settings.checkpointing_steps
    model = learning.prepare(unet)
    if checkpoints:
        learning.resume(checkpoints)
    orders = _batches(len(encoded.prompt), settings, step_seeds[0])
    for step, rows in list(enumerate(orders))[len(learning.log) :]:
        loss: torch.Tensor | float = 0.0
        for part in _parts(draw(noise_scheduler, encoded, rows, settings, step_seeds[step]), settings, accelerator):
            with accelerator.accumulate(model):
                error = loss_of(model, noise_scheduler, encoded, part, settings)
                accelerator.backward(error)
            loss = loss + error.detach() / settings.gradient_accumulation_steps
        learning.step(accelerator.reduce(loss, "mean"))
        if checkpoints and every and (step + 1) % every == 0 and step + 1 < settings.max_train_steps:
            learning.save(checkpoints)
        tick((step + 1) / settings.max_train_steps)
    return learning.finish()


def _save(unet: UNet2DConditionModel, out: Path) -> None:
    unet.save_pretrained(out / "unet", safe_serialization=True)
    for file in (out / "unet").glob("*.safetensors"):
        shutil.copymode(out / "training.csv", file)  # safetensors keeps others from reading


# ---- one step ----------------------------------------------------------------------------------------


def _batches(n: int, settings: TrainSettings, seed: int) -> Iterator[np.ndarray]:
    """Row numbers of each step's images, from shuffled epochs one after the other."""
    steps, size = settings.max_train_steps, settings.images
    epochs = -(-steps * size // n)
    order = np.concatenate([np.random.default_rng([seed, epoch]).permutation(n) for epoch in range(epochs)])
    return (order[step * size : (step + 1) * size] for step in range(steps))


def draw(scheduler: DDPMScheduler, encoded: Encoded, rows: np.ndarray, settings: TrainSettings, seed: int) -> Batch:
    """The batch of a step, with everything random in it. Random numbers are drawn on the CPU, whatever the device."""
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
    """This process's share of a step's images, one batch per backward pass."""
    size = settings.train_batch_size
    for first in range(0, settings.images, size):
        yield batch.rows(slice(first + accelerator.process_index, first + size, accelerator.num_processes))


def loss_of(
    unet: Module, scheduler: DDPMScheduler, encoded: Encoded, batch: Batch, settings: TrainSettings
) -> torch.Tensor:
    """Mean squared error of the predicted noise (or velocity), a scalar.

    z_t = sqrt(a_t) z + sqrt(1 - a_t) e (Ho et al. 2020, arXiv 2006.11239, eq. 4 and 14).
    """
    noisy = scheduler.add_noise(batch.latents, batch.noise, batch.t)
    condition = encoded.text.rows(batch.text).unet_arguments(encoded.size, noisy.dtype)
    predicted = unet(noisy, batch.t, return_dict=False, **condition)[0]
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(batch.latents, batch.noise, batch.t) if velocity else batch.noise
    errors = (predicted.float() - target).square().mean(dim=(1, 2, 3))
    return (errors * _weights(scheduler, batch.t, settings.snr_gamma, velocity)).mean()


def _weights(scheduler: DDPMScheduler, t: torch.Tensor, snr_gamma: float | None, velocity: bool) -> torch.Tensor:
    """Min-SNR weights (Hang et al. 2023, arXiv 2303.09556): min(SNR, gamma) / SNR, or / (SNR + 1) for velocity."""
    import torch

    if snr_gamma is None:
        return torch.ones_like(t, dtype=torch.float32)
    alphas = scheduler.alphas_cumprod.to(t.device)[t]
    snr = alphas / (1 - alphas)
    return snr.clamp(max=snr_gamma) / (snr + 1 if velocity else snr)


# ---- checks ------------------------------------------------------------------------------------------


def check_trainable(schedule: Mapping[str, object], settings: TrainSettings) -> None:
    """Raises ConfigError when this loss does not support the scheduler's prediction type, or min-SNR weights with it,
    or when the processes cannot share a batch equally."""
    target = schedule.get("prediction_type", "epsilon")
    if target not in ("epsilon", "v_prediction"):
        raise ConfigError(f"train: the checkpoint predicts {target!r}; only epsilon and v_prediction can be trained.")
    if settings.snr_gamma and target == "epsilon" and schedule.get("rescale_betas_zero_snr"):
        raise ConfigError(
            "train.snr_gamma: the checkpoint's last timestep has a signal-to-noise ratio of 0 "
            "(rescale_betas_zero_snr), which has no min-SNR weight for a model that predicts noise; leave it out."
        )
    if settings.train_batch_size % (processes := distributed.processes()):
        raise ConfigError(
            f"train.train_batch_size: {processes} processes cannot share {settings.train_batch_size} images equally; "
            f"make it a multiple of {processes}."
        )
