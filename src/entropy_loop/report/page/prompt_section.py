"""One prompt's part of the page: its figures, tables and findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from entropy_loop.analysis import checks, formatting
from entropy_loop.analysis.formatting import Value
from entropy_loop.data import ALL
from entropy_loop.report.figures import drawing, recognition
from entropy_loop.report.text import conclusions, inference, sentences
from entropy_loop.report.view import StyledChain, Subject, View, spoken

RateLines = list[tuple[StyledChain, list[tuple[int, list[Value]]]]]
"""Per chain: (generation, V of every concept)."""


@dataclass(frozen=True)
class Step:
    """A line of the table of changes."""

    label: str
    whole: bool
    values: list[Value]
    sampling: Value
    drift: Value


@dataclass(frozen=True)
class Section:
    """Figures and tables of one prompt under one judge. files: by name; the other drawings: SVG for the page.

    large, small: V of all arms, for `all` and for each concept. by_arm: (concept, one drawing per arm); empty with
    one arm, whose bands stand in `large` and `small`. beside: which checks of the judge stand beside V in `rates`.
    """

    subject: Subject
    files: dict[str, drawing.Drawing]
    large: str
    small: list[str]
    by_arm: list[tuple[str, list[str]]]
    steps: list[str]
    is_cut: bool
    rates: RateLines
    beside: list[str]
    changes: list[tuple[StyledChain, list[Step]]]
    findings: list[tuple[str, str]]
    verdicts: list[tuple[str, str]]
    overview: list[inference.OverviewLine]
    claims: list[inference.ClaimLine]
    ledger: list[tuple[str, list[inference.LedgerLine]]]
    ledger_totals: list[tuple[str, list[Value]]]


@dataclass(frozen=True)
class Measured:
    """V(all) and the tables of a prompt that is never fed back."""

    subject: Subject
    file: drawing.Drawing
    drawn: str
    rates: RateLines
    changes: list[tuple[StyledChain, list[Step]]]


def section(view: View, subject: Subject) -> Section:
    """The figures and tables of one target prompt under one judge."""
    n, several = subject.number, len(view.arms_of(subject)) > 1
    arms = [arm for arm in view.arms_of(subject) if arm in view.begun] or list(view.arms_of(subject))
    files = {
        f"recognition-{n}": recognition.recognition(view, subject, subject.concepts, 2.9, 3.1),
        f"change-{n}": recognition.change(view, subject, arms, 3.2, 3.0),
    }
    if several:
        files[f"recognition-{n}-arms"] = recognition.recognition_by_arm(view, subject, arms, subject.concepts, 2.9, 2.4)
    large = recognition.recognition(view, subject, (ALL,), 5.6, 3.8)
    small = [(c, recognition.recognition(view, subject, (c,), 3.7, 2.9)) for c in subject.prompt.concepts]
    beside = _beside(view, subject)
    steps = [(arm, recognition.change(view, subject, [arm], 3.9, 2.8)) for arm in arms]
    what = f"for the prompt {subject.prompt.text}; the numbers stand in the tables below"

    def v_alt(concept: str) -> str:
        return f"Share of images with {concept} over generations, {what}"

    def c_alt(arm: str) -> str:
        return f"Change rate per feedback step of {spoken(arm)}, {what}"

    return Section(
        subject,
        files,
        _drawing(large, f"v{n}", v_alt("all concepts")),
        [_drawing(one, f"v{n}-{i}", v_alt(c)) for i, (c, one) in enumerate(small)],
        list(_by_arm(view, subject, arms)) if several else [],
        [_drawing(one, f"c{n}-{i}", c_alt(arm)) for i, (arm, one) in enumerate(steps)],
        recognition.is_cut(view, subject),
        rates(view, subject, beside),
        list(beside),
        changes(view, subject),
        sentences.findings(view, subject),
        conclusions.verdicts(view, subject),
        inference.overview(view, subject),
        inference.claims(view, subject),
        inference.ledger(view, subject),
        inference.ledger_totals(view, subject),
    )


def _by_arm(view: View, subject: Subject, arms: list[str]) -> Iterator[tuple[str, list[str]]]:
    for i, concept in enumerate(subject.concepts):
        drawn = [(arm, recognition.recognition_by_arm(view, subject, [arm], [concept], 3.1, 2.4)) for arm in arms]
        alt = f"Share of images with {recognition.named(concept)} over generations in the arm "
        yield (
            recognition.named(concept),
            [
                _drawing(d, f"v{subject.number}-{i}-{k}", f"{alt}{spoken(a)}, before its null bands")
                for k, (a, d) in enumerate(drawn)
            ],
        )


def _drawing(drawn: drawing.Drawing, name: str, alt: str) -> str:
    return drawing.inline(drawn, name, escape(alt))


def measured(view: View, subject: Subject) -> Measured:
    """A prompt that is never fed back."""
    file = recognition.recognition(view, subject, (ALL,), 3.7, 2.9)
    alt = f"Share of images with all concepts over generations, for the measured-only prompt {subject.prompt.text}"
    drawn = _drawing(file, f"m{subject.number}", alt)
    return Measured(subject, file, drawn, rates(view, subject, {}), changes(view, subject))


def rates(view: View, subject: Subject, beside: Mapping[str, Sequence[str]]) -> RateLines:
    """V of every concept in every generation, and beside it the worst of some checks (as of `_beside`)."""
    return [
        (chain, [(g, list(_line(view, chain, subject, g, beside))) for g in range(chain.last + 1)])
        for chain in view.chains_of(subject)
    ]


def _line(
    view: View, chain: StyledChain, subject: Subject, generation: int, beside: Mapping[str, Sequence[str]]
) -> Iterator[Value]:
    for concept in subject.concepts:
        yield formatting.rate_value(view.rate(chain, subject, concept, generation))
    for names in beside.values():
        yield checks.worst(view.checks(chain, subject, generation), names)


def _beside(view: View, subject: Subject) -> dict[str, Sequence[str]]:
    """Column -> the checks of which the worst stands in it; only those that some chain has."""
    found = view.tables.checks
    mine = found[(found["prompt"] == subject.prompt.text) & (found["judge"] == subject.judge)]
    return {head: names for head, names in checks.COLUMNS.items() if mine["check"].isin(names).any()}


def changes(view: View, subject: Subject) -> list[tuple[StyledChain, list[Step]]]:
    """c of every step, chain by chain."""
    return [(chain, list(_steps(view, subject, chain))) for chain in view.chains_of(subject)]


def _steps(view: View, subject: Subject, chain: StyledChain) -> Iterator[Step]:
    for i, (start, end) in enumerate(chain.steps()):
        values = [formatting.change_value(view.change(chain, subject, c, start, end)) for c in subject.concepts]
        row = view.change(chain, subject, ALL, start, end)
        sampling, drift = formatting.band(row, "sampling"), formatting.band(row, "drift")
        yield Step(f"{start} \u2192 {end}", i >= chain.last, values, sampling, drift)
