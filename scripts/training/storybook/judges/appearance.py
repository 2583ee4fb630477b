"""Strong augmentation that keeps a picture's content: it imitates what a feedback loop does to figures.

Contours are warped, parts are lost, lines thicken, tones drift. A judge trained on clean drawings alone relies on
outlines and on the exact position of legs. These pictures take such cues away.

Images: float32 (n, 3, 64, 64) in [0, 1].
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial

import numpy as np
import resvg_py
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from entropy_loop.worlds.storybook import scene
from scripts.training.storybook.pictures import SIZE, _moved, add_noise, augment, blur, moved_by, number, uniform

Change = Callable[[Tensor, torch.Generator], Tensor]

SVG = "http://www.w3.org/2000/svg"
NUMBER = re.compile(r"-?\d*\.\d+|-?\d+")
INK = "#2b2433"  # the colour of the outlines
ROWS, COLUMNS = torch.meshgrid(torch.arange(float(SIZE)), torch.arange(float(SIZE)), indexing="ij")


# -- pixels --------------------------------------------------------------------------------------------


def strong(images: Tensor, rng: torch.Generator) -> Tensor:
    """Strong augmentation: each change applies to a random part of the batch. The content stays recognisable."""
    images = _moved(images, rng)
    for share, change in (
        (0.60, warped),
        (0.50, with_parts_lost),
        (0.25, thickened),
        (0.30, lambda x, rng: blur(x, number(rng, 0.5, 1.6))),
        (0.50, sharpened),
        (0.70, toned),
        (0.08, lambda x, rng: (x * (steps := int(number(rng, 3, 9)))).round() / steps),
        (0.30, lambda x, rng: add_noise(x, uniform(rng, 0, 0.12, len(x), 1, 1, 1), rng)),
    ):
        images = _on_some(images, share, change, rng)
    return images.clamp(0, 1)


def either(share: float) -> Change:
    """`strong` for this share of the calls, otherwise the mild `augment`."""
    return lambda images, rng: (strong if number(rng, 0, 1) < share else augment)(images, rng)


def _on_some(images: Tensor, share: float, change: Change, rng: torch.Generator) -> Tensor:
    chosen = torch.rand(len(images), generator=rng) < share
    if not chosen.any():
        return images
    images = images.clone()
    images[chosen] = change(images[chosen], rng)
    return images


def warped(images: Tensor, rng: torch.Generator) -> Tensor:
    """Warped by two random fields: a fine one of up to 2 px (sd, 10 x 10) and a coarse one of up to 3 px (4 x 4)."""
    moves = sum(
        F.interpolate(
            torch.randn((len(images), 2, cells, cells), generator=rng) * uniform(rng, 0, most, len(images), 1, 1, 1),
            size=SIZE,
            mode="bicubic",
        )
        for cells, most in ((10, 2.0), (4, 3.0))
    )
    return moved_by(images, moves, "border")


def with_parts_lost(images: Tensor, rng: torch.Generator) -> Tensor:
    """Up to three soft ellipses of 2 to 7 px are filled with other parts of the picture or with a blur."""
    n = len(images)
    for _ in range(3):
        x, y = uniform(rng, 10, 54, n, 1, 1), uniform(rng, 14, 60, n, 1, 1)
        wide, high = uniform(rng, 2, 7, n, 1, 1), uniform(rng, 2, 7, n, 1, 1)
        inside = torch.sigmoid((1 - ((COLUMNS - x) / wide) ** 2 - ((ROWS - y) / high) ** 2) * 3)[:, None]
        inside = inside * (torch.rand((n, 1, 1, 1), generator=rng) < 0.7)
        shift = int(number(rng, -9, 9)), int(number(rng, -11, 11))
        filling = torch.roll(images, shift, (2, 3)) if number(rng, 0, 1) < 0.65 else blur(images, number(rng, 2, 4))
        images = inside * filling + (1 - inside) * images
    return images


def thickened(images: Tensor, rng: torch.Generator) -> Tensor:
    """Light or dark lines grow by about a pixel."""
    grown = F.max_pool2d(images, 3, 1, 1) if number(rng, 0, 1) < 0.5 else -F.max_pool2d(-images, 3, 1, 1)
    return torch.lerp(images, grown, uniform(rng, 0.3, 1, len(images), 1, 1, 1))


def sharpened(images: Tensor, rng: torch.Generator) -> Tensor:
    """Unsharp masking: loops sharpen their own images."""
    return (images + uniform(rng, 0.5, 3, len(images), 1, 1, 1) * (images - blur(images, number(rng, 0.6, 2.2)))).clamp(
        0, 1
    )


def toned(images: Tensor, rng: torch.Generator) -> Tensor:
    """Random contrast, brightness, gamma and saturation."""
    size, middle = (len(images), 1, 1, 1), images.mean((1, 2, 3), keepdim=True)
    images = (images - middle) * uniform(rng, 0.6, 1.5, *size) + middle + uniform(rng, -0.08, 0.08, *size)
    images = images.clamp(1e-3, 1) ** uniform(rng, -0.45, 0.45, *size).exp()
    grey = (images * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)
    return (grey + (images - grey) * uniform(rng, 0.3, 1.7, *size)).clamp(0, 1)


# -- drawings ------------------------------------------------------------------------------------------


def redrawn(drawn: scene.Scene, rng: np.random.Generator) -> np.ndarray:
    """The scene in another drawing style, uint8 (64, 64, 3): elements dropped or moved, ragged outlines, thick or
    missing lines, other colours."""
    ET.register_namespace("", SVG)
    document = ET.fromstring(scene.svg(drawn))  # noqa: S314 (our own drawing)
    background, figures = document
    _change_figures(figures, rng)
    if rng.random() < 0.3:
        for element in background.iter():
            _recolour(element, partial(_jittered, rng=rng, sd=10))
    png = bytes(resvg_py.svg_to_bytes(svg_string=ET.tostring(document, encoding="unicode")))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _change_figures(figures: ET.Element, rng: np.random.Generator) -> None:
    dropped = rng.uniform(0, 0.16) if rng.random() < 0.7 else 0
    ragged = rng.uniform(0, 0.9) if rng.random() < 0.6 else 0
    shifted = rng.uniform(0, 1.1) if rng.random() < 0.5 else 0
    lines = 0 if rng.random() < 0.25 else rng.uniform(0.4, 2.4)
    ink = _jittered(INK, rng, 25) if rng.random() < 0.5 else INK
    sd, colours = rng.uniform(0, 30), dict[str, str]()

    def coloured(colour: str) -> str:
        if rng.random() < 0.06:
            return _jittered(colour, rng, 90)
        return colours.setdefault(colour, _jittered(colour, rng, sd))  # one part keeps one colour

    for parent in figures.iter(f"{{{SVG}}}g"):
        for element in list(parent):
            if element.tag.endswith("}g"):
                continue
            if rng.random() < dropped:
                parent.remove(element)
                continue
            _recolour(element, coloured)
            if element.get("stroke") == INK:
                element.set("stroke", ink)
            if (width := element.get("stroke-width")) and element.get("fill") != "none":
                element.set("stroke-width", f"{float(width) * lines:.2f}")
            if ragged:
                _roughen(element, ragged, rng)
            if shifted:
                x, y = rng.normal(0, shifted, 2)
                element.set("transform", f"{element.get('transform', '')} translate({x:.2f} {y:.2f})".strip())


def _recolour(element: ET.Element, change: Callable[[str], str]) -> None:
    if (colour := element.get("fill", "")).startswith("#"):
        element.set("fill", change(colour))


def _roughen(element: ET.Element, sd: float, rng: np.random.Generator) -> None:
    """Jitter every point of a path. Paths with arcs stay as they are, because arcs have flags among their numbers."""
    path = element.get("d", "")
    if path and not re.search("[aA]", path):
        element.set("d", NUMBER.sub(lambda at: f" {float(at[0]) + rng.normal(0, sd):.2f}", path))


def _jittered(colour: str, rng: np.random.Generator, sd: float) -> str:
    """A similar colour: '#8a5a33' -> '#855c37'."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) + rng.normal(0, sd, 3)
    return "#" + "".join(f"{int(channel):02x}" for channel in channels.clip(0, 255))
