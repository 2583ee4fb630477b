"""B8: a sweep of 8 arms and 2 seeds against the same runs without sharing. B10: the finished sweep started again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from scripts.bench import harness

ARMS = [
    {"use": "none"},
    *({"use": name, "k": k} for name in ("top_k", "random_k") for k in (2, 4, 6)),
    {"use": "bottom_k", "k": 2},
]
CONFIG = [
    "generations=3", "images=8", "evaluation.images=1", "measures={}", "attributes={}", "threads=2",
    "generator.num_inference_steps=4", "generator.block=8", "train.max_train_steps=3", "train.train_batch_size=4",
    f"sweep={{curate.policy: {json.dumps(ARMS)}, seed: [0, 1]}}",
]  # fmt: skip
SIXTEEN = [{"use": "none"}, *({"use": n, "k": k} for n in ("top_k", "random_k", "bottom_k") for k in (1, 2, 3, 4, 5))]
AGAIN = (
    "import atexit, sys, entropy_loop.cli as cli; sys.argv = ['entropy-loop', *sys.argv[1:]];"
    "atexit.register(lambda: print('torch', 'torch' in sys.modules)); cli.main()"
)


def main() -> None:
    file = harness.start()
    import torch

    from entropy_loop import loop
    from entropy_loop.commands import experiment
    from entropy_loop.storage.store import Store

    torch.set_num_threads(harness.THREADS)
    planned = experiment.prepare(Path("configs/smoke.yaml"), tuple(CONFIG))
    alone = sum(len({s.key for g in run.generations for s in g.stages()}) for run in planned.chains)
    with harness.temporary_folder() as root:
        loop.carry(planned.chains[0], Store(root / "warm"))
        times, folders = [], {}
        for i in range(1):
            together = harness.seconds(lambda i=i: [loop.carry(run, Store(root / f"all{i}")) for run in planned.chains])
            apart = harness.seconds(
                lambda i=i: [loop.carry(run, Store(root / f"one{i}-{n}")) for n, run in enumerate(planned.chains)]
            )
            times.append((together, apart))
        took = {}
        for receipt in root.glob("one0-*/store/*/receipt.json"):
            record = json.loads(receipt.read_text())
            took.setdefault((record["stage"]["verb"], record["stage"]["reads"]["set"]), []).append(record["seconds"])
            folders[record["stage"]["key"]] = receipt.parent
        mean = {name: sum(values) / len(values) for name, values in took.items()}
        stages = planned.stages().values()
        predicted = sum(sum(v) for v in took.values()) / sum(mean[stage.verb, stage.set] for stage in stages)
        same = all(
            (root / "all0/store" / s.folder / "samples.parquet").read_bytes() == (folders[s.key] / "samples.parquet").read_bytes()
            for s in stages if s.verb.startswith("generate")
        )  # fmt: skip
        harness.same("samples", same)
        ratio = harness.ratio(times)
        note = (
            f"{alone} stages without sharing, {len(stages)} with; with each kind's mean seconds that is {predicted:.2f}"
        )
        rows = [harness.Row("B8", "8 arms x 2 seeds without sharing", *ratio, 1, "x", ">= .97 of predicted", note)]
        rows.append(harness.Row("B8", "of what the plan predicts", *(v / predicted for v in ratio), 1, "", ">= .97"))
        count = len(list(root.glob("all0/store/*/receipt.json"))) / len(stages)
        rows.append(harness.Row("B8", "stages made over stages planned", count, count, count, 1, "", "<= 1.05"))

        line = [sys.executable, "-c", AGAIN, "run", "configs/smoke.yaml", "--out", str(root / "all")]
        line += [
            word
            for override in (*CONFIG[:-1], f"sweep={{curate.policy: {json.dumps(SIXTEEN)}}}")
            for word in ("--set", override)
        ]
        subprocess.run(line, check=True, capture_output=True)
        again = []
        for _ in range(5):
            began = time.perf_counter()
            done = subprocess.run(line, check=True, capture_output=True, text=True)
            again.append(time.perf_counter() - began)
            harness.same("promises: torch was imported", "torch False" in done.stdout)
        again.sort()
        rows.append(
            harness.Row(
                "B10",
                "finished 16-arm sweep again",
                again[2],
                again[0],
                again[-1],
                5,
                "s",
                "<= 2",
                "torch is not imported",
            )
        )
    harness.report(rows, file)


if __name__ == "__main__":
    main()
