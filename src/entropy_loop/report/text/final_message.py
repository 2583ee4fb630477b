"""What a run tells at its end. It is kept beside the tables, so that a finished run that is started again tells it
without making tables and figures once more, which takes the longer the more chains there are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from entropy_loop.analysis.tables import Tables
from entropy_loop.people import book
from entropy_loop.plan import Plan
from entropy_loop.report.text.terminal_summary import summary
from entropy_loop.storage import reading
from entropy_loop.storage.disk import remove, write_text
from entropy_loop.storage.provenance import provenance
from entropy_loop.study.settings import settings

FILE = "ending.json"


@dataclass(frozen=True)
class Ending:
    """summary: for a terminal. warnings: a sentence each. report: the page."""

    summary: str
    warnings: list[str]
    report: Path


def ending(tables: Tables, report: Path) -> Ending:
    """What a run with these tables and this page tells."""
    return Ending(summary(tables), tables.warnings, report)


def keep(told: Ending, plan: Plan, root: Path) -> None:
    """Write down what a finished run told, of what, and which files it leaves."""
    files = [*root.glob("*.csv"), *root.glob("*.parquet"), *root.glob("figures/*"), told.report]
    names = sorted(str(path.relative_to(root)) for path in files)
    kept = {"of": _of(plan), "files": names, "summary": told.summary, "warnings": told.warnings}
    write_text(root / FILE, json.dumps(kept | {"report": told.report.name}, indent=1))


def kept(plan: Plan, root: Path) -> Ending | None:
    """What was told of this very plan by this very code, if what it left is still there. None where people answer:
    they may have gone on."""
    if not (root / FILE).is_file() or (root / book.FILE).exists():
        return None
    told = reading.parsed(root / FILE)
    if told["of"] != _of(plan) or not all((root / name).is_file() for name in told["files"]):
        return None
    return Ending(told["summary"], told["warnings"], root / told["report"])


def forget(root: Path) -> None:
    """What follows may come out otherwise."""
    remove(root / FILE)


def _of(plan: Plan) -> str:
    made = [settings(plan.study), sorted(stage.folder for stage in plan.stages().values()), provenance()]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()
