"""The verdict on every arm in sentences, from verdicts.csv and instruments.csv."""

from __future__ import annotations

from typing import Any

import pandas as pd

from entropy_loop.report.numbers import MINUS, number, some, span
from entropy_loop.report.view import Subject, View, spoken
from entropy_loop.report.words import counted

_KINDS = {
    "disintegration": "Disintegration",
    "banalisation": "Banalisation",
    "both": "Disintegration and banalisation",
    "stable": "Stable",
    "undecided": "Undecided",
}
_FAMILIES = {
    "recognition": "recognition",
    "noise": "noise of single images",
    "diversity": "diversity",
    "tails": "attribute tails",
    "distance": "distance to generation 0",
}


def verdicts(view: View, subject: Subject) -> list[tuple[str, str]]:
    """(arm, what became of it and why, in two sentences; a third where decay is under the skin)."""
    return [(spoken(str(row.arm)), _verdict(view, row)) for row in _of(view.tables.verdicts, subject).itertuples()]


def _of(table: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    return table[(table["prompt"] == subject.prompt.text) & (table["judge"] == subject.judge)]


def _verdict(view: View, row: Any) -> str:
    tests = view.tables.instruments
    tests = tests[(tests["arm"] == row.arm) & (tests["prompt"] == row.prompt) & (tests["judge"] == row.judge)]
    told = f"{_KINDS[row.verdict]}: {_why(row, tests)}. {_basis(row, tests)}"
    if row.subcutaneous:
        told += " Subcutaneous: V holds under selection while noise or the distance to generation 0 rises."
    return told


def _why(row: Any, tests: pd.DataFrame) -> str:
    """What moved, or what keeps the arm from being called stable."""
    moved = tests[tests["state"].isin(("up", "down"))]
    if len(moved):
        return ", ".join(_moved(one) for one in moved.itertuples())
    states = {name: str(getattr(row, name)) for name in _FAMILIES}
    if row.verdict == "stable":
        return (
            f"every instrument lies within \u00b1{row.margin:.0%} of generation 0, c within \u00b1{row.margin:g}, and "
            "the distances where those of one model lie"
        )
    unclear = [name for name, state in states.items() if state == "undecided"]
    unmeasured = [name for name, state in states.items() if state == "not measured"]
    parts = [f"{_listed(unclear)} neither changed nor shown to be unchanged"] if unclear else []
    parts += [f"{_listed(unmeasured)} not measured"] if unmeasured else []
    return ", ".join(parts)


def _listed(families: list[str]) -> str:
    return ", ".join(_FAMILIES[name] for name in families)


def _moved(one: Any) -> str:
    what, interval = str(one.metric).replace("_", " "), span(some(one.low), some(one.high))
    if one.instrument == "recognition":
        return f"recognition {'falls' if one.state == 'down' else 'rises'}, c\u00a0= {number(-one.mean)}"
    if one.instrument == "distance":
        return f"the distance to generation 0 rises ({what} {number(one.mean)} {interval})"
    sign = "+" if one.mean > 0 else MINUS
    return f"{what} {'rises' if one.state == 'up' else 'falls'} by {sign}{abs(one.mean):.0%}"


def _basis(row: Any, tests: pd.DataFrame) -> str:
    if tests["p"].isna().all():
        return f"Nothing is claimed with {counted(int(row.chains))} {'chain' if row.chains == 1 else 'chains'}."
    instruments = "instruments" if len(tests) > 1 else "instrument"
    return (
        f"{counted(int(row.chains)).capitalize()} chains, p \u2264 .05 against chance and drift (distances: chance "
        f"alone) after Holm over {len(tests)} {instruments}; a mean change within "
        f"\u00b1{row.margin:.0%} of generation 0 counts as none."
    )
