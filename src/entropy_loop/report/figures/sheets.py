"""Contact sheets: grids of images with a mark and a note each, drawn with Pillow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

SHEET_SIDE = 128  # pixels of an image's longer side on a sheet
PAGE_SIDE = 192  # the same in the page, where a card enlarges it
GAP, FOOT = 10, 24  # pixels between images, and below each for its mark
INK, MUTED, PAPER = (29, 35, 40), (102, 112, 122), (255, 255, 255)
YES, FRAME = (0, 158, 115), (0, 114, 178)

Mark = Literal["yes", "no", "missing", ""]


@dataclass(frozen=True)
class Cell:
    """One image of a sheet. file: None if there is no image. mark: a dot below it. note: a word below it, or in place
    of a missing image. framed: it was kept."""

    file: Path | None
    mark: Mark = ""
    note: str = ""
    framed: bool = False


def sheet(rows: Sequence[Sequence[Cell]], columns: Sequence[str], labels: Sequence[str]) -> Image.Image:
    """The sheet; columns: a header each, or none; labels: one before each row, or none."""
    left = GAP + max((int(_font(14).getlength(label)) + GAP for label in labels), default=0)
    top = GAP + (22 if columns else 0)
    width, height = _cell_size(rows)
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
        draw.rectangle((x - 4, y - 4, x + width + 3, y + height + 3), fill=FRAME)
    page.paste(scaled(cell.file), at)
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
    """A mark of 12 x 12 pixels: a filled dot (yes), a ring (no), a dash (missing)."""
    large = Image.new("RGB", (96, 96), PAPER)  # scaled down below, for smooth edges
    draw = ImageDraw.Draw(large)
    if mark == "yes":
        draw.ellipse((12, 12, 84, 84), fill=YES)
    elif mark == "no":
        draw.ellipse((14, 14, 82, 82), outline=(150, 158, 166), width=10)
    elif mark == "missing":
        draw.rectangle((16, 42, 80, 54), fill=MUTED)
    return large.resize((12, 12), Image.Resampling.LANCZOS)


def scaled(file: Path) -> Image.Image:
    """The image at about SHEET_SIDE pixels: a small one enlarged by a whole factor, a large one scaled down."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    longer = max(image.size)
    if longer > SHEET_SIDE:
        size = tuple(max(1, round(side * SHEET_SIDE / longer)) for side in image.size)
        return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    factor = SHEET_SIDE // longer
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _cell_size(rows: Sequence[Sequence[Cell]]) -> tuple[int, int]:
    """(width, height) of an image; all images of a sheet come from one model and have the size of the first."""
    first = next((cell.file for row in rows for cell in row if cell.file and cell.file.is_file()), None)
    return scaled(first).size if first else (SHEET_SIDE, SHEET_SIDE)


def png(image: Image.Image) -> bytes:
    """The image as PNG."""
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=5)  # level 7 takes twice as long and saves 2 %
    return data.getvalue()


def webp(file: Path) -> tuple[bytes, tuple[int, int]]:
    """An image for the page as WebP, and its (width, height): a small one lossless, a large one scaled down."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    small = max(image.size) <= SHEET_SIDE
    image.thumbnail((PAGE_SIDE, PAGE_SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    # The slower methods take 27 times as long and save 8 % of a small image.
    image.save(data, "WEBP", lossless=small, quality=80, method=0 if small else 4)
    return data.getvalue(), image.size
