"""Full fine-tuning of a Stable Diffusion UNet on a diet.

Every random number of step s (posterior draw, noise, timestep, caption dropout) comes from that step's own
seed, and the order of the images from the first one, so a result depends on nothing that was saved.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from entropy_loop.data import Diet, Tick, TrainSettings
from entropy_loop.errors import ConfigError, TrainingDiverged
from entropy_loop.generators import pretrained

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline


@dataclass(frozen=True)
class Encoded:
    """A diet as the UNet sees it.

    mean, std: moments of the VAE posterior, float32 (n, c, h, w); a fresh draw is made at every step, as
    encoding anew would, without running the encoder again (std 0: the latent itself). text: float32
    (prompts + 1, tokens, width), the empty prompt last. prompt: row of `text` of each image, int64 (n,).
    """

    mean: torch.Tensor
    std: torch.Tensor
    text: torch.Tensor
    prompt: torch.Tensor


def train(
    pipe: StableDiffusionPipeline,
    diet: Diet,
    settings: TrainSettings,
    step_seeds: list[int],
    block: int,
    out: Path,
    tick: Tick,
) -> None:
    """Train `pipe.unet` in place; writes unet/ (diffusers format, float32 safetensors) and training.csv.
    block: images per call of the VAE.

    Raises TrainingDiverged at the first loss, gradient or weight that is not finite; nothing is written then.
    """
    import torch
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler

    refuse_untrainable(pipe.scheduler.config, settings)
    encoded = encode(pipe, diet, block, settings.roundtrip)
    unet = pipe.unet.train().requires_grad_(True)
    unet.zero_grad()  # a training that failed before, in the same process, leaves its gradients behind
    noise_scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    optimizer = torch.optim.AdamW(
        unet.parameters(),
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        weight_decay=settings.adam_weight_decay,
        eps=settings.adam_epsilon,
        fused=True,
    )
    schedule = get_scheduler(
        settings.lr_scheduler,
        optimizer,
        num_warmup_steps=settings.lr_warmup_steps,
        num_training_steps=settings.max_train_steps,
    )
    log = []
    for step, rows in enumerate(_batches(len(encoded.prompt), settings, step_seeds[0])):
        loss = _loss(unet, noise_scheduler, encoded, rows, settings, step_seeds[step])
        loss.backward()
        norm = clip(unet, settings.max_grad_norm, loss.item(), step)
        optimizer.step()
        optimizer.zero_grad()
        log.append({"step": step, "loss": loss.item(), "grad_norm": norm, "learning_rate": schedule.get_last_lr()[0]})
        schedule.step()
        tick((step + 1) / settings.max_train_steps)
    unet.requires_grad_(False).eval()
    _refuse_broken(unet)
    pd.DataFrame(log).to_csv(out / "training.csv", index=False)
    unet.register_to_config(_name_or_path="")  # a path of this machine
    unet.save_pretrained(out / "unet", safe_serialization=True)
    for file in (out / "unet").glob("*.safetensors"):
        shutil.copymode(out / "training.csv", file)  # safetensors shuts others out


def refuse_untrainable(schedule: Mapping[str, Any], settings: TrainSettings) -> None:
    """Raises ConfigError when a scheduler's config asks for a target, or for weights, that this loss does not have."""
    target = schedule.get("prediction_type", "epsilon")
    if target not in ("epsilon", "v_prediction"):
        raise ConfigError(f"train: the checkpoint predicts {target!r}; only epsilon and v_prediction can be trained.")
    if settings.snr_gamma and target == "epsilon" and schedule.get("rescale_betas_zero_snr"):
        raise ConfigError(
            "train.snr_gamma: the checkpoint's last timestep has a signal-to-noise ratio of 0 "
            "(rescale_betas_zero_snr), which has no min-SNR weight for a model that predicts noise; leave it out."
        )


def encode(pipe: StableDiffusionPipeline, diet: Diet, block: int, roundtrip: str = "pixels") -> Encoded:
    """The diet's latents, times the scaling factor, and its captions. block: images per call of the VAE, the
    last one padded: an image's moments never depend on how many there are.

    'pixels': every image through the VAE's encoder once, 8-bit pixels -> posterior moments. 'latents': the
    latents that were generated, without the round trip; real images have none and are encoded.
    """
    import torch

    table = diet.table
    prompts = tuple(dict.fromkeys(table["prompt"]))
    files = [str(Path(folder) / file) for folder, file in zip(table["folder"], table["file"], strict=True)]
    with torch.inference_mode():
        mean, std = moments(pipe, files, block)
        text = pretrained.embed(pipe, (*prompts, "")).clone()
        if roundtrip == "latents":
            for row, latent in _generated(table):
                mean[row], std[row] = latent.to(mean.device), 0.0
    rows = torch.tensor([prompts.index(prompt) for prompt in table["prompt"]])
    return Encoded(mean.clone(), std.clone(), text.clone(), rows)


def moments(pipe: StableDiffusionPipeline, files: list[str], block: int) -> torch.Tensor:
    """Posterior mean and standard deviation of images, scaled: float32 (2, n, c, h, w)."""
    import torch

    parts = []
    for start in range(0, len(files), block):
        pixels = torch.stack([_pixels(file) for file in files[start : start + block]])
        padding = torch.zeros(block - len(pixels), *pixels.shape[1:])
        posterior = pipe.vae.encode(torch.cat([pixels, padding]).to(pipe.vae.device)).latent_dist
        parts.append(torch.stack([posterior.mean, posterior.std])[:, : len(pixels)])
    return torch.cat(parts, dim=1) * pipe.vae.config.scaling_factor


def _generated(table: pd.DataFrame) -> Iterator[tuple[int, torch.Tensor]]:
    """(row, the latent it was decoded from) of every image that was generated."""
    from safetensors import safe_open

    for folder, rows in table[~table["real"]].reset_index().groupby("folder"):
        with safe_open(Path(str(folder)) / "latents.safetensors", framework="pt") as latents:
            yield from ((row, latents.get_tensor(id_)) for row, id_ in zip(rows["index"], rows["id"], strict=True))


def _pixels(file: str) -> torch.Tensor:
    """An image as float32 (3, h, w) in [-1, 1]."""
    import torch
    from PIL import Image

    with Image.open(file) as image:
        array = np.asarray(image.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(array / 127.5 - 1).permute(2, 0, 1)


def _batches(n: int, settings: TrainSettings, seed: int) -> Iterator[np.ndarray]:
    """Row numbers of each step's images: shuffled epochs, one after the other without a gap."""
    steps, size = settings.max_train_steps, settings.train_batch_size
    epochs = -(-steps * size // n)
    order = np.concatenate([np.random.default_rng([seed, epoch]).permutation(n) for epoch in range(epochs)])
    return (order[step * size : (step + 1) * size] for step in range(steps))


def _loss(
    unet: Any, scheduler: Any, encoded: Encoded, rows: np.ndarray, settings: TrainSettings, seed: int
) -> torch.Tensor:
    """Noise (or velocity) prediction error of one batch, a scalar.

    z_t = sqrt(a_t) z + sqrt(1 - a_t) e (Ho et al. 2020, arXiv 2006.11239, eq. 4 and 14).
    """
    import torch

    random = torch.Generator().manual_seed(seed)
    device, index = encoded.mean.device, torch.from_numpy(rows)
    shape = encoded.mean[index].shape
    posterior, noise = (torch.randn(shape, generator=random).to(device) for _ in range(2))
    t = torch.randint(scheduler.config.num_train_timesteps, (len(rows),), generator=random).to(device)
    dropped = torch.rand(len(rows), generator=random) < settings.proportion_empty_prompts
    text = encoded.text[torch.where(dropped, len(encoded.text) - 1, encoded.prompt[index])]
    latents = encoded.mean[index] + encoded.std[index] * posterior
    predicted = unet(scheduler.add_noise(latents, noise, t), t, encoder_hidden_states=text, return_dict=False)[0]
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, t) if velocity else noise
    errors = (predicted - target).square().mean(dim=(1, 2, 3))
    return (errors * _weights(scheduler, t, settings.snr_gamma, velocity)).mean()


def _weights(scheduler: Any, t: torch.Tensor, snr_gamma: float | None, velocity: bool) -> torch.Tensor:
    """Min-SNR weights min(SNR, gamma) / SNR, over SNR + 1 for velocity (Hang et al. 2023, arXiv 2303.09556)."""
    import torch

    if snr_gamma is None:
        return torch.ones_like(t, dtype=torch.float32)
    alphas = scheduler.alphas_cumprod.to(t.device)[t]
    snr = alphas / (1 - alphas)
    return snr.clamp(max=snr_gamma) / (snr + 1 if velocity else snr)


def clip(unet: Any, max_grad_norm: float, loss: float, step: int) -> float:
    """Clip the global gradient norm; returns the norm before clipping.

    Raises TrainingDiverged when loss or gradient is not finite, or when clipping did not clip.
    """
    import torch

    parameters = [p for p in unet.parameters() if p.grad is not None]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm))
    after = float(torch.nn.utils.get_total_norm([p.grad for p in parameters]))
    if not (np.isfinite(loss) and np.isfinite(norm)):
        raise TrainingDiverged(
            f"train: step {step}: loss {loss}, gradient norm {norm}. The generation before is intact; "
            "lower train.learning_rate and run again."
        )
    if not parameters or after > max_grad_norm * 1.001:
        raise TrainingDiverged(f"train: step {step}: gradient norm {after} after clipping to {max_grad_norm}.")
    return norm


def _refuse_broken(unet: Any) -> None:
    import torch

    broken = [name for name, value in unet.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise TrainingDiverged(f"train: {len(broken)} weight tensors are not finite (first: {broken[0]}); not saved.")
