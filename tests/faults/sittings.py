"""Many generations in one process, and what it holds on to. In a child of its own."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from entropy_loop.commands import experiment


def sit(config: Path, root: Path, overrides: tuple[str, ...], log: Path) -> None:
    """Carry a run and write down, generation by generation, resident bytes, open files and threads."""
    process, measured = psutil.Process(), {}

    def listen(event: str, stage: object, share: float) -> None:
        if event == "finished":
            held = {"rss": process.memory_info().rss, "files": process.num_fds(), "threads": process.num_threads()}
            measured[stage.generation] = held  # type: ignore[attr-defined]

    experiment.carry_out(experiment.prepare(config, overrides), root, listen)
    log.write_text(json.dumps([measured[g] for g in sorted(measured)]))
