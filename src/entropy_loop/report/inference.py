"""What the page says across chains, and the ledger: rows of summary.csv and ledger.csv as they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from entropy_loop.data import ALL
from entropy_loop.metrics.verdicts import LEVEL
from entropy_loop.report.numbers import Value, number, some
from entropy_loop.report.view import Subject, View, spoken


@dataclass(frozen=True)
class ClaimLine:
    """A statistic of an arm, or of its difference to another, across chains; no verdict where nothing is claimed."""

    arm: str
    concept: str
    mean: Value
    null: Value
    p: Value
    verdict: str


@dataclass(frozen=True)
class LedgerLine:
    """One feedback step of one chain. values: V(pool), V(kept), V(diet), V(next), curation, training, response."""

    generation: int
    values: list[Value]


def claims(view: View, subject: Subject) -> list[ClaimLine]:
    """On c of one prompt under one judge, the joint concept first; arms in the order of the study."""
    rows = _of(view.tables.summary, subject)
    return [_claim(row) for row in rows[rows["statistic"] == "change_rate"].itertuples()]


@dataclass(frozen=True)
class OverviewLine:
    """An arm at a glance: the claim on c of the joint concept, its mean V over the chains in generation 0 and in the
    last one that there is (its number stands in the counts), and the verdict in a word with the mark of decay under
    the skin."""

    claim: ClaimLine
    first: Value
    last: Value
    verdict: str


def overview(view: View, subject: Subject) -> list[OverviewLine]:
    """One line per arm, in the order of the study."""
    rows = _of(view.tables.summary, subject)
    mine = rows[(rows["statistic"] == "change_rate") & (rows["concept"] == ALL) & (rows["against"] == "")]
    said = {str(row.arm): row for row in _of(view.tables.verdicts, subject).itertuples()}
    arms = [(row, *_ends(view, subject, str(row.arm)), said.get(str(row.arm))) for row in mine.itertuples()]
    return [OverviewLine(_claim(row), first, last, _word(told)) for row, first, last, told in arms]


def _word(told: Any) -> str:
    return "" if told is None else f"{told.verdict}{', subcutaneous' if told.subcutaneous else ''}"


def _ends(view: View, subject: Subject, arm: str) -> tuple[Value, Value]:
    rows = [view.across(arm, subject, ALL, g) for g in range(view.last(arm) + 1)]
    there = [row for row in rows if row is not None and row.chains]
    first, last = there[0], there[-1]
    return Value(some(first.mean)), Value(some(last.mean), counts=f"generation {last.generation}")


def ledger(view: View, subject: Subject) -> list[tuple[str, list[LedgerLine]]]:
    """(chain, its steps) for the joint concept."""
    rows = _of(view.tables.ledger, subject)
    rows = rows[rows["concept"] == ALL]
    names = {chain.run.name: chain.name for chain in view.chains}
    return [(names[str(run)], [_step(row) for row in of.itertuples()]) for run, of in rows.groupby("run", sort=False)]


def ledger_totals(view: View, subject: Subject) -> list[tuple[str, list[Value]]]:
    """(arm, curation, training and response summed over its steps) for the joint concept: means over the chains,
    with the smallest and the largest. A chain that lacks a step, or an entry of one, is left out."""
    rows = _of(view.tables.ledger, subject)
    rows = rows[rows["concept"] == ALL]
    parts = ["curation", "training", "response"]
    found = []
    for arm, of in rows.groupby("arm", sort=False):
        sums = of.groupby("run")[parts].sum(min_count=view.last(str(arm))).dropna()
        told = "1 chain" if len(sums) == 1 else f"{len(sums)} chains"
        found.append((spoken(str(arm)), [_over_chains(sums[part], told) for part in parts]))
    return found


def _over_chains(values: pd.Series[float], told: str) -> Value:
    if values.empty:
        return Value(reason="no chain is complete")
    low, high = (float(values.min()), float(values.max())) if len(values) > 1 else (None, None)
    return Value(float(values.mean()), low, high, counts=told)


def _of(table: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    return table[(table["prompt"] == subject.prompt.text) & (table["judge"] == subject.judge)]


def _claim(row: Any) -> ClaimLine:
    arm = f"{spoken(row.arm)} minus {spoken(row.against)}" if row.against else spoken(row.arm)
    low, high, p = some(row.null_low), some(row.null_high), some(row.p_adjusted)
    counts = "1 chain" if row.chains == 1 else f"{row.chains} chains"
    mean = Value(some(row.mean), some(row.low), some(row.high), "" if row.chains else row.reason, counts)
    null = Value(low=low, high=high, reason="" if low is not None else "not simulated")
    if p is None:
        return ClaimLine(arm, row.concept, mean, null, Value(reason="no claim"), "")
    told = f"{number(some(row.p) or 0, 3)} before Holm"
    return ClaimLine(
        arm, row.concept, mean, null, Value(p, counts=told), "beyond drift" if p <= LEVEL else "not beyond drift"
    )


def _step(row: Any) -> LedgerLine:
    names = ("v_pool", "v_kept", "v_diet", "v_next", "curation", "training", "response")
    values = [
        Value(some(getattr(row, name)), reason="" if pd.notna(getattr(row, name)) else "missing") for name in names
    ]
    values[4] = Value(some(row.curation), some(row.curation_low), some(row.curation_high))
    return LedgerLine(int(row.generation), values)
