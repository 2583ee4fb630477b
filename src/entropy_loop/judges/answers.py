"""What every judge holds to: a score that is no number is an error, and a no to a picture of one colour says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from entropy_loop.data import JUDGEMENTS, Samples
from entropy_loop.errors import EntropyLoopError
from entropy_loop.judges import embeddings

if TYPE_CHECKING:
    from PIL import Image

FLAT = "flat picture: one colour"
LEVELS = 2
"""Of 255: how far apart the values of a channel may lie in a picture of one colour."""

Numbers = TypeVar("Numbers", float, np.ndarray)


def finite(told: Numbers, model: str, image: str) -> Numbers:
    """What a model tells of an image. Raises EntropyLoopError when it is not all finite numbers: held against a
    threshold, NaN would be a no."""
    if not np.isfinite(told).all():
        raise EntropyLoopError(f"{model}: its answer for image {image} is not a finite number; nothing was recorded.")
    return told


def judged(rows: Iterable[tuple[str, str, float, float]], model: str, samples: Samples) -> pd.DataFrame:
    """Judgements from (id, concept, score, threshold): a concept is recognised when its score is above its
    threshold. Raises EntropyLoopError at the first score that is not finite.

    A picture of one colour shows no concept, so a no to it is an answer like any other; `reason` tells what it was.
    """
    told = [(image, concept, finite(score, model, image), threshold) for image, concept, score, threshold in rows]
    table = pd.DataFrame(told, columns=list(JUDGEMENTS[:4])).astype({"score": float, "threshold": float})
    answer = table["score"] > table["threshold"]
    refused = samples.table[samples.table["id"].isin(table["id"][~answer])]
    pictures = embeddings.opened(samples.folder / file for file in refused["file"])
    flat = [image for image, picture in zip(refused["id"], pictures, strict=True) if _flat(picture)]
    reason = np.where(~answer & table["id"].isin(flat), FLAT, "")
    return table.assign(answer=answer, reason=reason)


def _flat(picture: Image.Image) -> bool:
    """Whether every channel has one value."""
    return all(np.ptp(extremes) <= LEVELS for extremes in picture.getextrema())
