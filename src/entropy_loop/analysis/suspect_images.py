"""Warnings about images that are black, of one colour, equal to another or flagged by a safety checker, and about sets
of which a safety checker withheld some. The tables count suspect images like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

FAINT = 8
"""Of 255: an image is black if its brightest value is at most this, of one colour if its values span at most this.
Judges are stricter (`judges.answers.LEVELS`, per channel): they give no answer on such an image, this only warns."""
LEAST_SHARE = 0.01
"""Share of a set's images above which it gets a warning."""
LISTED = 5
"""Sets that get a warning of their own."""
SET_COLUMNS = ["run", "set", "generation", "prompt"]


def warnings(images: pd.DataFrame, withheld: pd.DataFrame) -> list[str]:
    """One sentence per set of which more than LEAST_SHARE is suspect or withheld, the worst set first; after LISTED
    sets one sentence counts the others.

    images, withheld: columns as `data.IMAGES` and `data.WITHHELD`. Images without pixel statistics are left out: toys
    draw none, and earlier versions recorded none.
    """
    sets = sorted([*_suspect(images.dropna(subset=["brightest"])), *_withheld(withheld)], reverse=True)
    sentences = [sentence for _, sentence in sets[:LISTED]]
    more = len(sets) - LISTED
    return sentences + ([f"The same holds for {more} more set{'s' if more > 1 else ''}."] if more > 0 else [])


def _suspect(images: pd.DataFrame) -> Iterator[tuple[float, str]]:
    """(share of suspect images, sentence) of each set of one prompt."""
    for (chain, name, generation, prompt), rows in images.groupby(SET_COLUMNS):
        black = rows["brightest"] <= FAINT
        flat = (rows["brightest"] - rows["darkest"] <= FAINT) & ~black
        counts = {
            "black": int(black.sum()),
            "of one colour": int(flat.sum()),
            "the same as another": int(rows["pixel_sha256"].duplicated().sum()),
            "flagged by the safety checker": int(rows["flagged"].sum()),
        }
        parts = [f"{count} {kind}" for kind, count in counts.items() if count > LEAST_SHARE * len(rows)]
        if parts:
            where = f"{chain}, {name} of generation {generation}, \u201c{prompt}\u201d"
            yield (
                sum(counts.values()) / len(rows),
                f"{where}: of {len(rows)} images {', '.join(parts)}; they are counted like any other.",
            )


def _withheld(sets: pd.DataFrame) -> Iterator[tuple[float, str]]:
    """(share of withheld images, sentence) of each set."""
    for chain, generation, name, asked, withheld in sets.itertuples(index=False):
        if withheld > LEAST_SHARE * asked:
            yield (
                withheld / asked,
                f"{chain}, {name} of generation {generation}: the safety checker withheld {withheld} of {asked} "
                "images; all figures are of the others, and nothing is claimed.",
            )
