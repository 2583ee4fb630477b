"""Fine-tuning as in diffusers' text-to-image examples, rewritten. The peer of our training.

Per step: pixels through the VAE's encoder, captions through the text encoder, noise, timesteps, UNet, loss; AdamW,
a constant learning rate, gradients clipped (which the published LoRA example means to do), a DataLoader in front.
"""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.optimization import get_scheduler
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Pictures(Dataset):
    """Images with a caption, as tensors."""

    def __init__(self, files: list[Path], caption: str, tokenizer: object) -> None:
        self.files = files
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
        encoded = tokenizer(caption, max_length=tokenizer.model_max_length, padding="max_length", return_tensors="pt")
        self.ids = encoded.input_ids[0]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        with Image.open(self.files[index]) as image:
            return {"pixel_values": self.transform(image.convert("RGB")), "input_ids": self.ids}


def error(
    unet: torch.nn.Module,
    schedule: DDPMScheduler,
    z: torch.Tensor,
    noise: torch.Tensor,
    t: torch.Tensor,
    states: torch.Tensor,
) -> torch.Tensor:
    predicted = unet(schedule.add_noise(z, noise, t), t, states, return_dict=False)[0]
    return torch.nn.functional.mse_loss(predicted.float(), noise.float(), reduction="mean")


def train(
    pipe: StableDiffusionPipeline, files: list[Path], caption: str, steps: int, batch: int, rate: float, rank: int = 0
) -> list[float]:
    """Train `pipe.unet` in place, all of it or (with a rank) a LoRA; returns the losses."""
    accelerator = Accelerator(cpu=True)
    unet, vae, encoder = pipe.unet, pipe.vae.requires_grad_(False), pipe.text_encoder.requires_grad_(False)
    noise_scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    if rank:
        from peft import LoraConfig

        unet.requires_grad_(False)
        targets = ["to_k", "to_q", "to_v", "to_out.0"]
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets))
    else:
        unet.requires_grad_(True)
    unet.train()
    trainable = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=rate, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    loader = DataLoader(Pictures(files, caption, pipe.tokenizer), shuffle=True, batch_size=batch)
    schedule = get_scheduler("constant", optimizer)
    unet, optimizer, loader, schedule = accelerator.prepare(unet, optimizer, loader, schedule)
    losses: list[float] = []
    while len(losses) < steps:
        for batch_ in loader:
            latents = vae.encode(batch_["pixel_values"]).latent_dist.sample() * vae.config.scaling_factor
            noise = torch.randn_like(latents)
            t = torch.randint(0, noise_scheduler.config.num_train_timesteps, (len(latents),))
            states = encoder(batch_["input_ids"], return_dict=False)[0]
            loss = error(unet, noise_scheduler, latents, noise, t, states)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(trainable, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.detach().item())
            if len(losses) == steps:
                break
    if rank:
        pipe.unet.delete_adapters("default")
        pipe.unet.unload_lora()
    return losses
