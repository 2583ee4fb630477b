"""Claims across chains, and the ledger: the rows of summary.csv and ledger.csv as the report shows them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import Value, float_or_none, number
from entropy_loop.analysis.rows import ClaimRow, LedgerRow, VerdictRow
from entropy_loop.data import ALL
from entropy_loop.metrics.verdicts import LEVEL
from entropy_loop.report.view import Subject, View, arm_label


@dataclass(frozen=True)
class ClaimLine:
    """c of an arm, or the difference to another arm, over the chains. verdict: empty without a claim."""

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
    """The claims on c, `all` first; arms in the order of the study."""
    table = subject.rows(view.tables.summary)
    return [_claim(row) for row in rows.read(table[table["statistic"] == "change_rate"], ClaimRow)]


@dataclass(frozen=True)
class OverviewLine:
    """An arm on the concept `all`. claim: on c. first, last: mean V over the chains in generation 0 and in the last
    one, whose number is in the counts. verdict: in a word, with "subcutaneous" where that holds."""

    claim: ClaimLine
    first: Value
    last: Value
    verdict: str


def overview(view: View, subject: Subject) -> list[OverviewLine]:
    """One line per arm, in the order of the study."""
    table = subject.rows(view.tables.summary)
    table = table[(table["statistic"] == "change_rate") & (table["concept"] == ALL) & (table["against"] == "")]
    verdicts = {
        row.arm: f"{row.verdict}{', subcutaneous' if row.subcutaneous else ''}"
        for row in rows.read(subject.rows(view.tables.verdicts), VerdictRow)
    }
    return [
        OverviewLine(_claim(row), *_first_and_last(view, subject, row.arm), verdicts.get(row.arm, ""))
        for row in rows.read(table, ClaimRow)
    ]


def _first_and_last(view: View, subject: Subject, arm: str) -> tuple[Value, Value]:
    means = [view.mean_rate(arm, subject, ALL, g) for g in range(view.last(arm) + 1)]
    known = [row for row in means if row is not None and row.chains]
    first, last = known[0], known[-1]
    return Value(float_or_none(first.mean)), Value(float_or_none(last.mean), counts=f"generation {last.generation}")


def ledger(view: View, subject: Subject) -> list[tuple[str, list[LedgerLine]]]:
    """(chain, its steps) on the concept `all`."""
    names = {chain.planned.name: chain.name for chain in view.chains}
    chains = _steps(view, subject).groupby("run", sort=False)
    return [(names[str(run)], [_step(row) for row in rows.read(steps, LedgerRow)]) for run, steps in chains]


def ledger_totals(view: View, subject: Subject) -> list[tuple[str, list[Value]]]:
    """(arm, [curation, training, response]) summed over the steps on the concept `all`: mean, smallest and largest over
    the chains. A chain with a missing step or cell is left out."""
    parts = ["curation", "training", "response"]
    totals = []
    for arm, steps in _steps(view, subject).groupby("arm", sort=False):
        sums = steps.groupby("run")[parts].sum(min_count=view.last(str(arm))).dropna()
        totals.append((arm_label(str(arm)), [_over_chains(sums[part]) for part in parts]))
    return totals


def _over_chains(values: pd.Series[float]) -> Value:
    if values.empty:
        return Value(reason="no chain is complete")
    low, high = (float(values.min()), float(values.max())) if len(values) > 1 else (None, None)
    return Value(float(values.mean()), low, high, counts=_chains(len(values)))


def _chains(count: int) -> str:
    return "1 chain" if count == 1 else f"{count} chains"


def _steps(view: View, subject: Subject) -> pd.DataFrame:
    """Rows of ledger.csv on the concept `all`."""
    table = subject.rows(view.tables.ledger)
    return table[table["concept"] == ALL]


def _claim(row: ClaimRow) -> ClaimLine:
    arm = f"{arm_label(row.arm)} minus {arm_label(row.against)}" if row.against else arm_label(row.arm)
    low, high, p = float_or_none(row.null_low), float_or_none(row.null_high), float_or_none(row.p_adjusted)
    reason, counts = "" if row.chains else row.reason, _chains(row.chains)
    mean = Value(float_or_none(row.mean), float_or_none(row.low), float_or_none(row.high), reason, counts)
    null = Value(low=low, high=high, reason="" if low is not None else "not simulated")
    if p is None:
        return ClaimLine(arm, row.concept, mean, null, Value(reason="no claim"), "")
    verdict = "beyond drift" if p <= LEVEL else "not beyond drift"
    unadjusted = f"{number(float_or_none(row.p) or 0, 3)} before Holm"
    return ClaimLine(arm, row.concept, mean, null, Value(p, counts=unadjusted), verdict)


def _step(row: LedgerRow) -> LedgerLine:
    pool, kept, diet, following, training, response = map(
        _cell, (row.v_pool, row.v_kept, row.v_diet, row.v_next, row.training, row.response)
    )
    curation = Value(float_or_none(row.curation), float_or_none(row.curation_low), float_or_none(row.curation_high))
    return LedgerLine(int(row.generation), [pool, kept, diet, following, curation, training, response])


def _cell(cell: float) -> Value:
    value = float_or_none(cell)
    return Value(value, reason="missing" if value is None else "")
