"""The labelled set `loop-truth` as tables: pictures on disk and their labels by eye."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from entropy_loop.data import ALL
from entropy_loop.metrics.rates import joint
from entropy_loop.worlds.storybook import scene

HOME = Path(__file__).parents[5] / "experiments/loop-truth"
LABELS = HOME / "labels.csv"
CANT_TELL, NONE = "can't tell", "none"
QUESTIONS = ("rider", "mount", "relation")


def labelled(*parts: str) -> pd.DataFrame:
    """One row per picture of these parts: its origin and the answers of its first look. Indexed by id."""
    origin = pd.read_csv(HOME / "pictures.csv", index_col="id")
    first = pd.read_csv(LABELS).query("look == 1").set_index("id")[list(QUESTIONS)]
    return origin[origin["part"].isin(parts)].join(first, how="inner").sort_index()


def pixels(ids: pd.Index) -> np.ndarray:
    """uint8 (n, 64, 64, 3)."""
    images = pd.read_parquet(HOME / "pictures.parquet").set_index("id").loc[ids, "image"]
    return np.stack([np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB")) for image in images])


def nobody(table: pd.DataFrame) -> pd.Series:
    """Whether the labels say that there is neither a figure nor an animal."""
    return table["rider"].eq(NONE) & table["mount"].eq(NONE) & table["relation"].eq("neither")


def by_eye(table: pd.DataFrame, concepts: tuple[str, ...]) -> pd.DataFrame:
    """The labels per concept and for `all` (see `rates.joint`), boolean, missing for can't tell."""
    answers = pd.DataFrame({name: _answer(table, name) for name in concepts})
    return answers.assign(**{ALL: joint(answers)})


def _answer(table: pd.DataFrame, concept: str) -> pd.Series:
    column = table[scene.CONCEPTS[concept]]
    return column.eq(concept).astype("boolean").mask(column.eq(CANT_TELL))
