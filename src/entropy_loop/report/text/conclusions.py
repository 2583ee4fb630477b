"""The verdict in sentences, on all arms and on each, from summary.csv, verdicts.csv and instruments.csv."""

from __future__ import annotations

import pandas as pd

from entropy_loop.analysis import rows
from entropy_loop.analysis.formatting import MINUS, float_or_none, number, span
from entropy_loop.analysis.rows import ChangeRow, InstrumentRow, VerdictRow
from entropy_loop.data import ALL
from entropy_loop.metrics.chains import LEAST_CHAINS
from entropy_loop.report.text import inference
from entropy_loop.report.text.inference import OverviewLine
from entropy_loop.report.text.sentences import counted, listed, place
from entropy_loop.report.view import StyledChain, Subject, View, arm_label

_VERDICTS = {
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
NAMED_ARMS = 4  # up to this many arms the overall verdict names each
_CHANCE = "chance alone explains (drift band)"

# ---- all arms ----------------------------------------------------------------------------------------


def verdict(view: View, subject: Subject) -> str:
    """Three sentences on a prompt: how often all its concepts were recognised in one image, whether chance alone
    explains the change, and what follows from it."""
    lines = [line for line in inference.overview(view, subject) if line.first.value is not None]
    if not lines:
        return "No pool has been judged yet, so there is no verdict."
    sentences = (_observation(subject, lines), _against_chance(view, subject), _claim(view, subject, lines))
    return " ".join(filter(None, sentences))


def _observation(subject: Subject, lines: list[OverviewLine]) -> str:
    concepts = listed(subject.prompt.concepts)
    recognised = ("is", "are both", "are all")[min(len(subject.prompt.concepts), 3) - 1] + " recognised"
    first = [line.first.value or 0.0 for line in lines]
    shares = " to ".join(dict.fromkeys(map(_share, (min(first), max(first)))))
    sentence = f"{concepts[:1].upper()}{concepts[1:]} {recognised} in {shares} of the images of generation 0"
    later = [line for line in lines if line.last.counts != "generation 0"]
    if not later:
        return f"{sentence}, and no feedback step has been made yet."
    ends = {line.last.counts for line in later}
    when = ends.pop() if len(ends) == 1 else "the last generation"
    arms = [f"{_share(line.last.value or 0.0)} with {line.claim.arm}" for line in later]
    if len(later) == 1:
        where = arms[0] if len(lines) > 1 else arms[0].partition(" ")[0]
    elif len(later) <= NAMED_ARMS:
        where = listed(arms)
    else:
        least, *_, most = sorted(later, key=lambda line: line.last.value or 0.0)
        where = f"{_arm_share(least)} to {_arm_share(most)}, over {counted(len(later))} arms"
    return f"{sentence}, and at {when} in {where}."


def _arm_share(line: OverviewLine) -> str:
    return f"{_share(line.last.value or 0.0)} ({line.claim.arm})"


def _share(value: float) -> str:
    """A percentage that is 0% or 100% only for none or all."""
    if 0 < value < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def _against_chance(view: View, subject: Subject) -> str:
    """Where c from generation 0 to the last lies outside its drift band, and on which side; empty without a band."""
    changes = [(c, view.change(c, subject, ALL, 0, c.reached)) for c in view.chains_of(subject) if c.reached]
    known = [
        (c, row) for c, row in changes if row is not None and pd.notna(row.change_rate) and pd.notna(row.drift_low)
    ]
    outside = [(chain, row) for chain, row in known if place(row, "drift") == "outside"]
    if not known:
        return ""
    if not outside:
        return (
            f"{'The' if len(known) == 1 else 'No'} change is {'no ' if len(known) == 1 else ''}larger than {_CHANCE}."
        )
    fell = [chain for chain, row in outside if row.change_rate > row.drift_high]
    rose = [chain for chain, row in outside if row.change_rate < row.drift_low]
    parts = [f"{verb}{_among(some, known)}" for verb, some in (("fell", fell), ("rose", rose)) if some]
    return f"By more than {_CHANCE}, recognition {' and '.join(parts)}."


def _among(some: list[StyledChain], known: list[tuple[StyledChain, ChangeRow]]) -> str:
    """Which of the known chains these are: a few arms by name, chains by number."""
    if len(known) == 1:
        return ""
    by_arm = all(chain.only for chain, _ in known)
    if len(some) == len(known):
        return " in every arm" if by_arm else " in every chain"
    if by_arm and len(some) <= NAMED_ARMS:
        return f" only with {listed([chain.name for chain in some])}"
    return f" in {counted(len(some))} of {counted(len(known))} {'arms' if by_arm else 'chains'}"


def _claim(view: View, subject: Subject, lines: list[OverviewLine]) -> str:
    counts = [len(chains) for chains in view.arms_of(subject).values()]
    fewest = min(counts)
    chains = f"{counted(fewest)} {'chain' if fewest == 1 else 'chains'}{' per arm' if len(counts) > 1 else ''}"
    if fewest < LEAST_CHAINS:
        return f"This describes {chains}; a claim needs at least {counted(LEAST_CHAINS)}."
    by_verdict: dict[str, list[str]] = {}
    for line in lines:
        by_verdict.setdefault(line.verdict or "undecided", []).append(line.claim.arm)
    if len(counts) == 1:
        return f"Verdict on {chains}: {next(iter(by_verdict))}."
    return f"Verdict on {chains}: {'; '.join(f'{word} with {listed(arms)}' for word, arms in by_verdict.items())}."


# ---- arm by arm --------------------------------------------------------------------------------------


def verdicts(view: View, subject: Subject) -> list[tuple[str, str]]:
    """(arm, sentences): its verdict and why, then what that rests on, and whether decay is subcutaneous. Arms with the
    same sentences share a line."""
    arms: dict[str, list[str]] = {}
    verdict_rows = rows.read(subject.rows(view.tables.verdicts), VerdictRow)
    for row in verdict_rows:
        arms.setdefault(_verdict(view, subject, row), []).append(arm_label(row.arm))
    if len(arms) == 1 < len(verdict_rows):
        return [("All arms", sentences) for sentences in arms]
    return [(listed(names), sentences) for sentences, names in arms.items()]


def _verdict(view: View, subject: Subject, row: VerdictRow) -> str:
    tests = subject.rows(view.tables.instruments)
    tests = tests[tests["arm"] == row.arm]
    sentences = f"{_VERDICTS[row.verdict]}{_why(row, tests)}{_basis(row, tests)}"
    if row.subcutaneous:
        sentences += " Subcutaneous: V holds under selection while noise or the distance to generation 0 rises."
    return sentences


def _why(row: VerdictRow, tests: pd.DataFrame) -> str:
    """The instruments that changed, or why the arm is stable or undecided: what follows the verdict in its sentence."""
    moved = tests[tests["state"].isin(("up", "down"))]
    if len(moved):
        return f": {', '.join(map(_moved, rows.read(moved, InstrumentRow)))}."
    states = row._asdict()
    if row.verdict == "stable":
        return (
            f": every instrument is within \u00b1{row.margin:.0%} of generation 0, c within \u00b1{row.margin:g}, and "
            "every distance is one that two pools of one model have."
        )
    few = row.chains < LEAST_CHAINS
    undecided = "Too few chains to decide" if few else "Neither changed nor shown to be unchanged"
    sentences = "."
    for state, phrase in (("undecided", undecided), ("not measured", "Not measured")):
        if families := [name for family, name in _FAMILIES.items() if states[family] == state]:
            sentences += f" {phrase}: {', '.join(families)}."
    return sentences


def _moved(test: InstrumentRow) -> str:
    metric, interval = test.metric.replace("_", " "), span(float_or_none(test.low), float_or_none(test.high))
    if test.instrument == "recognition":
        return f"recognition {'falls' if test.state == 'down' else 'rises'}, c\u00a0= {number(-test.mean)}"
    if test.instrument == "distance":
        return f"the distance to generation 0 rises ({metric} {number(test.mean)} {interval})"
    sign = "+" if test.mean > 0 else MINUS
    return f"{metric} {'rises' if test.state == 'up' else 'falls'} by {sign}{abs(test.mean):.0%}"


def _basis(row: VerdictRow, tests: pd.DataFrame) -> str:
    if tests["p"].isna().all() and row.verdict == "undecided":
        return ""  # the reasons say it
    if tests["p"].isna().all():
        return f" Nothing is claimed with {counted(int(row.chains))} {'chain' if row.chains == 1 else 'chains'}."
    instruments = "instruments" if len(tests) > 1 else "instrument"
    return (
        f" {counted(int(row.chains)).capitalize()} chains, p \u2264 .05 against chance and drift (distances: chance "
        f"alone) after Holm over {len(tests)} {instruments}; a mean change within "
        f"\u00b1{row.margin:.0%} of generation 0 counts as none."
    )
