"""Many generations in one process, and what it holds on to. In a child of its own."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow

from entropy_loop.commands import experiment


def threads(process: psutil.Process) -> int:
    """The process's threads but for those of pyarrow's allocator, which come when it likes."""
    names = []
    for file in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # the thread has just ended
            names.append(file.read_text().strip())
    return process.num_threads() - names.count("jemalloc_bg_thd")


def sit(config: Path, root: Path, overrides: tuple[str, ...], log: Path) -> None:
    """Carry a run and write down, generation by generation, resident bytes, open files and threads."""
    pyarrow.set_cpu_count(1)  # it starts a thread of a pool when it first needs one, maybe late
    pyarrow.set_io_thread_count(1)
    process, measured = psutil.Process(), {}

    def listen(event: str, stage: object, share: float) -> None:
        if event == "finished":
            held = {"rss": process.memory_info().rss, "files": process.num_fds(), "threads": threads(process)}
            measured[stage.generation] = held  # type: ignore[attr-defined]

    experiment.carry_out(experiment.prepare(config, overrides), root, listen)
    log.write_text(json.dumps([measured[g] for g in sorted(measured)]))
