"""What the tests share: a tiny experiment without pixels, and the command line as a real process. No torch."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

TOY: dict[str, Any] = {
    "name": "toy",
    "generations": 2,
    "images": 8,
    "measured_images": 4,
    "threads": 1,
    "evaluation": {"images": 2},
    "prompts": [{"text": "an astronaut on a horse", "concepts": ["astronaut", "horse"]}],
    "generator": {"use": "categorical", "rates": {"astronaut": 0.9, "horse": 0.7}},
    "judges": [{"use": "exact"}],
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often tests/faults tries each fault."""
    parser.addoption("--faults", choices=("sample", "full", "soak"), default="sample", help="counts of tests/faults")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests/faults counted, after the last test."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "counted":
                terminalreporter.write_line(f"  {text}")


Toy = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """Writes the toy experiment, top-level keys replaced by the given ones (None leaves a key out), as YAML."""

    def write(file: str = "toy.yaml", **changes: Any) -> Path:
        raw = {key: value for key, value in (deepcopy(TOY) | changes).items() if value is not None}
        path = tmp_path / file
        # By way of JSON, for YAML would write what stands twice as an alias.
        path.write_text(yaml.safe_dump(json.loads(json.dumps(raw)), sort_keys=False), encoding="utf-8")
        return path

    return write


def environment() -> dict[str, str]:
    """This process's environment without a terminal and with one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}


def science(root: Path) -> dict[str, str]:
    """SHA-256 of everything that a run makes, but for when and where it was made."""
    excluded = {"receipt.json", "events.jsonl", "provenance.json", "report.html", "ending.json", "config.yaml"}
    files = [p for p in root.rglob("*") if p.is_file() and p.name not in excluded and ".lock" not in str(p)]
    assert len(files) > 20
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `python -m entropy_loop ...` in tmp_path, to its end."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "entropy_loop", *map(str, arguments)]
        return subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)

    return run
