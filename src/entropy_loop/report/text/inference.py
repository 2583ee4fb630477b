"""What the page says across chains, and the ledger: rows of summary.csv and ledger.csv as they are shown."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import Value, number, some
from entropy_loop.analysis.rows import ClaimRow, LedgerRow, VerdictRow
from entropy_loop.data import ALL
from entropy_loop.metrics.verdicts import LEVEL
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
    table = _of(view.tables.summary, subject)
    return [_claim(row) for row in rows.read(table[table["statistic"] == "change_rate"], ClaimRow)]


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
    table = _of(view.tables.summary, subject)
    mine = table[(table["statistic"] == "change_rate") & (table["concept"] == ALL) & (table["against"] == "")]
    said = {row.arm: row for row in rows.read(_of(view.tables.verdicts, subject), VerdictRow)}
    arms = [(row, *_ends(view, subject, row.arm), said.get(row.arm)) for row in rows.read(mine, ClaimRow)]
    return [OverviewLine(_claim(row), first, last, _word(told)) for row, first, last, told in arms]


def _word(told: VerdictRow | None) -> str:
    return "" if told is None else f"{told.verdict}{', subcutaneous' if told.subcutaneous else ''}"


def _ends(view: View, subject: Subject, arm: str) -> tuple[Value, Value]:
    across = [view.across(arm, subject, ALL, g) for g in range(view.last(arm) + 1)]
    there = [row for row in across if row is not None and row.chains]
    first, last = there[0], there[-1]
    return Value(some(first.mean)), Value(some(last.mean), counts=f"generation {last.generation}")


def ledger(view: View, subject: Subject) -> list[tuple[str, list[LedgerLine]]]:
    """(chain, its steps) for the joint concept."""
    names = {chain.planned.name: chain.name for chain in view.chains}
    chains = _steps(view, subject).groupby("run", sort=False)
    return [(names[str(run)], [_step(row) for row in rows.read(of, LedgerRow)]) for run, of in chains]


def ledger_totals(view: View, subject: Subject) -> list[tuple[str, list[Value]]]:
    """(arm, curation, training and response summed over its steps) for the joint concept: means over the chains,
    with the smallest and the largest. A chain that lacks a step, or an entry of one, is left out."""
    parts = ["curation", "training", "response"]
    found = []
    for arm, of in _steps(view, subject).groupby("arm", sort=False):
        sums = of.groupby("run")[parts].sum(min_count=view.last(str(arm))).dropna()
        told = "1 chain" if len(sums) == 1 else f"{len(sums)} chains"
        found.append((spoken(str(arm)), [_over_chains(sums[part], told) for part in parts]))
    return found


def _over_chains(values: pd.Series[float], told: str) -> Value:
    if values.empty:
        return Value(reason="no chain is complete")
    low, high = (float(values.min()), float(values.max())) if len(values) > 1 else (None, None)
    return Value(float(values.mean()), low, high, counts=told)


def _steps(view: View, subject: Subject) -> pd.DataFrame:
    """Rows of ledger.csv for the joint concept."""
    table = _of(view.tables.ledger, subject)
    return table[table["concept"] == ALL]


def _of(table: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    return table[(table["prompt"] == subject.prompt.text) & (table["judge"] == subject.judge)]


def _claim(row: ClaimRow) -> ClaimLine:
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


def _step(row: LedgerRow) -> LedgerLine:
    pool, kept, diet, following, training, response = map(
        _entry, (row.v_pool, row.v_kept, row.v_diet, row.v_next, row.training, row.response)
    )
    curation = Value(some(row.curation), some(row.curation_low), some(row.curation_high))
    return LedgerLine(int(row.generation), [pool, kept, diet, following, curation, training, response])


def _entry(cell: float) -> Value:
    value = some(cell)
    return Value(value, reason="missing" if value is None else "")
