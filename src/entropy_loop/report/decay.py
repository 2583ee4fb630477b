"""Diversity, distance, noise and tails of every pool, as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from entropy_loop.data import Prompt
from entropy_loop.report.numbers import Value, some
from entropy_loop.report.view import View

HEADS = {
    "vendi": "Vendi score", "mean_pairwise_distance": "mean pairwise distance", "cmmd": "CMMD to generation 0",
    "coverage": "coverage of generation 0", "high_frequency_share": "high-frequency share",
    "bytes_per_pixel": "bytes per pixel", "intensity_entropy": "intensity entropy",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A number, and whether it lies outside the band that it would have without any change."""

    value: Value
    outside: bool


@dataclass(frozen=True)
class Decay:
    """heads: what is in the columns. chains: (chain, (generation, a cell or None for each column))."""

    heads: list[str]
    chains: list[tuple[str, list[tuple[int, list[Cell | None]]]]]


def decay(view: View, prompt: Prompt) -> Decay | None:
    """The measures of one prompt's pools; None where nothing but recognition was measured."""
    tables = view.tables
    named = pd.concat([tables.diversity, tables.noise], ignore_index=True).rename(columns={"metric": "column"})
    entropies = tables.tails[tables.tails["item"] == "entropy"].rename(columns={"attribute": "column"})
    rows = pd.concat([named[named["column"].isin(HEADS)], entropies], ignore_index=True)
    rows = rows[rows["prompt"] == prompt.text]
    if rows.empty:
        return None
    order = [name for name in (*HEADS, *dict.fromkeys(entropies["column"])) if name in set(rows["column"])]
    cells = {(row.run, row.generation, row.column): _cell(row) for row in rows.itertuples()}
    chains = [
        (chain.name, [(g, [cells.get((chain.run.name, g, name)) for name in order]) for g in range(chain.last + 1)])
        for chain in view.chains
    ]
    return Decay([HEADS.get(name, f"entropy of {name}, bits") for name in order], chains)


def _cell(row: Any) -> Cell:
    value, low, high = some(row.value), some(row.null_low), some(row.null_high)
    outside = value is not None and low is not None and high is not None and not low <= value <= high
    reason = "" if pd.isna(row.reason) else str(row.reason)
    return Cell(Value(value, some(row.low), some(row.high), reason if value is None else ""), outside)
