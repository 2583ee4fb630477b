"""A finished run that is started again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import environment
from faults import children
from faults.test_kills import SMALL

CONFIG = Path("configs/smoke.yaml").resolve()
AGAIN = (
    "import atexit, sys, entropy_loop.cli as cli; sys.argv = ['entropy-loop', *sys.argv[1:]];"
    "heavy = {'torch', 'transformers', 'diffusers', 'open_clip'};"
    "atexit.register(lambda: print('loaded', sorted(heavy & set(sys.modules)))); cli.main()"
)


def test_a_finished_run_again_changes_nothing_and_loads_no_model_library(tmp_path) -> None:
    """The very command: exit 0, not one byte is another, and neither torch nor what is built on it is imported."""
    root = tmp_path / "out"
    assert children.ended(children.carry, CONFIG, root, SMALL) == 0
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    line = [sys.executable, "-c", AGAIN, "run", str(CONFIG), "--out", str(root)]
    line += [word for setting in SMALL for word in ("--set", setting)]
    again = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=300)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "loaded []")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
