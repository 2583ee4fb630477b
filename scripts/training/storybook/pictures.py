"""Pictures for training and testing: drawn scenes with their truth, augmentation, degradations and junk.

Images: float32 (n, 3, 64, 64) in [0, 1] unless said otherwise; uint8 (n, 64, 64, 3) on disk.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from entropy_loop.worlds.storybook import scene

SIZE = scene.SIZE


# -- scenes ------------------------------------------------------------------------------------------


def train_scenes(n: int, seed: int) -> list[scene.Scene]:
    """n scenes. Every other one has uniform attributes, so that rare values and unseen pairs are learnt."""
    return [scene.sample(seed, index, **(_uniform(seed, index) if index % 2 else {})) for index in range(n)]


def _uniform(seed: int, index: int) -> dict[str, str]:
    rng = np.random.default_rng([seed, index, 1])
    drawn = {name: str(rng.choice(list(scene.SHARES[name]))) for name in ("coat", "suit", "background", "facing")}
    return drawn | {"rider": str(rng.choice(scene.RIDERS)), "mount": str(rng.choice(scene.MOUNTS))}


def test_scenes(seed: int) -> list[scene.Scene]:
    """2,400 scenes with relations in fixed shares and all else from the world's distribution, then 600 around the
    essay's prompt: 250 of it, and 350 that share two of its three parts (sometimes all three).
    """
    relations = ("riding", "riding", "next_to", "next_to", "rider_alone", "mount_alone", "empty")
    scenes = [scene.sample(seed, i, relation=relations[i % len(relations)]) for i in range(2400)]
    essay = {"rider": "astronaut", "mount": "horse", "relation": "riding"}
    misses = [essay | {"relation": "next_to"}] * 3 + [_without(essay, "mount"), _without(essay, "rider")] * 2
    near = [essay] * 5 + misses
    return scenes + [scene.sample(seed, 2400 + i, **near[i % len(near)]) for i in range(600)]


def _without(fixed: dict[str, str], name: str) -> dict[str, str]:
    return {k: v for k, v in fixed.items() if k != name}


def pictures(scenes: list[scene.Scene]) -> np.ndarray:
    """uint8 (n, 64, 64, 3)."""
    return np.stack([scene.render(drawn) for drawn in scenes])


def truth_table(scenes: list[scene.Scene]) -> pd.DataFrame:
    """The scenes' truth, with an empty column `junk`."""
    return scene.truth(scenes).assign(junk="")


def junk_rows(kinds: Iterable[str]) -> pd.DataFrame:
    """Truth of junk images: they show nothing."""
    columns = ("rider", "mount", "coat", "suit", "background", "facing")
    return pd.DataFrame({"relation": "junk", **dict.fromkeys(columns, ""), "place_named": False, "junk": list(kinds)})


def to_float(pixels: np.ndarray) -> Tensor:
    """uint8 (n, 64, 64, 3) -> float32 (n, 3, 64, 64) in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def to_pixels(images: Tensor) -> np.ndarray:
    """float (n, 3, 64, 64) -> uint8 (n, 64, 64, 3), rounded and clipped."""
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


# -- degradations and junk -----------------------------------------------------------------------------


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, sigma in pixels, edges repeated."""
    radius = max(1, math.ceil(3 * sigma))
    kernel = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def add_noise(images: Tensor, sigma: float | Tensor, rng: torch.Generator) -> Tensor:
    """Gaussian pixel noise, sigma as a share of the full range (a number or (n, 1, 1, 1)), clipped."""
    return (images + sigma * torch.randn(images.shape, generator=rng)).clamp(0, 1)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """Through JPEG at a quality of 1 to 95."""
    return to_float(np.stack([_jpeg(pixels, quality) for pixels in to_pixels(images)]))


def _jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=rng)


def number(rng: torch.Generator, low: float, high: float) -> float:
    return uniform(rng, low, high, 1).item()


def augment(images: Tensor, rng: torch.Generator, mirror: bool = True, tint: float = 0.08) -> Tensor:
    """Mild augmentation: each change applies to a random part of the batch and keeps the content plain.

    mirror: False where left and right matter. tint: sd of each channel's gain.
    """
    images = _moved(images, rng, mirror)
    gain = 1 + tint * torch.randn((len(images), 3, 1, 1), generator=rng)
    images = ((images - 0.5) * uniform(rng, 0.8, 1.15, len(images), 1, 1, 1) + 0.5) * gain
    for share, change in (
        (0.20, lambda x: blur(x, number(rng, 0.3, 1.8))),
        (0.06, lambda x: jpeg(x, int(number(rng, 8, 60)))),
        (0.15, lambda x: blur(add_noise(x, number(rng, 0.05, 0.3), rng), 0.8)),
        (0.30, lambda x: add_noise(x, uniform(rng, 0, 0.27, len(x), 1, 1, 1), rng)),
    ):
        chosen = torch.rand(len(images), generator=rng) < share
        if chosen.any():
            images = images.clone()
            images[chosen] = change(images[chosen])
    return images.clamp(0, 1)


def _moved(images: Tensor, rng: torch.Generator, mirror: bool = True) -> Tensor:
    """Half the images mirrored, if asked for; half shifted by up to 4 px and resized by up to 8 %."""
    n = len(images)
    side = (torch.rand(n, generator=rng) < 0.5).float() * 2 - 1 if mirror else torch.ones(n)
    moves = (torch.rand(n, 1, 1, generator=rng) < 0.5).float()
    zoom = 1 + moves[:, 0, 0] * uniform(rng, -0.08, 0.08, n)
    shift = moves[:, 0] * uniform(rng, -4, 4, n, 2) * 2 / SIZE
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = side * zoom, zoom, shift
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def junk_noise(images: Tensor, rng: torch.Generator) -> Tensor:
    """Uniform or normal noise, fine or in blocks of up to 16 px, grey or coloured."""
    cell = int(2 ** torch.randint(0, 5, (1,), generator=rng).item())
    channels = 1 if number(rng, 0, 1) < 0.3 else 3
    shape = (len(images), channels, SIZE // cell, SIZE // cell)
    normal = 0.5 + uniform(rng, 0.1, 0.5, len(images), 1, 1, 1) * torch.randn(shape, generator=rng)
    noise = normal if number(rng, 0, 1) < 0.5 else torch.rand(shape, generator=rng)
    mode = "bicubic" if number(rng, 0, 1) < 0.5 else "nearest"
    return F.interpolate(noise, size=SIZE, mode=mode).expand(-1, 3, -1, -1)


def junk_drowned(images: Tensor, rng: torch.Generator) -> Tensor:
    """Scenes under noise that hides their content."""
    return add_noise(0.5 + 0.3 * (images - 0.5), uniform(rng, 0.5, 1.5, len(images), 1, 1, 1), rng)


def junk_blank(images: Tensor, rng: torch.Generator) -> Tensor:
    """One colour, with at most a trace of noise."""
    return add_noise(uniform(rng, 0, 1, len(images), 3, 1, 1).expand_as(images), number(rng, 0, 0.04), rng)


def junk_scrambled(images: Tensor, rng: torch.Generator) -> Tensor:
    """Tiles of 4 or 8 px in random order."""
    tile = 4 if number(rng, 0, 1) < 0.5 else 8
    tiles = F.unfold(images, tile, stride=tile)
    order = torch.rand((len(images), 1, tiles.shape[2]), generator=rng).argsort(2)
    return F.fold(tiles.gather(2, order.expand_as(tiles)), SIZE, tile, stride=tile)


def junk_blurred(images: Tensor, rng: torch.Generator) -> Tensor:
    """Blurred beyond recognition."""
    return blur(images, number(rng, 5.5, 12))


def junk_faded(images: Tensor, rng: torch.Generator) -> Tensor:
    """The mean of eight scenes, or a scene faded almost into a single colour."""
    if number(rng, 0, 1) < 0.5:
        return torch.stack([_moved(images.roll(k, 0), rng) for k in range(8)]).mean(0)
    trace = uniform(rng, 0.0, 0.05, len(images), 1, 1, 1)
    return trace * images + (1 - trace) * uniform(rng, 0, 1, len(images), 3, 1, 1)


def junk_melted(images: Tensor, rng: torch.Generator) -> Tensor:
    """Scenes warped beyond recognition: points move by 14 to 22 px (sd), with little correlation between neighbours.

    With less, a rider can often still be seen, and a judge that learns to refuse such pictures goes blind early. The
    first two phases of the judges used 7 to 12 px.
    """
    fields = torch.randn((len(images), 2, 10, 10), generator=rng) * uniform(rng, 14, 22, len(images), 1, 1, 1)
    return moved_by(images, F.interpolate(fields, size=SIZE, mode="bicubic"), "reflection")


def moved_by(images: Tensor, moves: Tensor, padding: str) -> Tensor:
    """Warp images. moves: float32 (n, 2, 64, 64), pixels right and down."""
    still = F.affine_grid(torch.eye(2, 3).expand(len(images), 2, 3), list(images.shape), align_corners=False)
    grid = still + moves.permute(0, 2, 3, 1) * 2 / SIZE
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


Damage = Callable[[Tensor, torch.Generator], Tensor]
FIRST_JUNK: dict[str, Damage] = {
    "noise": junk_noise,
    "drowned": junk_drowned,
    "blank": junk_blank,
    "scrambled": junk_scrambled,
    "blurred": junk_blurred,
    "faded": junk_faded,
}
