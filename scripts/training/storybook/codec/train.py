"""Train the codec of the bundled storybook checkpoint: 64 x 64 RGB scenes <-> 8 x 8 latents.

    python -m scripts.training.storybook.codec.train --minutes 35 --out DIR
    python -m scripts.training.storybook.codec.train --minutes 30 --out DIR --decoder

writes DIR/vae (diffusers' AutoencoderKL, float32), DIR/codec.json (the training log) and
DIR/codec-*.png (held-out scenes above, their reconstructions below). With `--decoder` it trains
the decoder of DIR/vae further; the latents stay, so the diffusion model may be trained at the same time.
`--minutes` fits the learning-rate
schedule to the wall clock; `--steps N --threads 2` makes a training that repeats exactly. MALLOC_MMAP_MAX_=0
and MALLOC_TRIM_THRESHOLD_=17179869184 in the environment keep memory between steps and save much time.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn

from entropy_loop.worlds.storybook import scene

TRAIN_SEED, TEST_SEED = 0, 1  # album seeds
N_SCENES, N_TEST = 24_000, 512

WIDTHS = (16, 32, 96, 160)
LATENT_CHANNELS = 8
BATCH = 16
MUON_LR, ADAM_LR = 0.012, 2e-3
EDGE_WEIGHT, COARSE_WEIGHT, KL_WEIGHT = 0.5, 0.25, 1e-4
EMA = 0.998


# --- shared with diffusion/train.py ---------------------------------------------------------------------


class Muon:
    """Momentum with orthogonalised updates for matrices, AdamW for all other parameters.

    On these small networks it needs about half of AdamW's steps. matrices: parameters of two or more dimensions,
    reshaped to (out, rest).
    """

    def __init__(self, matrices: list[nn.Parameter], others: list[nn.Parameter], lr: float, adam_lr: float):
        self.matrices, self.lr, self.adam_lr = matrices, lr, adam_lr
        self.momenta = [torch.zeros_like(p) for p in matrices]
        self.adam = torch.optim.AdamW(others, adam_lr, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with the learning rates times `factor`; it clears the gradients."""
        nn.utils.clip_grad_norm_([*self.matrices, *self.adam.param_groups[0]["params"]], 1.0)
        self.adam.param_groups[0]["lr"] = self.adam_lr * factor
        self.adam.step()
        self.adam.zero_grad()
        for p, momentum in zip(self.matrices, self.momenta, strict=True):
            momentum.lerp_(p.grad, 0.05)
            update = orthogonal(torch.lerp(p.grad, momentum, 0.95).reshape(len(p), -1)).reshape(p.shape)
            p.mul_(1 - 0.01 * self.lr * factor)
            p.add_(update, alpha=-self.lr * factor * 0.2 * math.sqrt(max(len(p), p[0].numel())))
            p.grad = None


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximate U V' of the singular value decomposition U S V' by five Newton-Schulz steps. Same shape.

    The iteration X <- p(X X') X runs on the small Gram matrix X X', at a third of the cost of running it on X.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    gram, eye = wide @ wide.T, torch.eye(len(wide))
    product = eye
    for _ in range(5):
        p = 3.4445 * eye - 4.7750 * gram + 2.0315 * gram @ gram
        product, gram = p @ product, p @ gram @ p
    result = product @ wide
    return result if matrix.shape[0] <= matrix.shape[1] else result.T


def factor(step: int, progress: float, warmup: int = 100) -> float:
    """Learning-rate factor: linear warm-up by steps, then a cosine to zero over progress in [0, 1]."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def follow(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """ema <- decay * ema + (1 - decay) * model, with a shorter memory in the first steps."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), weight)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator, which initialises layers, inside the block and restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def scenes(folder: Path, n: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Pixels uint8 (n, 64, 64, 3) and captions of album `seed`, cached until the drawings change."""
    digest = hashlib.sha256(scene.dataset(100, seed)[0].tobytes()).hexdigest()[:12]
    path = folder / f"scenes-{n}-{seed}-{digest}.npz"
    if not path.exists():
        pixels, captions, _ = scene.dataset(n, seed)
        np.savez(folder / "part.npz", pixels=pixels, captions=np.array(captions))
        (folder / "part.npz").rename(path)
    with np.load(path) as stored:
        return stored["pixels"], stored["captions"].tolist()


def images(pixels: np.ndarray) -> Tensor:
    """uint8 (n, 64, 64, 3) -> float32 (n, 3, 64, 64) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def sheet(rows: list[Tensor], path: Path, zoom: int = 2) -> None:
    """Rows of images (n, 3, h, w) in [-1, 1] as one PNG."""
    grid = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    array = ((grid.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(array)
    picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST).save(path)


class Clock:
    """Progress of the training from 0 to 1, by steps if they are given, otherwise by minutes of wall clock.

    threads = 0: try one and two threads every 100 steps and keep the faster, because two are slower than one when other
    work uses a core. A process on one core (taskset) always uses one: two would take a hundred times as long.
    """

    def __init__(self, steps: int | None, minutes: float, threads: int):
        self.steps, self.minutes, self.threads = steps, minutes, threads
        torch.set_num_threads(threads or 1)
        self.start = self.last = time.perf_counter()
        self.trials: dict[int, list[float]] = {}

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def progress(self, step: int) -> float:
        return min(1.0, step / self.steps if self.steps else self.seconds / (60 * self.minutes))

    def tick(self, step: int) -> None:
        """Call after every step."""
        now = time.perf_counter()
        self.trials.setdefault(torch.get_num_threads(), []).append(now - self.last)
        self.last = now
        if self.threads == 0 and step % 100 in (4, 8):
            best = min(self.trials, key=lambda n: np.median(self.trials[n]))
            torch.set_num_threads(best if step % 100 == 8 else min(2, len(os.sched_getaffinity(0))))
        if self.threads == 0 and step % 100 == 99:
            torch.set_num_threads(1)
            self.trials.clear()


def parameters(*models: nn.Module) -> int:
    return sum(p.numel() for model in models for p in model.parameters())


def publish(model: AutoencoderKL, folder: Path) -> None:
    """Save beside the target, then rename, so that a reader never sees half a model."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


# --- the codec -----------------------------------------------------------------------------------------


def build(seed: int) -> AutoencoderKL:
    """The untrained codec. Its posterior starts narrow (sd 0.05), because noise would slow the start of training."""
    with seeded(seed):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
            up_block_types=("UpDecoderBlock2D",) * len(WIDTHS),
            block_out_channels=WIDTHS,
            layers_per_block=1,
            latent_channels=LATENT_CHANNELS,
            norm_num_groups=8,
            sample_size=scene.SIZE,
            scaling_factor=1.0,
            mid_block_add_attention=False,
        )
    with torch.no_grad():
        vae.quant_conv.weight[LATENT_CHANNELS:] *= 0.1
        vae.quant_conv.bias[LATENT_CHANNELS:] = -6.0
    return vae.to(memory_format=torch.channels_last)


def optimiser(vae: AutoencoderKL) -> Muon:
    """Muon for the inner 3 x 3 kernels, AdamW for the two ends, 1 x 1 kernels, norms and biases."""
    ends = {id(vae.encoder.conv_in.weight), id(vae.decoder.conv_out.weight)}
    free = [p for p in vae.parameters() if p.requires_grad]
    inner = [p for p in free if p.ndim == 4 and p.shape[2] == 3 and id(p) not in ends]
    chosen = {id(p) for p in inner}
    return Muon(inner, [p for p in free if id(p) not in chosen], MUON_LR, ADAM_LR)


def loss(vae: AutoencoderKL, x: Tensor, noise: Tensor) -> Tensor:
    """L1 + MSE + edges + a coarser scale + a little KL. x: (b, 3, 64, 64); noise: (b, channels, 8, 8)."""
    with autocast():
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.mean + posterior.std * noise).sample
    error = y.float() - x
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    coarse = F.avg_pool2d(error, 4).abs().mean()
    return error.abs().mean() + error.square().mean() + EDGE_WEIGHT * edges + COARSE_WEIGHT * coarse + KL_WEIGHT * kl


def trained(folder: Path) -> AutoencoderKL:
    """A saved codec with only its decoder trainable."""
    vae = AutoencoderKL.from_pretrained(folder).to(memory_format=torch.channels_last)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    return vae


def batches(pixels: np.ndarray, seed: int) -> Iterator[Tensor]:
    """Endless batches (BATCH, 3, 64, 64) in [-1, 1]: shuffled passes over the scenes, half of them flipped."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(pixels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            x = images(pixels[order[start : start + BATCH]])
            flip = torch.from_numpy(rng.random(BATCH) < 0.5)
            yield torch.where(flip[:, None, None, None], x.flip(3), x).contiguous(memory_format=torch.channels_last)


def trainer(vae: AutoencoderKL, pixels: np.ndarray, seed: int) -> tuple[AutoencoderKL, Callable[[int, float], Tensor]]:
    """The averaged codec, and a function that performs step i at a learning-rate factor and returns its loss."""
    ema = copy.deepcopy(vae)
    opt, data, noise = optimiser(vae), batches(pixels, seed), torch.Generator().manual_seed(seed)

    def step(i: int, lr_factor: float) -> Tensor:
        value = loss(vae, next(data), torch.randn(BATCH, LATENT_CHANNELS, 8, 8, generator=noise))
        value.backward()
        opt.step(lr_factor)
        follow(ema, vae, EMA, i)
        return value.detach()

    return ema, step


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, x: Tensor) -> Tensor:
    return torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in x.split(64)])


@torch.no_grad()
def standardise(vae: AutoencoderKL, x: Tensor) -> None:
    """Give every latent channel mean 0 and sd 1 over x, by folding the change into the two 1 x 1 kernels.

    A pipeline knows one scaling factor for all channels; after this it is 1.
    """
    means = torch.cat([vae.encode(part).latent_dist.mean for part in x.split(64)])
    centre, sd = means.mean((0, 2, 3)), means.std((0, 2, 3))
    to, back, c = vae.quant_conv, vae.post_quant_conv, LATENT_CHANNELS
    to.weight[:c] /= sd[:, None, None, None]
    to.bias[:c] = (to.bias[:c] - centre) / sd
    to.bias[c:] -= 2 * sd.log()
    back.bias += back.weight[:, :, 0, 0] @ centre
    back.weight *= sd[None, :, None, None]


def errors(vae: AutoencoderKL, x: Tensor) -> dict[str, float]:
    """Reconstruction errors on [-1, 1]."""
    error = reconstruct(vae, x) - x
    return {"mse": error.square().mean().item(), "l1": error.abs().mean().item()}


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--decoder", action="store_true", help="train the decoder of DIR/vae further")
    parser.add_argument("--minutes", type=float, default=35.0)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0 chooses between one and two while training")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    name = "decoder" if args.decoder else "codec"

    pixels, _ = scenes(args.out, N_SCENES, TRAIN_SEED)
    test = images(scenes(args.out, N_TEST, TEST_SEED)[0])
    vae = trained(args.out / "vae") if args.decoder else build(args.seed)
    ema, step = trainer(vae, pixels, args.seed + args.decoder)
    print(f"{parameters(ema):,} parameters", flush=True)

    clock = Clock(args.steps, args.minutes, args.threads)
    i, history, losses, sheets = 0, [], [], 0
    while (progress := clock.progress(i)) < 1:
        losses.append(step(i, factor(i, progress)))
        clock.tick(i)
        i += 1
        if i % 100 == 0:
            row = {"step": i, "seconds": round(clock.seconds, 1), "loss": torch.stack(losses).mean().item()}
            history.append(row | {"test_mse": errors(ema, test[:64])["mse"]})
            print(history[-1], torch.get_num_threads(), f"{progress:.3f}", flush=True)
            losses = []
        if progress > (sheets + 1) / 5:
            sheets += 1
            sheet([test[:12], reconstruct(ema, test[:12])], args.out / f"{name}-{sheets}.png")
            publish(ema, args.out / f"{name}.latest")

    if not args.decoder:
        standardise(ema, images(pixels[:4096]))
    log = {
        "settings": {
            "scenes": N_SCENES, "album_seed": TRAIN_SEED, "widths": WIDTHS, "latent_channels": LATENT_CHANNELS,
            "batch": BATCH, "muon_lr": MUON_LR, "adam_lr": ADAM_LR, "edge_weight": EDGE_WEIGHT,
            "coarse_weight": COARSE_WEIGHT, "kl_weight": KL_WEIGHT, "ema": EMA, "seed": args.seed,
            "threads": args.threads, "precision": "bfloat16 autocast",
        },
        "parameters": parameters(ema),
        "steps": i,
        "seconds": round(clock.seconds, 1),
        "held_out": errors(ema, test),
        "history": history,
    }  # fmt: skip
    (args.out / f"{name}.json").write_text(json.dumps(log, indent=1) + "\n")
    publish(ema, args.out / "vae")
    sheet([test[:12], reconstruct(ema, test[:12])], args.out / f"{name}.png")
    print(log["held_out"], flush=True)


if __name__ == "__main__":
    main()
