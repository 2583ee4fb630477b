"""Black, flat and equal images are reported, with counts."""

from __future__ import annotations

import pandas as pd

from entropy_loop import data
from entropy_loop.analysis import suspect_images

NONE = pd.DataFrame(columns=list(data.WITHHELD))
SET = {"run": "none/seed=0", "set": "pool", "generation": 3, "prompt": "a horse"}


def images(black: int, flat: int, same: int, n: int, **where: object) -> pd.DataFrame:
    """A set of n images, so many of them suspect in each way."""
    ranges = [(0, 3)] * black + [(100, 104)] * flat + [(0, 255)] * (n - black - flat)
    hashes = [f"{i if i < n - same else 0}" for i in range(n)]
    rows = [
        SET | where | {"darkest": low, "brightest": high, "pixel_sha256": pixels}
        for (low, high), pixels in zip(ranges, hashes, strict=True)
    ]
    return data.columns(pd.DataFrame(rows), data.IMAGES)


def test_suspect_images_are_counted_by_kind():
    """One sentence for a set: which, how many images, how many of each kind."""
    (warning,) = suspect_images.warnings(images(5, 3, 2, 100), NONE)
    assert "none/seed=0, pool of generation 3" in warning
    assert "of 100 images 5 black, 3 of one colour, 2 the same as another" in warning


def test_one_suspect_image_in_a_hundred_is_no_warning():
    """One black image of a hundred is no warning, and neither is a set of images that are all different."""
    assert suspect_images.warnings(images(1, 1, 1, 100), NONE) == []
    assert suspect_images.warnings(images(0, 0, 0, 10), NONE) == []


def test_the_worst_come_first_and_the_rest_is_counted():
    """Five sets one by one, then how many more."""
    every = pd.concat([images(g, 0, 0, 20, generation=g) for g in range(8)])
    warnings = suspect_images.warnings(every, NONE)
    assert len(warnings) == suspect_images.LISTED + 1
    assert "of 20 images 7 black" in warnings[0]
    assert warnings[-1] == "The same holds for 2 more sets."


def test_images_without_pixels_raise_no_warning():
    """A toy's images have no pixels: there is no warning."""
    nothing = data.columns(pd.DataFrame([SET] * 5), data.IMAGES)
    assert suspect_images.warnings(nothing, NONE) == []


def test_images_that_a_safety_checker_flags_are_counted():
    """Flagged images are counted like the other kinds."""
    (warning,) = suspect_images.warnings(images(0, 0, 0, 10).assign(flagged=[True] * 3 + [False] * 7), NONE)
    assert "of 10 images 3 flagged by the safety checker; they are counted like any other" in warning


def test_images_that_a_safety_checker_withholds_are_counted():
    """Set by set, the worst first: also of one of which it left nothing, but not of one in a hundred."""
    sets = [("a", 0, "pool", 100, 1), ("a", 1, "pool", 100, 6), ("a", 1, "evaluation", 8, 8)]
    warnings = suspect_images.warnings(images(0, 0, 0, 10), pd.DataFrame(sets, columns=list(data.WITHHELD)))
    assert len(warnings) == 2
    assert "a, evaluation of generation 1: the safety checker withheld 8 of 8 images" in warnings[0]
    assert "a, pool of generation 1: the safety checker withheld 6 of 100 images; all figures are of the" in warnings[1]
