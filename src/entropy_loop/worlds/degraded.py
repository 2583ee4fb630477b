"""Degraded images in graded steps, and junk that shows nothing: a judge is tested on both, beside clean images.

Images are uint8 (h, w, 3). All randomness of an image comes from the random generator that is passed with it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
TILES = 8  # shuffled patches in each direction


def copies(files: Sequence[Path], change: Change, seeds: Sequence[int], out: Path) -> list[Path]:
    """Write changed copies of image files to the folder `out`, as PNG, and return their paths. seeds: one per file, for
    the random numbers of its change."""
    from PIL import Image

    out.mkdir(parents=True, exist_ok=True)
    targets = [out / f"{number:06d}.png" for number in range(len(files))]
    for file, target, seed in zip(files, targets, seeds, strict=True):
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        Image.fromarray(change(pixels, np.random.default_rng(seed))).save(target, compress_level=1)
    return targets


def noisy(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise on every pixel and channel. sigma: standard deviation, as a share of the full range."""
    return _pixels(image + rng.normal(scale=255 * sigma, size=image.shape))


def blurred(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur. sigma: as a share of the shorter side, so that a level means the same at every size."""
    from scipy.ndimage import gaussian_filter

    width = sigma * min(image.shape[:2])
    return _pixels(gaussian_filter(image.astype(np.float64), (width, width, 0), mode="nearest"))


def jpeg(image: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Compression by Pillow's JPEG codec. quality: 0 (worst) to 95."""
    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(image).save(file, format="JPEG", quality=int(quality))
        with Image.open(file) as decoded:
            return np.asarray(decoded.convert("RGB"))


def coarsened(image: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Downscaling by a factor (area averages) and upscaling (bicubic), as through a codec with few latents."""
    from PIL import Image

    original = Image.fromarray(image)
    size = max(1, round(original.width / factor)), max(1, round(original.height / factor))
    small = original.resize(size, Image.Resampling.BOX)
    return np.asarray(small.resize(original.size, Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Degradation:
    """One kind of degradation at one level; called like a `Change`."""

    kind: str
    level: float
    change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.change(image, self.level, rng)


DEGRADATIONS = (
    *(Degradation("gaussian_noise_sigma", sigma, noisy) for sigma in (0.05, 0.1, 0.2, 0.4)),
    *(Degradation("gaussian_blur_sigma_per_side", sigma, blurred) for sigma in (0.01, 0.02, 0.03, 0.04)),
    *(Degradation("jpeg_quality", quality, jpeg) for quality in (50, 25, 10, 5)),
    *(Degradation("downscaling_factor", factor, coarsened) for factor in (2, 3, 4, 6)),
)
"""The graded series: each kind from mild to severe."""


def junk(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image of the same size that shows nothing: noise, one colour, or the image's own patches shuffled."""
    return (_noise, _blank, _shuffled)[rng.integers(3)](image, rng)


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, image.shape, dtype=np.uint8)


def _blank(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), image.shape).copy()


def _shuffled(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """TILES x TILES patches in random order. Pixels at the right and bottom that fill no patch are cut off."""
    h, w = (side // TILES for side in image.shape[:2])
    patches = image[: h * TILES, : w * TILES].reshape(TILES, h, TILES, w, 3).swapaxes(1, 2).reshape(-1, h, w, 3)
    return rng.permutation(patches).reshape(TILES, TILES, h, w, 3).swapaxes(1, 2).reshape(h * TILES, w * TILES, 3)


def _pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
