"""Noise of single images, from their pixels: high-frequency energy, compressed size, intensity entropy."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

HALF_NYQUIST = 0.25  # cycles per pixel; Nyquist's frequency is 0.5


def noise(images: Iterable[np.ndarray]) -> pd.DataFrame:
    """One row per image, uint8 (h, w, 3) of any size, and one column per index below. A pool's value is the mean."""
    indices = (high_frequency_share, bytes_per_pixel, intensity_entropy)
    rows = [[index(image) for index in indices] for image in images]
    return pd.DataFrame(rows, columns=[index.__name__ for index in indices], dtype=np.float64)


def high_frequency_share(image: np.ndarray) -> float:
    """Share of an image's energy above half the Nyquist frequency, in any direction, without the mean grey.

    Energy is the squared 2-D Fourier transform of luminance; white noise has 1 - pi/16 = 0.80 there. A Hann window
    fades the borders out (Harris 1978, Proc. IEEE 66:51), because the transform joins opposite borders and their jump
    would count as high frequency. NaN for an image of one grey, which has no energy.
    """
    grey = luminance(image)
    if np.ptp(grey) == 0:
        return math.nan
    window = np.outer(_hann(grey.shape[0]), _hann(grey.shape[1]))
    faded = window * (grey - np.average(grey, weights=window))
    energy = np.abs(np.fft.fft2(faded)) ** 2
    radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, grey.shape), indexing="ij"))
    return float(energy[radius > HALF_NYQUIST].sum() / energy.sum())


def bytes_per_pixel(image: np.ndarray) -> float:
    """Size of the image as a PNG at the highest compression, in bytes per pixel.

    It also depends on Pillow's build of zlib, so compare sizes from one environment only.
    """
    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(image).save(file, format="PNG", compress_level=9)
        return file.tell() / (image.shape[0] * image.shape[1])


def intensity_entropy(image: np.ndarray) -> float:
    """Shannon entropy of the luminance in 256 bins, in bits: 0 for one grey, 8 for equally frequent greys."""
    counts = np.bincount(np.rint(luminance(image)).astype(np.int64).ravel(), minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return float(-np.sum(shares * np.log2(shares)))


def luminance(image: np.ndarray) -> np.ndarray:
    """Luma of an RGB image (h, w, 3) by ITU-R BT.601: float64 (h, w), 0..255."""
    return image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])


def _hann(size: int) -> np.ndarray:
    """Hann window at the pixels' centres. It is symmetric and nowhere zero, so every pixel counts."""
    return np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
