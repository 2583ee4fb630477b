"""Numbers as the report shows them. A missing one is an en dash with its reason, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

MINUS, DASH = "\u2212", "\u2013"


@dataclass(frozen=True)
class Value:
    """A number as it is shown: with its interval and its counts, or missing with the reason."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    counts: str = ""

    def text(self) -> str:
        if self.value is None:
            return f"{DASH} ({self.reason})"
        return f"{number(self.value)} {span(self.low, self.high)}".strip()


def number(value: float, digits: int = 2) -> str:
    """Fixed digits and a real minus; never a negative zero."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def span(low: float | None, high: float | None) -> str:
    """[low, high], or nothing where there is no interval."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def rate_value(row: Any) -> Value:
    """The raw V of one generation; `row` is a row of rates.csv or None."""
    if row is None:
        return Value(reason="not made yet")
    if pd.isna(row.rate):
        return Value(reason=_reason(row))
    # What concerns the corrected rate is not said of the raw one.
    told = "; ".join(part for part in _reason(row).split("; ") if part.endswith("could not be judged"))
    return Value(some(row.rate), some(row.low), some(row.high), told, f"{int(row.hits)}/{int(row.n)}")


def change_value(row: Any) -> Value:
    """c of one step; `row` is a row of changes.csv or None."""
    if row is None:
        return Value(reason="not made yet")
    if pd.isna(row.change_rate):
        return Value(reason=_reason(row) or "undefined")
    return Value(some(row.change_rate), some(row.low), some(row.high))


def band(row: Any, name: str) -> Value:
    """A null band of c, 'sampling' or 'drift', in low and high."""
    if row is None:
        return Value(reason="not made yet")
    low, high = some(getattr(row, f"{name}_low")), some(getattr(row, f"{name}_high"))
    return Value(low=low, high=high, reason="" if low is not None else _reason(row) or "not simulated")


def some(value: Any) -> float | None:
    """A cell of a table as a number, None where it is empty."""
    return None if pd.isna(value) else float(value)


def _reason(row: Any) -> str:
    return "" if pd.isna(row.reason) else str(row.reason)
