"""The page's section on one prompt under one judge: figures, tables and findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from entropy_loop.analysis import checks, formatting
from entropy_loop.analysis.formatting import Value
from entropy_loop.data import ALL
from entropy_loop.report.figures import drawing, recognition
from entropy_loop.report.text import conclusions, inference, sentences
from entropy_loop.report.view import StyledChain, Subject, View, arm_label

RateLines = list[tuple[StyledChain, list[tuple[int, list[Value]]]]]
"""(chain, [(generation, V of every concept, then the worst checks)])."""


@dataclass(frozen=True)
class Step:
    """A line of the table of changes. values: c per concept. whole: from generation 0 to the last."""

    label: str
    whole: bool
    values: list[Value]
    sampling: Value
    drift: Value


@dataclass(frozen=True)
class Section:
    """Figures and tables of one prompt under one judge. files: figures by name; the other figures: SVGs for the page.

    large, small: V of all arms, of `all` and of each concept. by_arm: (concept, an SVG per arm); empty with one arm.
    steps: c, an SVG per arm. is_cut: whether their axis is. check_heads: of the columns of checks in `rates`.
    """

    subject: Subject
    files: dict[str, drawing.Drawing]
    large: str
    small: list[str]
    by_arm: list[tuple[str, list[str]]]
    steps: list[str]
    is_cut: bool
    rates: RateLines
    check_heads: list[str]
    changes: list[tuple[StyledChain, list[Step]]]
    findings: list[tuple[str, str]]
    verdicts: list[tuple[str, str]]
    overview: list[inference.OverviewLine]
    claims: list[inference.ClaimLine]
    ledger: list[tuple[str, list[inference.LedgerLine]]]
    ledger_totals: list[tuple[str, list[Value]]]


@dataclass(frozen=True)
class Measured:
    """V(all) and the tables of a prompt that is never fed back. figure: the file; svg: for the page."""

    subject: Subject
    figure: drawing.Drawing
    svg: str
    rates: RateLines
    changes: list[tuple[StyledChain, list[Step]]]


def section(view: View, subject: Subject) -> Section:
    """The figures and tables of one target prompt under one judge."""
    n, several = subject.number, len(view.arms_of(subject)) > 1
    arms = [arm for arm in view.arms_of(subject) if arm in view.started_arms] or list(view.arms_of(subject))
    files = {
        f"recognition-{n}": recognition.recognition(view, subject, subject.concepts, 2.9, 3.1),
        f"change-{n}": recognition.change(view, subject, arms, 3.2, 3.0),
    }
    if several:
        files[f"recognition-{n}-arms"] = recognition.recognition_by_arm(view, subject, arms, subject.concepts, 2.9, 2.4)
    large = recognition.recognition(view, subject, (ALL,), 5.6, 3.8)
    small = [(c, recognition.recognition(view, subject, (c,), 3.7, 2.9)) for c in subject.prompt.concepts]
    check_columns = _check_columns(view, subject)
    steps = [(arm, recognition.change(view, subject, [arm], 3.9, 2.8)) for arm in arms]
    about = f"for the prompt {subject.prompt.text}; the numbers stand in the tables below"

    def v_alt(concept: str) -> str:
        return f"Share of images with {concept} over generations, {about}"

    def c_alt(arm: str) -> str:
        return f"Change rate per feedback step of {arm_label(arm)}, {about}"

    return Section(
        subject,
        files,
        _svg(large, f"v{n}", v_alt(recognition.named(ALL))),
        [_svg(figure, f"v{n}-{i}", v_alt(c)) for i, (c, figure) in enumerate(small)],
        list(_by_arm(view, subject, arms)) if several else [],
        [_svg(figure, f"c{n}-{i}", c_alt(arm)) for i, (arm, figure) in enumerate(steps)],
        recognition.is_cut(view, subject),
        rates(view, subject, check_columns),
        list(check_columns),
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
        svgs = []
        for k, arm in enumerate(arms):
            figure = recognition.recognition_by_arm(view, subject, [arm], [concept], 3.1, 2.4)
            alt = f"Share of images with {recognition.named(concept)} over generations in the arm {arm_label(arm)}"
            svgs.append(_svg(figure, f"v{subject.number}-{i}-{k}", f"{alt}, with its null bands"))
        yield recognition.named(concept), svgs


def _svg(figure: drawing.Drawing, name: str, alt: str) -> str:
    return drawing.inline(figure, name, escape(alt))


def measured(view: View, subject: Subject) -> Measured:
    """The figure and tables of a prompt that is never fed back."""
    figure = recognition.recognition(view, subject, (ALL,), 3.7, 2.9)
    alt = f"Share of images with all concepts over generations, for the measured-only prompt {subject.prompt.text}"
    svg = _svg(figure, f"m{subject.number}", alt)
    return Measured(subject, figure, svg, rates(view, subject, {}), changes(view, subject))


def rates(view: View, subject: Subject, check_columns: Mapping[str, Sequence[str]]) -> RateLines:
    """V of every concept in every generation. check_columns: head -> checks, of which a line has the worst."""
    return [
        (chain, [(g, list(_line(view, chain, subject, g, check_columns))) for g in range(chain.last + 1)])
        for chain in view.chains_of(subject)
    ]


def _line(
    view: View, chain: StyledChain, subject: Subject, generation: int, check_columns: Mapping[str, Sequence[str]]
) -> Iterator[Value]:
    for concept in subject.concepts:
        yield formatting.rate_value(view.rate(chain, subject, concept, generation))
    for names in check_columns.values():
        yield checks.worst_share(view.checks(chain, subject, generation), names)


def _check_columns(view: View, subject: Subject) -> dict[str, Sequence[str]]:
    """The columns of checks that have rows."""
    measured = subject.rows(view.tables.checks)["check"]
    return {head: names for head, names in checks.WORST_COLUMNS.items() if measured.isin(names).any()}


def changes(view: View, subject: Subject) -> list[tuple[StyledChain, list[Step]]]:
    """(chain, its steps) with c and its bands."""
    return [(chain, list(_steps(view, subject, chain))) for chain in view.chains_of(subject)]


def _steps(view: View, subject: Subject, chain: StyledChain) -> Iterator[Step]:
    for i, (start, end) in enumerate(chain.steps()):
        values = [formatting.change_value(view.change(chain, subject, c, start, end)) for c in subject.concepts]
        row = view.change(chain, subject, ALL, start, end)
        sampling, drift = formatting.band(row, "sampling"), formatting.band(row, "drift")
        yield Step(f"{start} \u2192 {end}", i >= chain.last, values, sampling, drift)
