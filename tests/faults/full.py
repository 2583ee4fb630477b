"""A disk on which nothing more can be written from the moment on that a stage begins. In a child of its own."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

from entropy_loop.commands import experiment
from entropy_loop.errors import EntropyLoopError

LIMIT = 300
"""Bytes that a file may have then: fewer than any table, image or weights have."""


def full_from(config: Path, root: Path, overrides: tuple[str, ...], verb: str, error_file: Path) -> None:
    """Carry a run; from the first stage of this verb on no file can grow beyond LIMIT."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails instead

    def listen(event: str, stage: object, share: float) -> None:
        if event == "started" and stage.name == verb:  # type: ignore[attr-defined]
            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))

    try:
        experiment.carry_out(experiment.prepare(config, overrides), root, listen)
    except EntropyLoopError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        error_file.write_text(str(error))
        raise
