"""Rules of every judge: a score that is not finite is an error, and a no to a picture of one colour says so."""

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
"""Largest range of a channel in a picture of one colour, in 8-bit levels."""

Numbers = TypeVar("Numbers", float, np.ndarray)


def finite(answer: Numbers, model: str, image: str) -> Numbers:
    """The answer itself. Raises EntropyLoopError when not all its numbers are finite: against a threshold, NaN would
    count as a no."""
    if not np.isfinite(answer).all():
        raise EntropyLoopError(f"{model}: its answer for image {image} is not a finite number; nothing was recorded.")
    return answer


def judgements(rows: Iterable[tuple[str, str, float, float]], model: str, samples: Samples) -> pd.DataFrame:
    """Table of judgements (`data.JUDGEMENTS`) from rows (id, concept, score, threshold): a concept is recognised when
    its score is above its threshold. Raises EntropyLoopError at the first score that is not finite.

    A no to a picture of one colour is an answer like any other; its `reason` is FLAT.
    """
    checked = [(image, concept, finite(score, model, image), threshold) for image, concept, score, threshold in rows]
    table = pd.DataFrame(checked, columns=list(JUDGEMENTS[:4])).astype({"score": float, "threshold": float})
    answer = table["score"] > table["threshold"]
    negatives = samples.table[samples.table["id"].isin(table["id"][~answer])]
    pictures = embeddings.open_images(samples.folder / file for file in negatives["file"])
    flat = [image for image, picture in zip(negatives["id"], pictures, strict=True) if _flat(picture)]
    reason = np.where(~answer & table["id"].isin(flat), FLAT, "")
    return table.assign(answer=answer, reason=reason)


def _flat(picture: Image.Image) -> bool:
    """Whether a picture is of one colour."""
    return all(np.ptp(extremes) <= LEVELS for extremes in picture.getextrema())
