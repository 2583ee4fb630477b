"""The verdict in sentences, on the whole and on every arm, from summary.csv, verdicts.csv and instruments.csv."""

from __future__ import annotations

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import MINUS, number, some, span
from entropy_loop.analysis.rows import InstrumentRow, VerdictRow
from entropy_loop.data import ALL
from entropy_loop.metrics.chains import LEAST_CHAINS
from entropy_loop.report.text import inference
from entropy_loop.report.text.inference import OverviewLine
from entropy_loop.report.text.sentences import counted, listed, place
from entropy_loop.report.view import Subject, View, spoken

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


TOLD = 4  # arms that the verdict on the whole names one by one

# ---- on the whole ------------------------------------------------------------------------------------


def verdict(view: View, subject: Subject) -> str:
    """Two sentences on a prompt: what was seen of all its concepts in one image, and what may be said from it."""
    lines = [line for line in inference.overview(view, subject) if line.first.value is not None]
    if not lines:
        return "No pool has been judged yet. So there is nothing to say."
    return f"{_seen(view, subject, lines)} {_worth(view, subject, lines)}"


def _seen(view: View, subject: Subject, lines: list[OverviewLine]) -> str:
    concepts = listed(subject.prompt.concepts)
    what = f"{concepts[:1].upper()}{concepts[1:]}"
    together = "are recognised together" if len(subject.prompt.concepts) > 1 else "is recognised"
    told = f"{what} {together} in {_shares([line.first.value or 0.0 for line in lines])} of the images of generation 0"
    later = [line for line in lines if line.last.counts != "generation 0"]
    if not later:
        return f"{told}, and no feedback step has been made yet."
    ends = {line.last.counts for line in later}
    when = ends.pop() if len(ends) == 1 else "the last generation"
    arms = [f"{_share(line.last.value or 0.0)} with {line.claim.arm}" for line in later]
    if len(later) == 1:
        where = arms[0] if len(lines) > 1 else arms[0].partition(" ")[0]
    elif len(later) <= TOLD:
        where = listed(arms)
    else:
        least, *_, most = sorted(later, key=lambda line: line.last.value or 0.0)
        where = f"{_end(least)} to {_end(most)}, over {counted(len(later))} arms"
    return f"{told}, and at {when} in {where}{_against_drift(view, subject)}."


def _end(line: OverviewLine) -> str:
    return f"{_share(line.last.value or 0.0)} ({line.claim.arm})"


def _shares(values: list[float]) -> str:
    ends = dict.fromkeys((_share(min(values)), _share(max(values))))
    return " to ".join(ends)


def _share(value: float) -> str:
    """A percentage that says 0 and 100 only of none and all."""
    if 0 < value < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def _against_drift(view: View, subject: Subject) -> str:
    """In how many chains the change is more than a perfect copier's."""
    changes = [view.change(chain, subject, ALL, 0, chain.reached) for chain in view.chains_of(subject) if chain.reached]
    known = [row for row in changes if row is not None and pd.notna(row.change_rate) and pd.notna(row.drift_low)]
    if not known:
        return ""
    outside = sum(place(row, "drift") == "outside" for row in known)
    if len(known) == 1:
        return f"; the change lies {'outside' if outside else 'inside'} its drift band"
    if outside in (0, len(known)):
        return f"; the change lies {'outside' if outside else 'inside'} its drift band in every chain"
    return f"; the change lies outside its drift band in {counted(outside)} of {counted(len(known))} chains"


def _worth(view: View, subject: Subject, lines: list[OverviewLine]) -> str:
    counts = [len(chains) for chains in view.arms_of(subject).values()]
    fewest = min(counts)
    chains = f"{counted(fewest)} {'chain' if fewest == 1 else 'chains'}{' per arm' if len(counts) > 1 else ''}"
    if fewest < LEAST_CHAINS:
        return f"With {chains}, this is what was seen, and nothing is claimed."
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.verdict or "undecided", []).append(line.claim.arm)
    if len(counts) == 1:
        return f"Verdict on {chains}: {next(iter(found))}."
    return f"Verdict on {chains}: {'; '.join(f'{word} with {listed(arms)}' for word, arms in found.items())}."


# ---- arm by arm --------------------------------------------------------------------------------------


def verdicts(view: View, subject: Subject) -> list[tuple[str, str]]:
    """(arm, what became of it and why, in two sentences; a third where decay is under the skin)."""
    told = rows.read(_of(view.tables.verdicts, subject), VerdictRow)
    return [(spoken(row.arm), _verdict(view, row)) for row in told]


def _of(table: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    return table[(table["prompt"] == subject.prompt.text) & (table["judge"] == subject.judge)]


def _verdict(view: View, row: VerdictRow) -> str:
    tests = view.tables.instruments
    tests = tests[(tests["arm"] == row.arm) & (tests["prompt"] == row.prompt) & (tests["judge"] == row.judge)]
    told = f"{_KINDS[row.verdict]}: {_why(row, tests)}. {_basis(row, tests)}"
    if row.subcutaneous:
        told += " Subcutaneous: V holds under selection while noise or the distance to generation 0 rises."
    return told


def _why(row: VerdictRow, tests: pd.DataFrame) -> str:
    """What moved, or what keeps the arm from being called stable."""
    moved = tests[tests["state"].isin(("up", "down"))]
    if len(moved):
        return ", ".join(map(_moved, rows.read(moved, InstrumentRow)))
    states = row._asdict()
    if row.verdict == "stable":
        return (
            f"every instrument lies within \u00b1{row.margin:.0%} of generation 0, c within \u00b1{row.margin:g}, and "
            "the distances where those of one model lie"
        )
    unclear, unmeasured = ([name for name in _FAMILIES if states[name] == of] for of in ("undecided", "not measured"))
    few = "cannot be decided by so few chains"
    how = few if row.chains < LEAST_CHAINS else "neither changed nor shown to be unchanged"
    parts = [f"{_listed(unclear)} {how}"] if unclear else []
    parts += [f"{_listed(unmeasured)} not measured"] if unmeasured else []
    return ", ".join(parts)


def _listed(families: list[str]) -> str:
    return ", ".join(_FAMILIES[name] for name in families)


def _moved(one: InstrumentRow) -> str:
    what, interval = one.metric.replace("_", " "), span(some(one.low), some(one.high))
    if one.instrument == "recognition":
        return f"recognition {'falls' if one.state == 'down' else 'rises'}, c\u00a0= {number(-one.mean)}"
    if one.instrument == "distance":
        return f"the distance to generation 0 rises ({what} {number(one.mean)} {interval})"
    sign = "+" if one.mean > 0 else MINUS
    return f"{what} {'rises' if one.state == 'up' else 'falls'} by {sign}{abs(one.mean):.0%}"


def _basis(row: VerdictRow, tests: pd.DataFrame) -> str:
    if tests["p"].isna().all():
        return f"Nothing is claimed with {counted(int(row.chains))} {'chain' if row.chains == 1 else 'chains'}."
    instruments = "instruments" if len(tests) > 1 else "instrument"
    return (
        f"{counted(int(row.chains)).capitalize()} chains, p \u2264 .05 against chance and drift (distances: chance "
        f"alone) after Holm over {len(tests)} {instruments}; a mean change within "
        f"\u00b1{row.margin:.0%} of generation 0 counts as none."
    )
