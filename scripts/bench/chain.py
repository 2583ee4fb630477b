"""B7: five feedback steps as one run, against a chain of scripts, a process per stage. B9: the loop against a bare one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from scripts.bench import harness

G, SHORT, N, KEEP, STEPS, BATCH = 5, 2, 64, 16, 50, 16
CONFIG = [
    "sweep={}", f"generations={G}", f"images={N}", "evaluation.images=1", "measures={}", "attributes={}", "threads=2",
    # An evaluation set of one image costs a block.
    "generator.num_inference_steps=20", "generator.block=16", f"curate.policy={{use: top_k, k: {KEEP}}}",
    f"train.max_train_steps={STEPS}", f"train.train_batch_size={BATCH}", "train.learning_rate=5e-5",
]  # fmt: skip


def ours(root: Path) -> tuple[float, list[float]]:
    """Seconds from start to end of `entropy-loop run`, and V(all) by generation."""
    line = [sys.executable, "-m", "entropy_loop", "run", "configs/smoke.yaml", "--out", str(root)]
    began = time.perf_counter()
    subprocess.run([*line, *(word for one in CONFIG for word in ("--set", one))], check=True, capture_output=True)
    taken = time.perf_counter() - began
    import pandas as pd

    rates = pd.read_csv(root / "rates.csv").query("set == 'pool' and concept == 'all'")
    return taken, rates.sort_values("generation")["rate"].tolist()


def chain(root: Path, assets: Path) -> tuple[float, float, list[float]]:
    """Seconds in all, seconds of them spent on imports and loading, and V(all) by generation."""
    began, starting, rates, unet = time.perf_counter(), 0.0, [], ""
    for g in range(G + 1):
        folder = root / f"g{g}"
        for stage in ("generate", "measure", "score", "train"):
            if g == G and stage in ("score", "train"):
                continue
            line = [sys.executable, "-m", "scripts.bench.peers.chain", stage, str(folder), unet, str(assets)]
            told = subprocess.run(line, check=True, capture_output=True, text=True)
            starting += float(next(row for row in told.stdout.splitlines() if row.startswith("started ")).split()[1])
        rates.append(json.loads((folder / "rate.json").read_text()))
        unet = str(folder / "unet")
    return time.perf_counter() - began, starting, rates


def bare(root: Path) -> None:
    """The same loop by hand with the same primitives: no plan, keys, receipts, checks or syncing to disk."""
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
            asked = [Request(f"{i:05d}", harness.ESSAY, i, seeds.seed(g, name, 0, 0, i)) for i in range(n)]
            generator.sample(Checkpoint(model), asked, out, harness.ignore)
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
    with harness.folder() as root:
        for i in range(1):
            own, rates = ours(root / f"ours{i}")
            other, starting, theirs = chain(root / f"chain{i}", bundled)
            harness.same("rates of generation 0", abs(rates[0] - theirs[0]) < 0.1 and len(rates) == len(theirs))
            times.append((own, other))
            starts.append(starting / other)
        note = f"{times[0][0]:.0f} s against {times[0][1]:.0f} s; of theirs {starts[0]:.0%} is imports and loading; ours has the report, too"
        rows.append(
            harness.Row("B7", "chain of scripts, 5 feedback steps", *harness.ratio(times), 1, "x", ">= 2.5", note)
        )

        planned = experiment.prepare(Path("configs/smoke.yaml"), (*CONFIG, f"generations={SHORT}"))
        times = []
        for i in range(4):
            spot = root / f"bare{i}"
            spot.mkdir()
            begun = harness.seconds(lambda spot=spot: bare(spot))
            mine = harness.seconds(lambda i=i: _carry(planned, root / f"loop{i}"))
            times.append((begun, mine))
            made = [len(list(place.rglob("*.png"))) for place in (spot, root / f"loop{i}" / "store")]
            harness.same("numbers of images", made[0] == made[1] > 0)
        over = [value - 1 for value in harness.ratio(times[1:])]
        rows.append(
            harness.Row(
                "B9",
                "overhead over a bare loop",
                *(100 * v for v in over),
                3,
                "%",
                "<= 5 %",
                "what plan, keys, receipts and syncing add; without tables and report",
            )
        )
    harness.tell(rows, file)


def _carry(planned: object, root: Path) -> None:
    from entropy_loop import loop
    from entropy_loop.storage.store import Store

    for run in planned.chains:
        loop.carry(run, Store(root))


if __name__ == "__main__":
    main()
