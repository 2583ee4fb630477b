"""Costs of one image with a checkpoint: TFLOP counted by layer, bytes on disk, and an estimate of device memory."""

from __future__ import annotations

from math import prod

from entropy_loop.contracts import Costs
from entropy_loop.data import TrainSettings
from entropy_loop.generators.diffusion.codec import PIXELS
from entropy_loop.generators.diffusion.geometry import Geometry
from entropy_loop.machine import flops

PNG = 1.7  # bytes per pixel of a photograph, at the compression of `recording.save`
BYTES = {"fp32": 4, "no": 4, "fp16": 2, "bf16": 2}


def costs(
    shape: Geometry, latent: tuple[int, int], evaluations: float, block: int, precision: str, settings: TrainSettings
) -> Costs:
    """latent: height and width of a latent. evaluations: UNet evaluations per image. block: images per UNet call."""
    size = latent[0] * shape.factor, latent[1] * shape.factor
    unet = flops.unet(shape.unet, *latent, shape.text[0]["max_position_embeddings"])
    coder = flops.encoder(shape.vae, *size), flops.decoder(shape.vae, *size)
    low_rank = flops.adapters(unet, settings.target_modules, settings.rank) if settings.method == "lora" else []
    learnt = flops.parameters(low_rank or unet) if settings.method != "none" else 0
    # A backward pass costs two forward passes if every weight is trained, one if gradients only pass through.
    present = flops.tflop(unet) * (2 if low_rank else 3) + 3 * flops.tflop(low_rank)
    present += flops.tflop(unet) * settings.gradient_checkpointing
    others = 4 * sum(map(flops.parameters, (flops.text(shape.text), *coder)))
    others += 4 * sum(config["vocab_size"] * config["hidden_size"] for config in shape.text)
    frozen = flops.parameters(unet) * BYTES[settings.mixed_precision] if low_rank else 0
    # One UNet per precision stays in memory: one that samples in half precision beside one that trains in float32.
    train_precision = settings.mixed_precision if low_rank and settings.mixed_precision != "no" else "fp32"
    two_unets = settings.method != "none" and precision != train_precision
    sampler, trained = flops.parameters(unet) * BYTES[precision], frozen or 4 * learnt
    per_weight = 16 + 4 * settings.use_ema  # bytes: the weight, its gradient, two moments, its average
    return Costs(
        sample=evaluations * flops.tflop(unet) + flops.tflop(coder[1]),
        encode=flops.tflop(coder[0]),
        present=present if settings.method != "none" else 0.0,
        half=BYTES[precision] == 2,
        image=int(PNG * prod(size)) + 4 * shape.unet["in_channels"] * prod(latent),
        weights=4 * learnt,
        sampling=sampler + two_unets * trained + others + _sampling(unet, coder[1], block, precision, size),
        training=per_weight * learnt + frozen + two_unets * sampler + others + _activations(unet, settings),
    )


def _sampling(
    unet: list[flops.Layer], decoder: list[flops.Layer], block: int, precision: str, size: tuple[int, int]
) -> int:
    """Bytes of activations in sampling: the UNet's pass (guidance doubles the block) or the decoder's, if larger. About
    six outputs of the largest UNet layer are held at a time, three of the decoder's."""
    denoising = 2 * block * 6 * max(_outputs(layer) for layer in unet) * BYTES[precision]
    decoding = 3 * 4 * max(_outputs(layer) for layer in decoder) * max(1, min(block, PIXELS // prod(size)))
    return max(denoising, decoding)


def _activations(unet: list[flops.Layer], settings: TrainSettings) -> int:
    """Bytes of activations in training: every layer's output is kept for the backward pass. Gradient checkpointing
    keeps about a tenth of them and recomputes the others block by block."""
    kept = sum(_outputs(layer) for layer in unet) * settings.train_batch_size * BYTES[settings.mixed_precision]
    return kept // 4 if settings.gradient_checkpointing else kept


def _outputs(layer: flops.Layer) -> int:
    return layer.positions * layer.size[1]
