"""Whole runs on this machine's cores: worker processes of one thread against one process with two threads, and chains
on workers against as many independent processes, each with its share of the chains."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from scripts.bench import harness

ASTRONAUT = "configs/astronaut.yaml"
SMALL = ("generations=3", "images=64", "generator.block=32", "check_images=2")
STUDIES = {
    "main job, cut: three arms": ((*SMALL,), 2, "<= .85"),
    "one chain with measures": ((*SMALL, "sweep={}"), 2, "<= .9"),
}
CHAINS = ("generations=2", "images=64", "generator.block=32", "check_images=2")
"""What is computed for four seeds."""


def independent(root: Path) -> float:
    """Seconds of two processes that know nothing of each other: each has two of the four seeds, and a folder."""
    began = time.perf_counter()
    running = []
    for i, seeds in enumerate(("[0, 1]", "[2, 3]")):
        line = [sys.executable, "-m", "entropy_loop", "run", ASTRONAUT, "--out", str(root / str(i))]
        for override in (*CHAINS, f"sweep={{seed: {seeds}}}", "engine.workers=1"):
            line += ["--set", override]
        running.append(subprocess.Popen(line, env=harness.environment(), stdout=subprocess.DEVNULL))
    harness.same("processes (one failed)", [process.wait() for process in running] == [0, 0])
    return time.perf_counter() - began


def rates(folders: list[Path]) -> pd.DataFrame:
    """Images and hits of these runs, by place, of all their chains together."""
    tables = pd.concat(pd.read_csv(folder / "rates.csv") for folder in folders)
    return tables.groupby(["generation", "set", "prompt", "concept"], as_index=False)[["n", "hits"]].sum()


def main() -> None:
    file = harness.start()
    rows = []
    with harness.temporary_folder() as root:
        for name, (overrides, n, demand) in STUDIES.items():
            times = []
            for i in range(n):
                folders = root / f"{name}-one{i}", root / f"{name}-two{i}"
                one = harness.run(ASTRONAUT, folders[0], *overrides, "threads=2", "engine.workers=1")
                two = harness.run(ASTRONAUT, folders[1], *overrides, "engine.workers=2")
                tables = [pd.read_csv(folder / "rates.csv") for folder in folders]
                harness.same("numbers of judged images", tables[0]["n"].equals(tables[1]["n"]))
                times.append((one, two))
            note = "; ".join(f"{two:.0f} s against {one:.0f} s" for one, two in times)
            what = f"{name}: workers' time over that of one process with two threads"
            rows.append(harness.Row("cores", what, *harness.ratio(times), n, "x", demand, note))
        times = []
        for i in range(2):
            folder = root / f"chains{i}"
            ours = harness.run(ASTRONAUT, folder, *CHAINS, "sweep={seed: [0, 1, 2, 3]}", "engine.workers=2")
            peer = independent(root / f"independent{i}")
            both = rates([folder]), rates([root / f"independent{i}" / part for part in "01"])
            harness.same("rates", both[0].equals(both[1]))
            times.append((ours, peer))
        note = "; ".join(f"{ours:.0f} s against {peer:.0f} s" for ours, peer in times)
        what = "four chains on two workers against two processes with two chains each"
        rows.append(harness.Row("cores", what, *harness.ratio(times), 2, "x", ">= .95", note))
    harness.report(rows, file)


if __name__ == "__main__":
    main()
