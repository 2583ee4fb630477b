"""Contact sheets: what a cell shows."""

from pathlib import Path

import pytest
from PIL import Image

from entropy_loop.report.figures.sheets import FRAME, SHEET_SIDE, YES, Cell, dot, png, scaled, sheet


def picture(folder: Path, *size: int) -> Path:
    """A PNG in which every pixel has a colour of its own."""
    image = Image.new("RGB", (size[0], size[1]))
    image.putdata([(x % 256, y % 256, 90) for y in range(size[1]) for x in range(size[0])])
    image.save(folder / f"{size}.png")
    return folder / f"{size}.png"


def test_small_images_are_enlarged_without_smoothing(tmp_path: Path) -> None:
    """A 64-pixel image is shown twice as large: each pixel is a block of its own colour, none is made up."""
    file = picture(tmp_path, 64, 64)
    large = scaled(file)
    assert large.size == (128, 128)
    assert large.resize((64, 64), Image.Resampling.NEAREST).tobytes() == Image.open(file).tobytes()
    assert set(large.get_flattened_data()) == set(Image.open(file).get_flattened_data())


@pytest.mark.parametrize(
    ("size", "expected"), [((512, 512), (128, 128)), ((768, 512), (128, 85)), ((96, 96), (96, 96))]
)
def test_large_images_are_scaled_down(tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    """The longer side is at most what a sheet shows, and the shape stays."""
    assert scaled(picture(tmp_path, *size)).size == expected
    assert max(expected) <= SHEET_SIDE


def test_kept_images_are_framed(tmp_path: Path) -> None:
    """The frame lies around the image and covers none of it; an image that was not kept has none."""
    file = picture(tmp_path, 64, 64)
    framed, plain = (sheet([[Cell(file, framed=kept)]], [], []) for kept in (True, False))
    assert FRAME in set(framed.get_flattened_data())
    assert FRAME not in set(plain.get_flattened_data())
    box = (10, 10, 138, 138)
    assert framed.crop(box).tobytes() == plain.crop(box).tobytes() == scaled(file).tobytes()


def test_marks_differ_without_colour() -> None:
    """Recognised, not recognised and not judged are told apart in grey, too."""
    grey = {mark: dot(mark).convert("L").tobytes() for mark in ("yes", "no", "missing")}
    assert len(set(grey.values())) == 3
    assert dot("yes").getpixel((6, 6)) == YES
    assert dot("no").getpixel((6, 6)) == (255, 255, 255)


def test_sheet_is_deterministic(tmp_path: Path) -> None:
    """The same images give the same bytes; an image that is not there leaves its place and says so."""
    rows = [[Cell(picture(tmp_path, 64, 64), "yes", "rank 1"), Cell(None)]]
    first, again = (sheet(rows, ["generation 0", "1"], ["none"]) for _ in range(2))
    assert png(first) == png(again)
    assert first.width > 2 * SHEET_SIDE


def test_a_lost_file_is_not_an_image_to_come(tmp_path: Path) -> None:
    """An image whose file is gone and one that is not made yet have different words in their places."""
    lost, to_come = (sheet([[Cell(file)]], [], []) for file in (tmp_path / "gone.png", None))
    assert lost.size == to_come.size
    assert png(lost) != png(to_come)
