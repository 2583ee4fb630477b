"""Rows of tables: as dicts to write, and as named tuples of the columns that the report reads. Empty cells are NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import pandas as pd

Row = dict[str, object]
"""Column -> its cell."""
Text = str | float
"""A cell of text; NaN where it is empty."""
RowType = TypeVar("RowType")


def read(table: pd.DataFrame, row_type: Callable[..., RowType]) -> list[RowType]:
    """The rows of a table as one of the classes below; a column that the table lacks is NaN."""
    cells = table.reindex(columns=list(row_type.__annotations__))
    return [row_type(*row) for row in cells.itertuples(index=False, name=None)]


class RateRow(NamedTuple):
    """Of rates.csv."""

    run: str
    prompt: str
    judge: str
    concept: str
    generation: int
    n: int
    hits: float
    rate: float
    low: float
    high: float
    reason: Text


class ChangeRow(NamedTuple):
    """Of changes.csv."""

    run: str
    prompt: str
    judge: str
    concept: str
    from_generation: int
    to_generation: int
    v1: float
    v2: float
    change_rate: float
    low: float
    high: float
    sampling_low: float
    sampling_high: float
    drift_low: float
    drift_high: float
    reason: Text


class ClaimRow(NamedTuple):
    """Of summary.csv."""

    arm: str
    against: str
    generation: int
    prompt: str
    concept: str
    judge: str
    chains: int
    mean: float
    low: float
    high: float
    null_low: float
    null_high: float
    sampling_low: float
    sampling_high: float
    p: float
    p_adjusted: float
    reason: str


class ComparisonRow(NamedTuple):
    """Of the table of `report.text.compare`."""

    results: str
    arm: str
    chains: int
    generation: float
    v_first: float
    v_last: float
    change_rate: float
    low: float
    high: float
    null_low: float
    null_high: float
    p_adjusted: float


class VerdictRow(NamedTuple):
    """Of verdicts.csv, with the state of each family of instruments."""

    arm: str
    prompt: str
    judge: str
    verdict: str
    margin: float
    recognition: str
    noise: str
    diversity: str
    tails: str
    distance: str
    subcutaneous: bool
    chains: int


class InstrumentRow(NamedTuple):
    """Of instruments.csv."""

    instrument: str
    metric: str
    mean: float
    low: float
    high: float
    state: str


class LedgerRow(NamedTuple):
    """Of ledger.csv."""

    generation: int
    v_pool: float
    v_kept: float
    v_diet: float
    v_next: float
    curation: float
    curation_low: float
    curation_high: float
    training: float
    response: float


class MeasureRow(NamedTuple):
    """Of diversity.csv, noise.csv or tails.csv. column: the metric, or the attribute of an entropy."""

    run: str
    generation: int
    column: str
    value: float
    low: float
    high: float
    null_low: float
    null_high: float
    reason: Text


class AgreementRow(NamedTuple):
    """Of agreement.csv."""

    concept: str
    statistic: str
    n: int
    value: float
    low: float
    high: float
    reason: Text


class CheckRow(NamedTuple):
    """Of checks.csv."""

    concept: str
    check: str
    n: int
    hits: int
    rate: float
    alarm: str


class JudgementRow(NamedTuple):
    """Of judgements.parquet. answer: NA or NaN where it is missing."""

    concept: str
    score: float
    threshold: float
    answer: bool | None
    reason: Text


class ImageRow(NamedTuple):
    """Of images.parquet."""

    run: str
    generation: int
    set: str
    id: str
    prompt: str
    image_seed: int
    file: str
    score: float
    rank: float
    kept: bool | None
