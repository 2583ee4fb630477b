import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from entropy_loop.metrics.noise import bytes_per_pixel, high_frequency_share, intensity_entropy, noise

SIZE = 64
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
INDICES = ["high_frequency_share", "bytes_per_pixel", "intensity_entropy"]


def grey(values: np.ndarray | float) -> np.ndarray:
    """An RGB image of one channel's values."""
    return np.repeat(np.broadcast_to(values, (SIZE, SIZE))[..., None], 3, axis=2).astype(np.uint8)


def static(seed: int = 0) -> np.ndarray:
    """White noise in each channel."""
    return np.random.default_rng(seed).integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)


def wave(frequency: float) -> np.ndarray:
    return grey(128 + 100 * np.sin(2 * np.pi * frequency * (0.6 * ROWS + 0.8 * COLUMNS)))


def test_white_noise_has_the_energy_of_the_area():
    """Its spectrum is flat: the share is what lies outside the circle, 1 - pi/16."""
    shares = [high_frequency_share(static(seed)) for seed in range(20)]
    assert np.mean(shares) == pytest.approx(1 - math.pi / 16, abs=0.01)


@pytest.mark.parametrize(("frequency", "share"), [(0.05, 0), (0.20, 0), (0.30, 1), (0.45, 1)])
def test_a_wave_counts_by_its_frequency(frequency, share):
    """Below half of Nyquist's frequency a wave is all low, above it all high, in an oblique direction too."""
    assert high_frequency_share(wave(frequency)) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("smooth", [3.9 * COLUMNS, 2 * ROWS + 1.9 * COLUMNS], ids=["across", "oblique"])
def test_the_borders_of_a_smooth_picture_are_no_high_frequency(smooth):
    """Opposite borders of a ramp differ, which a bare transform takes for a jump; here next to nothing is high."""
    assert high_frequency_share(grey(smooth)) < 2e-3


def blurred(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.5)))


def test_noise_raises_every_index_and_blur_lowers_it():
    """A drawing with noise on it is above the drawing; static is above its own blur."""
    drawing = grey(np.where(np.hypot(ROWS - 32, COLUMNS - 32) < 20, 200.0, 60.0))
    noisy = (drawing + 20 * np.random.default_rng(3).normal(size=drawing.shape)).clip(0, 255).astype(np.uint8)
    table = noise(np.stack([noisy, drawing, static(), blurred(static())]))
    assert list(table.columns) == INDICES
    assert (table.iloc[0] > table.iloc[1]).all()
    assert (table.iloc[2] > table.iloc[3]).all()


def test_a_picture_of_one_grey_has_no_share():
    """Without energy there is no share of it: missing, not 0; the other two are small numbers."""
    flat = grey(137)
    assert math.isnan(high_frequency_share(flat))
    assert intensity_entropy(flat) == 0
    assert bytes_per_pixel(flat) < 0.05


def test_static_does_not_compress():
    """White noise needs its three bytes per pixel, and a little more for the file's frame."""
    assert 3 < bytes_per_pixel(static()) < 3.1


def test_an_index_follows_from_the_image_alone():
    """Measured again, and beside other images, an image has the same numbers to the last digit."""
    alone, among = noise(static(1)[None]), noise(np.stack([static(2), static(1)]))
    assert alone.iloc[0].tolist() == among.iloc[1].tolist()


@pytest.mark.parametrize(("levels", "bits"), [(1, 0), (2, 1), (16, 4), (256, 8)])
def test_equally_frequent_greys_have_the_logarithm_of_their_number(levels, bits):
    """2^b greys, equally often, have b bits."""
    assert intensity_entropy(grey((ROWS * SIZE + COLUMNS) % levels)) == pytest.approx(bits)
