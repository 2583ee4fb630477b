"""Labels of images by majority vote of the raters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from entropy_loop.data import Concept
from entropy_loop.errors import ConfigError
from entropy_loop.people.book import answers


def labels(root: Path, concepts: Sequence[Concept]) -> tuple[tuple[Path, ...], pd.DataFrame]:
    """The rated images of a results folder and their labels: one row per image, one boolean column per concept.

    A label is the majority of the raters who could tell, without repeats. It is missing on a tie and where the concept
    was not asked. Raises ConfigError where nobody has rated anything.
    """
    votes = answers(root)
    votes = votes[~votes["repeat"] & votes["truth"].isna()].dropna(subset=["answer"])
    if votes.empty:
        raise ConfigError(f"{root}: nobody has rated its images. `entropy-loop rate {root}` opens the rating page.")
    votes = votes.astype({"answer": float})
    share = votes.pivot_table(index="file", columns="concept", values="answer", aggfunc="mean")
    share = share.reindex(columns=[concept.name for concept in concepts])
    majority = (share > 0.5).astype("boolean").mask(share.isna() | (share == 0.5)).reset_index()
    return tuple(root / file for file in majority.pop("file")), majority
