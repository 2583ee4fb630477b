"""Contact sheets: images side by side with what is said about each; Pillow alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

SHOWN = 128  # pixels of an image's longer side on a sheet
PAGE = 192  # the same in the page, where a card shows it larger
GAP, FOOT = 10, 24  # between images; below each one, for its mark
INK, MUTED, PAPER = (29, 35, 40), (102, 112, 122), (255, 255, 255)
YES, KEPT = (0, 158, 115), (0, 114, 178)

Mark = Literal["yes", "no", "missing", ""]


@dataclass(frozen=True)
class Cell:
    """One image of a sheet. file: None for an image that is not there. mark: a dot below it; note: a word below it, or
    in its place."""

    file: Path | None
    mark: Mark = ""
    note: str = ""
    framed: bool = False


def sheet(rows: Sequence[Sequence[Cell]], columns: Sequence[str], labels: Sequence[str]) -> Image.Image:
    """A header for every column and a label before every row; either may be empty."""
    left = GAP + max((int(_font(14).getlength(label)) + GAP for label in labels), default=0)
    top = GAP + (22 if columns else 0)
    width, height = _largest(rows)
    across, down = width + GAP, height + FOOT
    page = Image.new("RGB", (left + across * max(map(len, rows)), top + down * len(rows) + 2), PAPER)
    draw = ImageDraw.Draw(page)
    for i, text in enumerate(columns):
        draw.text((left + i * across + width / 2, GAP), text, INK, _font(14), anchor="mt")
    for j, row in enumerate(rows):
        y = top + j * down
        if labels:
            draw.text((GAP, y + height / 2), labels[j], INK, _font(14), anchor="lm")
        for i, cell in enumerate(row):
            _place(page, draw, cell, (left + i * across, y), (width, height))
    return page


def _place(
    page: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int], size: tuple[int, int]
) -> None:
    (x, y), (width, height) = at, size
    if cell.file is None or not cell.file.is_file():
        draw.rectangle((x, y, x + width - 1, y + height - 1), outline=(210, 214, 218))
        draw.text((x + width / 2, y + height / 2), _absent(cell), MUTED, _font(12), anchor="mm")
        return
    if cell.framed:
        draw.rectangle((x - 4, y - 4, x + width + 3, y + height + 3), fill=KEPT)
    page.paste(shown(cell.file), at)
    if cell.note:
        draw.text((x + width / 2, y + height + 5), cell.note, MUTED, _font(11), anchor="mt")
    if cell.mark:
        page.paste(dot(cell.mark), (x + width // 2 - 6, y + height + 5))


def _absent(cell: Cell) -> str:
    return "file missing" if cell.file else cell.note or "not made yet"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def dot(mark: Mark) -> Image.Image:
    """12 x 12: a filled dot (yes), a ring (no), a dash (missing); drawn larger and scaled down, so it is smooth."""
    large = Image.new("RGB", (96, 96), PAPER)
    draw = ImageDraw.Draw(large)
    if mark == "yes":
        draw.ellipse((12, 12, 84, 84), fill=YES)
    elif mark == "no":
        draw.ellipse((14, 14, 82, 82), outline=(150, 158, 166), width=10)
    elif mark == "missing":
        draw.rectangle((16, 42, 80, 54), fill=MUTED)
    return large.resize((12, 12), Image.Resampling.LANCZOS)


def shown(file: Path) -> Image.Image:
    """The image at about SHOWN pixels: small ones by whole factors without smoothing, large ones scaled down."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    longer = max(image.size)
    if longer > SHOWN:
        size = tuple(max(1, round(side * SHOWN / longer)) for side in image.size)
        return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    factor = SHOWN // longer
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _largest(rows: Sequence[Sequence[Cell]]) -> tuple[int, int]:
    """The place of one image: all images of a sheet come from one model, so the first one tells."""
    first = next((cell.file for row in rows for cell in row if cell.file and cell.file.is_file()), None)
    return shown(first).size if first else (SHOWN, SHOWN)


def png(image: Image.Image) -> bytes:
    """The picture, lossless."""
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=7)
    return data.getvalue()


def webp(file: Path) -> tuple[bytes, tuple[int, int]]:
    """An image for the page, and its size: a small one as it is, a large one scaled down and compressed."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    small = max(image.size) <= SHOWN
    image.thumbnail((PAGE, PAGE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "WEBP", lossless=small, quality=80)
    return data.getvalue(), image.size
