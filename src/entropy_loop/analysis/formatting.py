"""Numbers as the report shows them. A missing number is an en dash with its reason, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from entropy_loop.analysis.rows import ChangeRow, RateRow, Text

MINUS, DASH = "\u2212", "\u2013"
Null = Literal["sampling", "drift"]
NULLS: tuple[Null, ...] = ("sampling", "drift")


@dataclass(frozen=True)
class Value:
    """A number with its interval and counts, or a missing one with its reason."""

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
    """Fixed digits and a typographic minus; a negative zero loses its sign."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def span(low: float | None, high: float | None) -> str:
    """[low, high]; empty without an interval."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def rate_value(row: RateRow | None) -> Value:
    """The raw V of one generation; None is a generation that has no row yet."""
    if row is None:
        return Value(reason="not made yet")
    if (rate := float_or_none(row.rate)) is None:
        return Value(reason=text(row.reason))
    # The other reasons concern the corrected rate.
    reason = "; ".join(part for part in text(row.reason).split("; ") if part.endswith("could not be judged"))
    return Value(rate, float_or_none(row.low), float_or_none(row.high), reason, f"{int(row.hits)}/{int(row.n)}")


def change_value(row: ChangeRow | None) -> Value:
    """c of one step; None is a step that has no row yet."""
    if row is None:
        return Value(reason="not made yet")
    if (change := float_or_none(row.change_rate)) is None:
        return Value(reason=text(row.reason) or "undefined")
    return Value(change, float_or_none(row.low), float_or_none(row.high))


def band(row: ChangeRow | None, null: Null) -> Value:
    """A null band of c, in low and high."""
    if row is None:
        return Value(reason="not made yet")
    ends = (row.drift_low, row.drift_high) if null == "drift" else (row.sampling_low, row.sampling_high)
    low, high = map(float_or_none, ends)
    return Value(low=low, high=high, reason="" if low is not None else text(row.reason) or "not simulated")


def float_or_none(value: float | None) -> float | None:
    """A cell of a table as a number; None for an empty cell."""
    return None if pd.isna(value) else float(value)


def text(cell: Text) -> str:
    """A cell of a table as text; "" for an empty cell."""
    return cell if isinstance(cell, str) else ""
