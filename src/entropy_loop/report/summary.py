"""The end of a run in the terminal: V and c of every arm, generation by generation."""

from __future__ import annotations

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table

from entropy_loop.data import ALL, POOL
from entropy_loop.report.tables import Tables

MISSING = "–"  # noqa: RUF001 (an en dash is how the report writes missing data, too)


def summary(tables: Tables) -> RenderableType:
    """One table per target prompt and judge: V(all) of each generation, c from 0 to the last one."""
    rates = tables.rates[(tables.rates["set"] == POOL) & (tables.rates["role"] == "target")]
    parts: list[RenderableType] = []
    for (prompt, judge), rows in rates.groupby(["prompt", "judge"], sort=False):
        changes = tables.changes[(tables.changes["prompt"] == prompt) & (tables.changes["judge"] == judge)]
        parts += [f"\n{prompt}\njudge {judge}; V of the whole pool; c > 0: recognition fell", _table(rows, changes)]
    parts.append("c with its 95 % interval, this chain only; drift: where c of a perfect copier would lie.")
    return Group(*parts)


def _table(rates: pd.DataFrame, changes: pd.DataFrame) -> Table:
    generations = sorted(rates["generation"].unique())
    table = Table("run", "concept", *(f"V{g}" for g in generations), "c (0 to last)", "drift", box=None)
    for (run, concept), rows in rates.groupby(["run", "concept"], sort=False):
        values = rows.set_index("generation")["rate"]
        whole = changes[(changes["run"] == run) & (changes["concept"] == concept) & (changes["from_generation"] == 0)]
        last = whole[whole["to_generation"] == whole["to_generation"].max()]
        cells = [_number(values.get(g)) for g in generations]
        style = "bold" if concept == ALL else ""
        change = _change(last.iloc[0]) if len(last) else (MISSING, MISSING)
        table.add_row(str(run), str(concept), *cells, *change, style=style)
    return table


def _number(value: float | None) -> str:
    return MISSING if value is None or pd.isna(value) else f"{value:.2f}"


def _change(row: pd.Series) -> tuple[str, str]:
    if pd.isna(row["change_rate"]):
        return MISSING, MISSING
    drift = MISSING if pd.isna(row["drift_low"]) else f"[{row['drift_low']:+.2f}, {row['drift_high']:+.2f}]"
    return f"{row['change_rate']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]", drift
