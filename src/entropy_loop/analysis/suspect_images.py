"""Images that show nothing, or the same as another, or that a safety checker objects to: they are counted like any
other, so the reader is told of them; and sets of which it kept some back."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

FAINT = 8
"""Of 255: an image whose brightest value is no higher is black, one whose values lie no further apart of one colour.
Judges are stricter (`judges.answers.LEVELS`, per channel): their reason names a picture that shows nothing, while this
only warns, from the one lowest and one highest value that are known of an image."""
SHARE = 0.01
"""Of a set's images: above it the reader is told."""
LISTED = 5
"""Sets that are told of one by one."""
WHERE = ["run", "set", "generation", "prompt"]


def warnings(images: pd.DataFrame, withheld: pd.DataFrame) -> list[str]:
    """A sentence for each set of one prompt in which more than SHARE of the images are black, of one colour, equal to
    another or flagged, and for each set of which more than SHARE was withheld, the worst first; the last sentence
    counts those that are not listed. images, withheld: columns as `data.IMAGES` and `data.WITHHELD`; images of which
    nothing is known (toys draw none, earlier versions did not look) are left out."""
    found = sorted([*_spoilt(images.dropna(subset=["brightest"])), *_withheld(withheld)], reverse=True)
    told = [sentence for _, sentence in found[:LISTED]]
    more = len(found) - LISTED
    return told + ([f"So it is in {more} more set{'s' if more > 1 else ''}."] if more > 0 else [])


def _spoilt(images: pd.DataFrame) -> Iterator[tuple[float, str]]:
    """(share of images, sentence)."""
    for (chain, name, generation, prompt), rows in images.groupby(WHERE):
        black = rows["brightest"] <= FAINT
        flat = (rows["brightest"] - rows["darkest"] <= FAINT) & ~black
        counts = {
            "black": int(black.sum()),
            "of one colour": int(flat.sum()),
            "the same as another": int(rows["pixel_sha256"].duplicated().sum()),
            "flagged by the safety checker": int(rows["flagged"].sum()),
        }
        told = [f"{count} {what}" for what, count in counts.items() if count > SHARE * len(rows)]
        if told:
            where = f"{chain}, {name} of generation {generation}, \u201c{prompt}\u201d"
            yield (
                sum(counts.values()) / len(rows),
                f"{where}: of {len(rows)} images {', '.join(told)}; they are counted like any other.",
            )


def _withheld(sets: pd.DataFrame) -> Iterator[tuple[float, str]]:
    """(share of the images that were asked for, sentence)."""
    for chain, generation, name, asked, withheld in sets.itertuples(index=False):
        if withheld > SHARE * asked:
            yield (
                withheld / asked,
                f"{chain}, {name} of generation {generation}: the safety checker withheld {withheld} of {asked} "
                "images; all figures are of the others, and nothing is claimed.",
            )
