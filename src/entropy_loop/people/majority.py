"""What most people say of an image, as its label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from entropy_loop.data import Concept
from entropy_loop.errors import ConfigError
from entropy_loop.people.book import answers


def labels(root: Path, concepts: Sequence[Concept]) -> tuple[tuple[Path, ...], pd.DataFrame]:
    """The rated images of a results folder, and one row for each of them, one column per concept (boolean): what more
    than half of those say who could tell; missing where as many say yes as no, or the concept was not asked.

    Raises ConfigError where nobody has rated anything.
    """
    told = answers(root)
    told = told[~told["repeat"] & told["truth"].isna()].dropna(subset=["answer"])
    if told.empty:
        raise ConfigError(f"{root}: nobody has rated its images; `entropy-loop rate {root}` opens the page.")
    share = told.astype({"answer": float}).pivot_table(index="file", columns="concept", values="answer", aggfunc="mean")
    share = share.reindex(columns=[concept.name for concept in concepts])
    truth = (share > 0.5).astype("boolean").mask(share.isna() | (share == 0.5)).reset_index()
    return tuple(root / file for file in truth.pop("file")), truth
