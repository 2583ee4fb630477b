"""Time and memory over images and generations, and two single-thread workers against one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from scripts.bench import harness

SAMPLE = """
import json, resource, sys, time
from pathlib import Path
import torch
torch.set_num_threads(2)
from entropy_loop.data import Checkpoint, Request
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop import seeds
n, root = int(sys.argv[1]), Path(sys.argv[2])
generator = Diffusion("bundled:storybook", num_inference_steps=4, guidance_scale=1.0, block=32)
def sample(n, name):
    out = root / name
    out.mkdir(parents=True)
    requests = [Request(f"{i:05d}", "a photograph of an astronaut riding a horse", i, i) for i in range(n)]
    generator.sample(Checkpoint(root / "base"), requests, out, lambda share: None)
(root / "base").mkdir(parents=True)
generator.base(root / "base", lambda share: None)
sample(32, "warm")
began = time.perf_counter()
sample(n, "made")
print(json.dumps([time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""
RUN = """
import json, resource, sys
from pathlib import Path
import torch
from entropy_loop.commands import experiment
from entropy_loop import loop
from entropy_loop.machine import threads
from entropy_loop.storage.store import Store
threads.use(2)
planned = experiment.prepare(Path("configs/smoke.yaml"), tuple(sys.argv[2:]))
peaks = {}
def listen(event, stage, share):
    if event == "finished":
        peaks[stage.generation] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
loop.carry(planned.chains[0], Store(Path(sys.argv[1]), listen=listen))
print(json.dumps(peaks))
"""
SMALL = [
    "sweep={}", "images=32", "evaluation.images=1", "measures={}", "attributes={}", "generator.num_inference_steps=10",
    "generator.block=32", "train.max_train_steps=10",
]  # fmt: skip


def process(code: str, *arguments: object) -> object:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def workers(root: Path, several: bool) -> float:
    """Seconds of two single-thread chains: one after the other in one process, or as two shards at once."""
    line = [sys.executable, "-m", "entropy_loop", "run", "configs/smoke.yaml", "--out", str(root)]
    small = [*SMALL, "sweep={seed: [0, 1]}", "threads=1", "generations=2"]
    line += [word for override in small for word in ("--set", override)]
    began = time.perf_counter()
    parts = [["--shard", "1/2"], ["--shard", "2/2"]] if several else [[]]
    running = [subprocess.Popen([*line, *part], stdout=subprocess.DEVNULL) for part in parts]
    harness.same("shards (one failed)", [shard.wait() for shard in running] == [0] * len(running))
    return time.perf_counter() - began


def main() -> None:
    file = harness.start()
    rows = []
    with harness.temporary_folder() as root:
        sizes = [64, 256, 1024, 4096]
        measured = [process(SAMPLE, n, root / str(n)) for n in sizes]
        slope = float(np.polyfit(np.log(sizes), np.log([took for took, _ in measured]), 1)[0])
        note = ", ".join(f"{n}: {took:.1f} s" for n, (took, _) in zip(sizes, measured, strict=True))
        rows.append(
            harness.Row(
                "images", "log-log slope of seconds, 64 to 4096", slope, slope, slope, 4, "", "1.00 +- 0.05", note
            )
        )
        grown = (measured[-1][1] - measured[0][1]) / 1e6
        allowed = 64 * 1.048576 + 16 * 1.024e-3 * (sizes[-1] - sizes[0])
        rows.append(
            harness.Row(
                "images", "growth of peak memory, 64 to 4096", grown, grown, grown, 1, "MB", f"<= {allowed:.0f}"
            )
        )

        peaks = process(RUN, root / "run", *SMALL, "generations=10", "threads=2")
        grown = (peaks["10"] - peaks["2"]) / 1e6
        rows.append(
            harness.Row(
                "generations", "growth of peak memory, generation 2 to 10", grown, grown, grown, 1, "MB", "flat"
            )
        )
        spent = {}
        for line in (root / "run/events.jsonl").read_text().splitlines():
            event = json.loads(line)
            generation = int(event["stage"][1:3])
            spent[generation] = spent.get(generation, 0.0) + event["seconds"]
        done = np.cumsum([spent[g] for g in range(1, 10)])  # the first loads the models, the last trains nothing
        slope = float(np.polyfit(np.log(range(1, 10)), np.log(done), 1)[0])
        rows.append(harness.Row("generations", "log-log slope of seconds, 1 to 9", *[slope] * 3, 9, "", "1.00 +- 0.05"))
        late, early = np.mean([spent[g] for g in (8, 9)]), np.mean([spent[g] for g in (2, 3)])
        rows.append(
            harness.Row(
                "generations",
                "seconds of generations 8, 9 over those of 2, 3",
                late / early,
                *[late / early] * 2,
                1,
                "x",
                "1",
            )
        )

        times = [(workers(root / f"two{i}", True), workers(root / f"one{i}", False)) for i in range(2)]
        rows.append(
            harness.Row(
                "workers",
                "two single-thread shards against one process",
                *harness.ratio(times),
                2,
                "x",
                ">= 1.6",
                "two chains, from start to report",
            )
        )
    harness.report(rows, file)


if __name__ == "__main__":
    main()
