"""Many generations in one process, and what it holds on to. In a child of its own."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from entropy_loop.commands import experiment


def sit(config: Path, root: Path, overrides: tuple[str, ...], told: Path) -> None:
    """Carry a run and write down, generation by generation, resident bytes, open files and threads."""
    me, found = psutil.Process(), {}

    def listen(event: str, stage: object, share: float) -> None:
        if event == "finished":
            held = {"rss": me.memory_info().rss, "files": me.num_fds(), "threads": me.num_threads()}
            found[stage.generation] = held  # type: ignore[attr-defined]

    experiment.carry_out(experiment.prepare(config, overrides), root, listen)
    told.write_text(json.dumps([found[g] for g in sorted(found)]))
