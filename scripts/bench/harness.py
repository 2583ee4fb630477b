"""Helpers of the benchmarks: interleaved pairs, ratios with intervals, one table, one thread a process by default.

A benchmark first checks that both sides computed the same thing, and otherwise stops without a result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

THREADS = 1
ESSAY = "a photograph of an astronaut riding a horse"


@dataclass(frozen=True)
class Row:
    """One line of a table. value: in `unit`; a ratio above 1 means that ours is faster."""

    id: str
    what: str
    value: float
    low: float
    high: float
    n: int
    unit: str
    demand: str
    note: str = ""


def start() -> Path | None:
    """Set the number of threads, before torch is imported, and return the file of --json, if any."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(THREADS)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, help="add the rows to this file")
    return parser.parse_args().json


def environment() -> dict[str, str]:
    """This process's environment, with no word about threads: of a shell in which nobody set any."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "MKL_", "OPENBLAS_", "KMP_"))
    }


def run(config: str, root: Path, *overrides: str) -> float:
    """Seconds of `entropy-loop run`, from start to report, in an environment of its own."""
    line = [sys.executable, "-m", "entropy_loop", "run", config, "--out", str(root)]
    line += [word for override in overrides for word in ("--set", override)]
    return seconds(lambda: subprocess.run(line, env=environment(), stdout=subprocess.DEVNULL, check=True))


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def pairs(ours: Callable[[], object], peer: Callable[[], object], n: int, warm: int = 1) -> tuple[float, float, float]:
    """Median of peer's time over ours in n interleaved pairs, and its 95 % bootstrap interval."""
    for _ in range(warm):
        ours(), peer()
    return ratio([(seconds(ours), seconds(peer)) for _ in range(n)])


def ratio(times: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Median of the second over the first, with its 95 % bootstrap interval over the pairs."""
    ratios = np.array([peer / ours for ours, peer in times])
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def same(compared: str, condition: bool) -> None:
    if not condition:
        raise SystemExit(f"void: {compared} differ between the two sides; nothing was measured.")


def report(rows: list[Row], file: Path | None) -> None:
    """Print the rows as a Markdown table and append them to the file."""
    print(f"{machine()}\n\n| id | what | measured | n | demand | note |\n| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        interval = f" [{row.low:.3g}, {row.high:.3g}]" if row.low != row.high else ""
        print(f"| {row.id} | {row.what} | {row.value:.3g}{interval} {row.unit} | {row.n} | {row.demand} | {row.note} |")
    if file:
        known = json.loads(file.read_text()) if file.is_file() else []
        file.write_text(json.dumps([*known, *({**asdict(row), "machine": machine()} for row in rows)], indent=1))


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "open_clip_torch"))
    return f"{cpu}, {os.cpu_count()} cores; {packages}; {datetime.now(UTC):%Y-%m-%d}"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder, deleted at the end of the block."""
    path = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def ignore(share: float) -> None:
    """A progress callback that does nothing."""
