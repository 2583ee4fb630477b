"""The end of a run in the terminal: V and c of every arm, generation by generation."""

from __future__ import annotations

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table

from entropy_loop.data import ALL, POOL
from entropy_loop.report.tables import Tables

MISSING = "–"  # noqa: RUF001 (an en dash is how the report writes missing data, too)


def summary(tables: Tables) -> RenderableType:
    """One table per target prompt and judge: V of each generation, c of each step and from 0 to the last."""
    rates = tables.rates[(tables.rates["set"] == POOL) & (tables.rates["role"] == "target")]
    parts: list[RenderableType] = []
    for (prompt, judge), rows in rates.groupby(["prompt", "judge"], sort=False):
        changes = tables.changes[(tables.changes["prompt"] == prompt) & (tables.changes["judge"] == judge)]
        parts += [f"\n{prompt}\njudge {judge}; V of the whole pool; c > 0: recognition fell", _table(rows, changes)]
    parts.append("c with its 95 % interval, this chain only; drift: where c of a perfect copier would lie.")
    return Group(*parts)


def _table(rates: pd.DataFrame, changes: pd.DataFrame) -> Table:
    """Under the joint concept, which is bold, stands its c from each generation to the next."""
    generations = sorted(rates["generation"].unique())
    table = Table("run", "", *(f"{g}" for g in generations), "c (0 to last)", "drift", box=None)
    for (run, concept), rows in rates.groupby(["run", "concept"], sort=False):
        values = rows.set_index("generation")["rate"]
        mine = changes[(changes["run"] == run) & (changes["concept"] == concept)].set_index("to_generation")
        whole = mine[mine["from_generation"] == 0].tail(1)
        change = _change(whole.iloc[0]) if len(whole) else (MISSING, MISSING)
        joint = concept == ALL
        cells = (_number(values.get(g)) for g in generations)
        table.add_row(str(run), f"V {concept}", *cells, *change, style="bold" if joint else "")
        if joint:
            steps = mine[mine["from_generation"] == mine.index - 1]["change_rate"]
            table.add_row("", f"c {concept}", *(_number(steps.get(g), "+") for g in generations), end_section=True)
    return table


def _number(value: float | None, sign: str = "") -> str:
    return MISSING if value is None or pd.isna(value) else f"{value:{sign}.2f}"


def _change(row: pd.Series) -> tuple[str, str]:
    if pd.isna(row["change_rate"]):
        return MISSING, MISSING
    drift = MISSING if pd.isna(row["drift_low"]) else f"[{row['drift_low']:+.2f}, {row['drift_high']:+.2f}]"
    return f"{row['change_rate']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]", drift
