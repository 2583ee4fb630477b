"""The final message of a run. It is saved beside the tables, so that a finished run that is started again shows it at
once: tables and figures take long with many chains."""

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
class FinalMessage:
    """summary: for a terminal. warnings: sentences. report: the file of the page."""

    summary: str
    warnings: list[str]
    report: Path


def final_message(tables: Tables, report: Path) -> FinalMessage:
    """The final message of a run with these tables and this page."""
    return FinalMessage(summary(tables), tables.warnings, report)


def save(message: FinalMessage, plan: Plan, root: Path) -> None:
    """Saves the message of a finished run, with a hash of its plan and code and the names of its files."""
    files = [*root.glob("*.csv"), *root.glob("*.parquet"), *root.glob("figures/*"), message.report]
    names = sorted(str(path.relative_to(root)) for path in files)
    saved = {"of": _digest(plan), "files": names, "summary": message.summary, "warnings": message.warnings}
    write_text(root / FILE, json.dumps(saved | {"report": message.report.name}, indent=1))


def load(plan: Plan, root: Path) -> FinalMessage | None:
    """The saved message, if it is of the same plan and code and all files are still there. None where people answer,
    since new answers change the tables."""
    if not (root / FILE).is_file() or (root / book.FILE).exists():
        return None
    saved = reading.parsed(root / FILE)
    if saved["of"] != _digest(plan) or not all((root / name).is_file() for name in saved["files"]):
        return None
    return FinalMessage(saved["summary"], saved["warnings"], root / saved["report"])


def delete(root: Path) -> None:
    """Deletes the saved message, before a run that may change the results."""
    remove(root / FILE)


def _digest(plan: Plan) -> str:
    identity = [settings(plan.study), sorted(stage.folder for stage in plan.stages().values()), provenance()]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
