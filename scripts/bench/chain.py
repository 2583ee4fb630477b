"""B7: one run of five feedback steps against a chain of scripts, one process per stage. B9: the loop's overhead."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from scripts.bench import harness

G, SHORT, N, KEEP, STEPS, BATCH = 5, 2, 64, 16, 50, 16
CONFIG = [
    "sweep={}", f"generations={G}", f"images={N}", "evaluation.images=1", "measures={}", "attributes={}", "engine.workers=2",
    # An evaluation set of one image costs a block.
    "generator.num_inference_steps=20", "generator.block=16", f"curate.policy={{use: top_k, k: {KEEP}}}",
    f"train.max_train_steps={STEPS}", f"train.train_batch_size={BATCH}", "train.learning_rate=5e-5",
]  # fmt: skip


def ours(root: Path) -> tuple[float, list[float]]:
    """Seconds from start to end of `entropy-loop run`, and V(all) by generation."""
    seconds = harness.run("configs/smoke.yaml", root, *CONFIG)
    import pandas as pd

    rates = pd.read_csv(root / "rates.csv").query("set == 'pool' and concept == 'all'")
    return seconds, rates.sort_values("generation")["rate"].tolist()


def chain(root: Path, assets: Path) -> tuple[float, float, list[float]]:
    """The scripts, with two threads each: seconds in total, seconds spent on imports and loading, and V(all) by generation."""
    began, starting, rates, unet = time.perf_counter(), 0.0, [], ""
    for g in range(G + 1):
        folder = root / f"g{g}"
        for stage in ("generate", "measure", "score", "train"):
            if g == G and stage in ("score", "train"):
                continue
            line = [sys.executable, "-m", "scripts.bench.peers.chain", stage, str(folder), unet, str(assets)]
            done = subprocess.run(line, env=harness.environment(), check=True, capture_output=True, text=True)
            starting += float(next(row for row in done.stdout.splitlines() if row.startswith("started ")).split()[1])
        rates.append(json.loads((folder / "rate.json").read_text()))
        unet = str(folder / "unet")
    return time.perf_counter() - began, starting, rates


def bare(root: Path) -> None:
    """The same loop written out with the same primitives, without plan, keys, receipts, checks or syncing to disk."""
    import numpy as np
    import pandas as pd

    from entropy_loop import seeds
    from entropy_loop.data import Checkpoint, Diet, Request, Samples, TrainSettings
    from entropy_loop.generators.diffusion.diffusion import Diffusion
    from entropy_loop.judges.clip import ClipRecogniser, ClipScorer

    generator = Diffusion("bundled:storybook", num_inference_steps=20, guidance_scale=3.0, block=16)
    judge, curator = ClipRecogniser("bundled:storybook-judge"), ClipScorer("bundled:storybook-curator")
    known = judge.calibration_in_force().concepts
    texts = [t for c in ("astronaut", "horse", "riding") for side in ("yes", "no") for t in known[c][side]]
    settings = TrainSettings(max_train_steps=STEPS, train_batch_size=BATCH, learning_rate=5e-5)
    model = root / "base"
    model.mkdir()
    generator.base(model, harness.ignore)
    for g in range(SHORT + 1):
        for name, n in (("pool", N), ("evaluation", 1)):
            out = root / f"{name}{g}"
            out.mkdir()
            requests = [Request(f"{i:05d}", harness.ESSAY, i, seeds.seed(g, name, 0, 0, i)) for i in range(n)]
            generator.sample(Checkpoint(model), requests, out, harness.ignore)
            judge.logits([out / file for file in Samples(out).table["file"]], texts, harness.ignore)
        if g < SHORT:
            pool = Samples(root / f"pool{g}")
            scores = curator.logits(
                [pool.folder / file for file in pool.table["file"]], [harness.ESSAY], harness.ignore
            )
            best = pool.table.iloc[np.argsort(-scores[:, 0])[:KEEP]]
            diet = Diet(pd.DataFrame(best).assign(folder=str(pool.folder), real=False).reset_index(drop=True))
            out = root / f"model{g}"
            out.mkdir()
            generator.train(Checkpoint(model), diet, settings, list(range(STEPS)), out, harness.ignore)
            model = out


def main() -> None:
    file = harness.start()
    import torch

    from entropy_loop import assets
    from entropy_loop.commands import experiment

    torch.set_num_threads(harness.THREADS)
    bundled = assets.find("bundled:storybook").parent
    rows, times, starts = [], [], []
    with harness.temporary_folder() as root:
        for i in range(1):
            seconds, rates = ours(root / f"ours{i}")
            peer_seconds, starting, peer_rates = chain(root / f"chain{i}", bundled)
            harness.same("rates of generation 0", abs(rates[0] - peer_rates[0]) < 0.1 and len(rates) == len(peer_rates))
            times.append((seconds, peer_seconds))
            starts.append(starting / peer_seconds)
        note = f"{times[0][0]:.0f} s against {times[0][1]:.0f} s; {starts[0]:.0%} of theirs is imports and loading; ours includes the report"
        rows.append(
            harness.Row("B7", "chain of scripts, 5 feedback steps", *harness.ratio(times), 1, "x", ">= 2.5", note)
        )

        planned = experiment.prepare(Path("configs/smoke.yaml"), (*CONFIG, f"generations={SHORT}"))
        times = []
        for i in range(4):
            folder = root / f"bare{i}"
            folder.mkdir()
            bare_seconds = harness.seconds(lambda folder=folder: bare(folder))
            loop_seconds = harness.seconds(lambda i=i: _carry(planned, root / f"loop{i}"))
            times.append((bare_seconds, loop_seconds))
            counts = [len(list(place.rglob("*.png"))) for place in (folder, root / f"loop{i}" / "store")]
            harness.same("numbers of images", counts[0] == counts[1] > 0)
        overhead = [value - 1 for value in harness.ratio(times[1:])]
        rows.append(
            harness.Row(
                "B9",
                "overhead over a bare loop",
                *(100 * v for v in overhead),
                3,
                "%",
                "<= 5 %",
                "the cost of plan, keys, receipts and syncing, without tables and report",
            )
        )
    harness.report(rows, file)


def _carry(planned: object, root: Path) -> None:
    from entropy_loop import loop
    from entropy_loop.storage.store import Store

    for run in planned.chains:
        loop.carry(run, Store(root))


if __name__ == "__main__":
    main()
