"""What the benchmarks share: interleaved pairs, ratios with intervals, one table, the same number of threads.

A benchmark first asserts that both sides computed the same thing; one that does not is void.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

THREADS = 2
ESSAY = "a photograph of an astronaut riding a horse"


@dataclass(frozen=True)
class Row:
    """One line of a table. value: a ratio (above 1: ours is faster), or seconds, or a count, as `unit` says."""

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
    """Fix the threads before anything heavy is loaded; returns where the rows are to be added, if anywhere."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(THREADS)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, help="add the rows to this file")
    return parser.parse_args().json


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
    found = np.array([other / own for own, other in times])
    draws = np.random.default_rng(0).choice(found, (10_000, len(found)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return float(np.median(found)), float(low), float(high)


def same(what: str, condition: bool) -> None:
    if not condition:
        raise SystemExit(f"void: {what} differ; nothing was measured.")


def tell(rows: list[Row], file: Path | None) -> None:
    """Print the rows as a table of Markdown and add them to the file."""
    print(f"{machine()}\n\n| id | what | measured | n | demand | note |\n| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        between = f" [{row.low:.3g}, {row.high:.3g}]" if row.low != row.high else ""
        print(f"| {row.id} | {row.what} | {row.value:.3g}{between} {row.unit} | {row.n} | {row.demand} | {row.note} |")
    if file:
        known = json.loads(file.read_text()) if file.is_file() else []
        file.write_text(json.dumps([*known, *({**asdict(row), "machine": machine()} for row in rows)], indent=1))


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "open_clip_torch"))
    return f"{cpu}, {THREADS} threads; {packages}; {datetime.now(UTC):%Y-%m-%d}"


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder that goes away."""
    path = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def ignore(share: float) -> None:
    """Progress that nobody watches."""
