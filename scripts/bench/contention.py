"""The bundled UNet on idle cores and beside busy processes: two threads, spinning or not, and two processes of one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

import numpy as np

from scripts.bench import harness

SECONDS, ROWS, REPEATS = 8.0, 64, 3
PASSES = """
import sys, time
from entropy_loop.machine import threads
if sys.argv[2] == "ours":
    threads.wait_passively()
threads.use(int(sys.argv[1]))
import torch
from diffusers import UNet2DConditionModel
from entropy_loop import assets
torch.set_num_threads(int(sys.argv[1]))
torch.set_grad_enabled(False)
folder = assets.find("bundled:storybook")
unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").eval()
rows, seconds = int(sys.argv[3]), float(sys.argv[4])
size, width = unet.config.sample_size, unet.config.cross_attention_dim
latents, text = torch.randn(rows, unet.config.in_channels, size, size), torch.randn(rows, 77, width)
unet(latents, 500, text)
print("ready", flush=True)
sys.stdin.readline()
began, passes = time.perf_counter(), 0
while time.perf_counter() - began < seconds:
    unet(latents, 500, text)
    passes += 1
print(passes / (time.perf_counter() - began))
"""
SETUPS = {
    "two threads that spin": (1, 2, "default"),
    "two threads, our waiting policy": (1, 2, "ours"),
    "two processes of one thread": (2, 1, "ours"),
}


def passes(processes: int, threads: int, waiting: str, busy: int) -> float:
    """Forward passes per second, of all processes together, beside so many busy processes."""
    line = [sys.executable, "-c", PASSES, str(threads), waiting, str(ROWS), str(SECONDS)]
    with ExitStack() as stack:
        pipe = subprocess.PIPE
        workers = [
            subprocess.Popen(line, env=harness.environment(), stdin=pipe, stdout=pipe, text=True)
            for _ in range(processes)
        ]
        harness.same("processes (one failed)", all(worker.stdout.readline() == "ready\n" for worker in workers))
        for _ in range(busy):
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(other.kill)
        for worker in workers:
            worker.stdin.write("\n")
            worker.stdin.flush()
        return sum(float(worker.communicate()[0]) for worker in workers)


def main() -> None:
    file = harness.start()
    measured: dict[tuple[str, int], list[float]] = {(name, busy): [] for name in SETUPS for busy in (0, 2)}
    for _ in range(REPEATS):
        for name, busy in measured:
            measured[name, busy].append(passes(*SETUPS[name], busy))
    rows = [
        harness.Row(
            "contention", f"{name}, beside {busy} busy processes", float(np.median(rates)), min(rates), max(rates),
            REPEATS, "passes/s", "", "median, least and most",
        )
        for (name, busy), rates in measured.items()
    ]  # fmt: skip
    for name, demand in (
        ("two threads, our waiting policy", ">= .4"),
        ("two processes of one thread", ">= .4 (.8 of half)"),
    ):
        pairs = list(zip(measured[name, 0], measured[name, 2], strict=True))
        rows.append(harness.Row("contention", f"{name}: busy over idle", *harness.ratio(pairs), REPEATS, "x", demand))
    pairs = list(zip(measured["two threads that spin", 0], measured["two processes of one thread", 0], strict=True))
    rows.append(
        harness.Row("contention", "processes over threads that spin, idle", *harness.ratio(pairs), REPEATS, "x", "> 1")
    )
    harness.report(rows, file)


if __name__ == "__main__":
    main()
