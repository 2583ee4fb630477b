"""B13: seconds of `--help`, of `plan` and of a run up to its first image, each from a new process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from scripts.bench import harness

RUN = [
    "run", "configs/smoke.yaml", "--set", "sweep={}", "--set", "generations=1", "--set", "generator.block=1",
    "--set", "measures={}", "--set", "attributes={}",
]  # fmt: skip


MISSING_MODEL = ["run", "configs/smoke.yaml", "--set", "judges=[{use: clip, model: ./no/such/model}]"]


def command(*line: str, code: int = 0) -> float:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "entropy_loop", *line], capture_output=True)
    harness.same("exit codes", done.returncode == code)
    return time.perf_counter() - began


def first_image(out: Path) -> float:
    began = time.perf_counter()
    run = subprocess.Popen([sys.executable, "-m", "entropy_loop", *RUN, "--out", str(out)], stdout=subprocess.DEVNULL)
    while run.poll() is None and not any(out.rglob("*.png")):
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    run.kill()
    run.wait()
    return seconds


def main() -> None:
    file = harness.start()
    rows = []
    for label, line, demand in (
        ("--help", ["--help"], "<= 0.5"),
        ("plan configs/astronaut.yaml", ["plan", "configs/astronaut.yaml"], "<= 1.5"),
        ("plan configs/curation.yaml (50 chains)", ["plan", "configs/curation.yaml"], ""),
    ):
        times = sorted(command(*line) for _ in range(5))
        rows.append(harness.Row("B13", label, times[2], times[0], times[-1], 5, "s", demand))
    times = sorted(command(*MISSING_MODEL, code=2) for _ in range(5))
    rows.append(harness.Row("B13", "a model that is not here", times[2], times[0], times[-1], 5, "s", "< 5"))
    with harness.temporary_folder() as root:
        times = sorted(first_image(root / str(i)) for i in range(3))
    rows.append(harness.Row("B13", "run to first image", times[1], times[0], times[-1], 3, "s", "report"))
    harness.report(rows, file)


if __name__ == "__main__":
    main()
