"""Runs that may be killed: a process that has everything loaded forks one for each."""

from __future__ import annotations

import hashlib
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from entropy_loop.commands import experiment
from entropy_loop.errors import EntropyLoopError, Locked
from entropy_loop.report.page import page
from entropy_loop.storage.disk import write_text
from entropy_loop.storage.store import Store

CONTEXT = multiprocessing.get_context("forkserver")
CHILD_LOCK = threading.Lock()
"""Held while multiprocessing looks how children ended. Starting a process looks at every other child, too, and of two
threads that look at one child at once the second reads an empty pipe and takes it for killed (255)."""
WHEN = {"receipt.json", "events.jsonl", "provenance.json", "report.html", "ending.json"}
"""Files that say when and where something was made, and the page that shows it."""


def start() -> None:
    """Have the process that forks load what runs need. Before the first child."""
    os.environ.update(OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(sys.path))
    CONTEXT.set_forkserver_preload(["faults.children", "entropy_loop.report.figures.recognition", "faults.models"])


def child(function: Callable[..., None], *arguments: Any) -> Any:
    """A process that calls a function of a module; ends with the exit code of the error that it raises."""
    process = CONTEXT.Process(target=_called, args=(function, arguments))
    with CHILD_LOCK:
        process.start()
    return process


def _called(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the forking process ignores it
    try:
        function(*arguments)
    except EntropyLoopError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def carry(config: Path, root: Path, overrides: tuple[str, ...] = (), error_file: Path | None = None) -> None:
    """The main job: every stage, the tables, the report. error_file: where its error is to be written."""
    try:
        experiment.carry_out(experiment.prepare(config, overrides), root, lambda event, stage, share: None)
    except EntropyLoopError as error:
        if error_file:
            error_file.write_text(str(error))
        raise


def plain(config: Path, root: Path, overrides: tuple[str, ...] = (), error_file: Path | None = None) -> None:
    """The main job without its figures, which take three quarters of a toy's time and are written as tables are."""
    page.write = lambda plan, store, tables: _written(store.root / "report.html")  # type: ignore[assignment]
    carry(config, root, overrides, error_file)


def _written(path: Path) -> Path:
    write_text(path, "<!doctype html>")
    return path


def asking(root: Path, times: int, together: Any, log: Path) -> None:
    """Ask for one folder after the other, each at the same moment as another process; write down what came of it."""
    answers = []
    for number in range(times):
        together.wait()
        try:
            with Store(root / str(number)).lock():
                together.wait()
                answers.append(f"process {os.getpid()}")
        except Locked as error:
            together.wait()
            answers.append(str(error))
    log.write_text("\n".join(answers))


def killed(process: Any, after: float) -> bool:
    """Whether a process still ran when SIGKILL came, so many seconds from now."""
    if code(process, after) is not None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    return code(process) == -signal.SIGKILL


def ended(function: Callable[..., None], *arguments: Any) -> int | None:
    """The exit code of a child that is let be."""
    return code(child(function, *arguments))


def code(process: Any, within: float | None = None) -> int | None:
    """A child's exit code, None while it still runs after so many seconds."""
    multiprocessing.connection.wait([process.sentinel], within)
    with CHILD_LOCK:
        return process.exitcode


def abreast(do: Callable[[Any], None], cases: Sequence[Any]) -> None:
    """Do something with every case, two at a time; raises the first failure."""
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(do, case) for case in cases]:
            future.result()


def timed(function: Callable[..., None], *arguments: Any) -> float:
    """Seconds that a child takes, which has to end well."""
    began = time.monotonic()
    assert ended(function, *arguments) == 0
    return time.monotonic() - began


def science(root: Path) -> dict[str, str]:
    """SHA-256 of every table, image and weight of a finished run. Asserts that nothing unfinished lies about."""
    files = [path for path in root.rglob("*") if path.is_file()]
    left = [path for path in files if path.name.endswith(".part") or {".scratch", ".kept"} & set(path.parts)]
    assert not left
    results = [p for p in files if p.name not in WHEN and not p.name.startswith(".lock") and p.name != "config.yaml"]
    assert len(results) > 20
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in results}


def kills(
    wanted: int,
    config: Path,
    folder: Path,
    overrides: tuple[str, ...],
    rng: np.random.Generator,
    job: Callable[..., None] = carry,
) -> int:
    """Kill runs at random moments, each of them up to three times, until so many kills have hit, in two lanes; then
    they are let be, and held against one that nobody disturbed. job: carry or plain. Returns how many runs that
    were."""
    whole = folder / "whole"
    assert ended(job, config, whole, overrides) == 0
    length, expected, finished = timed(job, config, folder / "again", overrides), science(whole), []

    def lane(seed: int) -> None:
        moments, hits = np.random.default_rng(seed), 0
        while hits < wanted / 2:
            root = folder / f"run{seed}"
            hits += sum(killed(child(job, config, root, overrides), moments.uniform(0, length)) for _ in range(3))
            assert ended(job, config, root, overrides) == 0
            assert science(root) == expected
            finished.append(seed)
            shutil.rmtree(root)

    abreast(lane, rng.integers(1 << 32, size=2).tolist())
    return len(finished)
