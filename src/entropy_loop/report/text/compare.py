"""Several results folders side by side, from their tables alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import DASH, Value, number, some, span
from entropy_loop.analysis.rows import ComparedRow
from entropy_loop.data import ALL, POOL
from entropy_loop.report.view import spoken
from entropy_loop.storage.reading import written

COLUMNS = (
    "results", "arm", "prompt", "judge", "chains", "generation", "v_first", "v_last", "change_rate", "low", "high",
    "null_low", "null_high", "p_adjusted",
)  # fmt: skip


def compare(folders: list[Path]) -> pd.DataFrame:
    """One row per results folder, arm, target prompt and judge, for `all` (columns COLUMNS).

    v_first, v_last: mean over the chains of V in generation 0 and in the last one that every chain of the arm has.
    change_rate with its t interval, null band and adjusted p: as in summary.csv. Raises ConfigError for a folder
    without results.
    """
    return pd.concat([_of(folder) for folder in folders], ignore_index=True)[list(COLUMNS)]


HEADS = (
    "results", "arm", "chains", "V first", "V last", "generation", "c, 95 % over chains", "drift band of c", "p (Holm)",
)  # fmt: skip


def lines(found: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """One line of text per row, cells as in HEADS; what is missing is a dash."""
    for row in rows.read(found, ComparedRow):
        first, last, generation = (some(value) for value in (row.v_first, row.v_last, row.generation))
        v_first, v_last = (DASH if value is None else number(value) for value in (first, last))
        c = Value(some(row.change_rate), some(row.low), some(row.high), "V1 = 0, or not finished").text()
        band = span(some(row.null_low), some(row.null_high)) or DASH
        p = some(row.p_adjusted)
        told = row.results, spoken(row.arm), str(row.chains), v_first, v_last
        reached = DASH if generation is None else f"{generation:.0f}"
        yield *told, reached, c, band, DASH if p is None else number(p, 3)


def _of(folder: Path) -> pd.DataFrame:
    rates, summary = (written(folder / name) for name in ("rates.csv", "summary.csv"))
    pools = rates[(rates["set"] == POOL) & (rates["concept"] == ALL) & (rates["role"] == "target")]
    claims = summary[(summary["statistic"] == "change_rate") & summary["against"].isna() & (summary["concept"] == ALL)]
    by, found = ["arm", "prompt", "judge"], []
    for key, mine in pools.groupby(by, sort=False):
        values = mine.pivot(index="seed", columns="generation", values="rate").dropna(axis="columns")
        told = dict(zip(by, key, strict=True)) | {"results": folder.name, "chains": len(values)}
        if not values.empty:
            means = values.mean()
            told |= {"generation": means.index[-1], "v_first": means.iloc[0], "v_last": means.iloc[-1]}
        found.append(told)
    table = pd.DataFrame(found, columns=[*by, "results", "chains", "generation", "v_first", "v_last"])
    wanted = [*by, "mean", "low", "high", "null_low", "null_high", "p_adjusted"]
    return table.merge(claims[wanted], on=by, how="left").rename(columns={"mean": "change_rate"})
