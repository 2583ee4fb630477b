"""Whole runs on this machine's cores: worker processes of one thread against one process with two threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from scripts.bench import harness

SMALL = ("generations=3", "images=64", "generator.block=32", "check_images=2")
STUDIES = {
    "main job, cut: three arms": ((*SMALL,), 2, "<= .85"),
    "one chain with measures": ((*SMALL, "sweep={}"), 2, "<= .9"),
}


def run(root: Path, *overrides: str) -> float:
    """Seconds of `entropy-loop run`, from start to report."""
    line = [sys.executable, "-m", "entropy_loop", "run", "configs/astronaut.yaml", "--out", str(root)]
    line += [word for override in overrides for word in ("--set", override)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))}
    began = time.perf_counter()
    subprocess.run(line, env=clean, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    file = harness.start()
    rows = []
    with harness.temporary_folder() as root:
        for name, (overrides, n, demand) in STUDIES.items():
            times = []
            for i in range(n):
                folders = root / f"{name}-one{i}", root / f"{name}-two{i}"
                one = run(folders[0], *overrides, "threads=2", "engine.workers=1")
                two = run(folders[1], *overrides, "engine.workers=2")
                tables = [pd.read_csv(folder / "rates.csv") for folder in folders]
                harness.same("numbers of judged images", tables[0]["n"].equals(tables[1]["n"]))
                times.append((one, two))
            note = "; ".join(f"{two:.0f} s against {one:.0f} s" for one, two in times)
            rows.append(
                harness.Row(
                    "cores",
                    f"{name}: workers' time over that of one process with two threads",
                    *harness.ratio(times),
                    n,
                    "x",
                    demand,
                    note,
                )
            )
    harness.report(rows, file)


if __name__ == "__main__":
    main()
