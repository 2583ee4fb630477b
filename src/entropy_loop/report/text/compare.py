"""Several results folders in one table, from their tables alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import DASH, Value, float_or_none, number, span
from entropy_loop.analysis.rows import ComparisonRow
from entropy_loop.data import ALL, POOL
from entropy_loop.report.view import arm_label
from entropy_loop.storage.reading import written

COLUMNS = (
    "results", "arm", "prompt", "judge", "chains", "generation", "v_first", "v_last", "change_rate", "low", "high",
    "null_low", "null_high", "p_adjusted",
)  # fmt: skip


def compare(folders: list[Path]) -> pd.DataFrame:
    """One row (COLUMNS) per results folder, arm, target prompt and judge, on the concept `all`.

    v_first, v_last: mean V over the chains in generation 0 and in the last generation that every chain has.
    change_rate, its t interval, null band and adjusted p: as in summary.csv. Raises ConfigError for a folder without
    results.
    """
    return pd.concat([_comparison(folder) for folder in folders], ignore_index=True)[list(COLUMNS)]


HEADS = (
    "results", "arm", "chains", "V at 0", "V at last", "last", "mean c, 95 %", "drift band of it", "p (Holm)",
)  # fmt: skip


def lines(comparison: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """The rows of `compare` as text, with the cells of HEADS; a missing one is a dash."""
    for row in rows.read(comparison, ComparisonRow):
        first, last, generation = (float_or_none(value) for value in (row.v_first, row.v_last, row.generation))
        v_first, v_last = (DASH if value is None else number(value) for value in (first, last))
        c = Value(
            float_or_none(row.change_rate), float_or_none(row.low), float_or_none(row.high), "V1 = 0, or not finished"
        ).text()
        band = span(float_or_none(row.null_low), float_or_none(row.null_high)) or DASH
        p = float_or_none(row.p_adjusted)
        last_generation = DASH if generation is None else f"{generation:.0f}"
        arm = row.results, arm_label(row.arm), str(row.chains)
        yield *arm, v_first, v_last, last_generation, c, band, DASH if p is None else number(p, 3)


def _comparison(folder: Path) -> pd.DataFrame:
    rates, summary = (written(folder / name) for name in ("rates.csv", "summary.csv"))
    pools = rates[(rates["set"] == POOL) & (rates["concept"] == ALL) & (rates["role"] == "target")]
    claims = summary[(summary["statistic"] == "change_rate") & summary["against"].isna() & (summary["concept"] == ALL)]
    by, arms = ["arm", "prompt", "judge"], []
    for key, group in pools.groupby(by, sort=False):
        values = group.pivot(index="seed", columns="generation", values="rate").dropna(axis="columns")
        arm = dict(zip(by, key, strict=True)) | {"results": folder.name, "chains": len(values)}
        if not values.empty:
            means = values.mean()
            arm |= {"generation": means.index[-1], "v_first": means.iloc[0], "v_last": means.iloc[-1]}
        arms.append(arm)
    table = pd.DataFrame(arms, columns=[*by, "results", "chains", "generation", "v_first", "v_last"])
    claim_columns = [*by, "mean", "low", "high", "null_low", "null_high", "p_adjusted"]
    return table.merge(claims[claim_columns], on=by, how="left").rename(columns={"mean": "change_rate"})
