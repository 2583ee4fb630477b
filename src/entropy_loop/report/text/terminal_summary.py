"""The summary that a run prints at its end: V and c of all concepts by generation, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import DASH, MINUS, band, change_value, number, span
from entropy_loop.analysis.rows import ChangeRow
from entropy_loop.analysis.tables import Tables
from entropy_loop.data import ALL, POOL
from entropy_loop.report.view import arm_label

COLUMNS = 11  # generations in a line; of a longer run every n-th one and the last

HEAD = f"""V: share of the pool in which a concept is recognised; all: all in one image
c = (V1 {MINUS} V2)/V1, from the generation before; c > 0: recognition fell"""
LEGEND = """[ ]: 95 % interval of c, of this chain only. drift: where c lies in 95 of 100
chains if training loses nothing and images are kept at random."""


def summary(tables: Tables) -> str:
    """Per target prompt and judge, chain by chain: V of the pools, c of each step and from 0 to the last one."""
    rates = tables.rates[(tables.rates["set"] == POOL) & (tables.rates["role"] == "target")]
    lines: list[str] = []
    for (prompt, judge), group in rates.groupby(["prompt", "judge"], sort=False):
        changes = tables.changes[(tables.changes["prompt"] == prompt) & (tables.changes["judge"] == judge)]
        shown = _thinned(sorted(group["generation"].unique()))
        lines += ["", str(prompt), f"judge: {judge}", HEAD, ""]
        lines.append(_line("generation", [str(g) for g in shown]))
        for (run, arm, seed), pools in group.groupby(["run", "arm", "seed"], sort=False):
            name = f"{arm_label(str(arm))}, seed {seed}"
            lines += _chain(name, pools, changes[changes["run"] == run], shown)
    return "\n".join([*lines, "", LEGEND])


def _chain(chain: str, rates: pd.DataFrame, changes: pd.DataFrame, shown: list[int]) -> Iterator[str]:
    values = rates.pivot(index="generation", columns="concept", values="rate")
    joint = changes[changes["concept"] == ALL]
    steps = joint[joint["from_generation"] == joint["to_generation"] - 1].set_index("to_generation")["change_rate"]
    yield chain
    yield _line("  V all", [_number(values[ALL].get(g)) for g in shown])
    yield _line("  c all", [_number(steps.get(g)) for g in shown])
    parts = [f"{c} {_number(values[c].iloc[-1])}" for c in rates["concept"].unique() if c != ALL]
    yield _wrapped(f"V at generation {values.index[-1]}: {', '.join(parts)}")
    for row in rows.read(joint[joint["from_generation"] == 0].tail(1), ChangeRow):
        drift = band(row, "drift")
        bounds = span(drift.low, drift.high) or drift.text()
        yield _wrapped(f"c(0 to {row.to_generation}) = {change_value(row).text()}; drift {bounds}")


def _thinned(generations: list[int]) -> list[int]:
    every = 1 if len(generations) <= COLUMNS else -(-len(generations) // (COLUMNS - 1))
    return list(dict.fromkeys([*generations[::every], generations[-1]]))


def _wrapped(text: str) -> str:
    return fill(text, 80, initial_indent="  ", subsequent_indent="    ")


def _line(label: str, cells: list[str]) -> str:
    return f"{label:<11}" + "".join(f"{cell:>6}" for cell in cells)


def _number(value: float | None) -> str:
    return DASH if value is None or pd.isna(value) else number(value)
