"""The report as JSON values and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pandas as pd

from entropy_loop import __version__
from entropy_loop.analysis import formatting
from entropy_loop.analysis.formatting import DASH, Value, number
from entropy_loop.analysis.rows import Row
from entropy_loop.analysis.tables import Tables
from entropy_loop.data import ALL
from entropy_loop.plan import Plan
from entropy_loop.report.page import appendix, prompt_section
from entropy_loop.report.text import conclusions, inference, sentences
from entropy_loop.report.view import Subject, View

TABLES = ("verdicts", "instruments", "rates", "changes", "summary", "checks")


def values(plan: Plan, tables: Tables) -> dict[str, object]:
    """Values for JSON: sentences, and tables as lists of rows; a missing cell is None."""
    view = View(plan, tables)
    report = {
        "name": plan.study.config.name,
        "version": __version__,
        "question": sentences.question(view),
        "verdict": [
            {"prompt": s.prompt.text, "judge": s.judge, "text": conclusions.verdict(view, s)}
            for s in view.subjects(fed_back=True)
        ],
        "warnings": tables.warnings,
        "finished": all(chain.done for chain in view.chains),
    }
    return report | {name: _records(getattr(tables, name)) for name in TABLES}


def _records(table: pd.DataFrame) -> list[Row]:
    rows: list[Row] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def markdown(plan: Plan, tables: Tables) -> str:
    """Markdown: the question, and per prompt and judge the verdict, V by generation, c by step and the claims."""
    view = View(plan, tables)
    opening = sentences.question(view), sentences.toy(view), sentences.status(view)
    parts = [f"# {plan.study.config.name}", *map(_escaped, opening)]
    parts += [f"- {_escaped(warning)}" for warning in tables.warnings]
    for subject in view.subjects(fed_back=True):
        parts += _subject(view, subject)
    parts += [
        f"V: share of the whole pool, [95 % Wilson interval]. {sentences.SIGN} {sentences.ESSAY}",
        _escaped(sentences.what_was_run(plan)),
        f"```\n{appendix.command(plan)}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _subject(view: View, subject: Subject) -> Iterator[str]:
    yield f"## \u201c{_escaped(subject.prompt.text)}\u201d, judged by {_escaped(subject.judge)}"
    yield _escaped(conclusions.verdict(view, subject))
    yield "\n".join(_escaped(f"- **{arm}.** {text}") for arm, text in conclusions.verdicts(view, subject))
    rates = [
        [chain.name, str(generation), *(value.text() for value in values)]
        for chain, lines in prompt_section.rates(view, subject, {})
        for generation, values in lines[: (chain.reached or 0) + 1]
    ]
    yield _table(["chain", "generation", *(f"V({c})" for c in subject.concepts)], rates)
    changes = [
        [chain.name, step.label, step.values[0].text(), _ends(step.sampling), _ends(step.drift)]
        for chain, steps in prompt_section.changes(view, subject)
        for step in steps
    ]
    yield _table(["chain", "step", "c(all)", "sampling band", "drift band"], changes)
    claims = [
        [line.arm, line.mean.text(), _ends(line.null), number(line.p.value, 3)]
        for line in inference.claims(view, subject)
        if line.concept == ALL and line.p.value is not None
    ]
    yield _table(["across chains", "c(all)", "drift band of the mean", "p (Holm)"], claims) if claims else ""


def _ends(band: Value) -> str:
    return formatting.span(band.low, band.high) or f"{DASH} ({band.reason})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def _escaped(text: str) -> str:
    """Text that cannot end a table cell or open a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")
