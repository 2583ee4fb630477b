"""B1, B2: our sampler against diffusers' pipeline. Both sides save their images."""

from __future__ import annotations

from pathlib import Path

from scripts.bench import harness

N, STEPS, GUIDANCE, BLOCK = 64, 20, 3.0, 32


def main() -> None:
    file = harness.start()
    import numpy as np
    import torch
    from PIL import Image

    from entropy_loop import assets
    from entropy_loop.data import Checkpoint, Request
    from entropy_loop.generators.diffusion.diffusion import Diffusion
    from scripts.bench.peers import sampling as peer

    torch.set_num_threads(harness.THREADS)
    options = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "block": BLOCK}
    ours = Diffusion("bundled:storybook", **options)
    pipe = peer.load(assets.find("bundled:storybook"))
    seeds = list(range(N))
    requests = [Request(f"{i:05d}", harness.ESSAY, i, seed) for i, seed in enumerate(seeds)]
    count = iter(range(10_000))
    with harness.temporary_folder() as root:
        base = root / "base"
        base.mkdir()
        ours.base(base, harness.ignore)

        def make(generator: Diffusion) -> Path:
            out = root / f"ours{next(count)}"
            out.mkdir()
            generator.sample(Checkpoint(base), requests, out, harness.ignore)
            return out

        def make_peer(batch: int) -> Path:
            out = root / f"peer{next(count)}"
            peer.sample(pipe, harness.ESSAY, seeds, batch, STEPS, GUIDANCE, out)
            return out

        own, other = make(ours), make_peer(BLOCK)
        differences = [
            np.abs(
                np.asarray(Image.open(own / f"images/{i:05d}.png"), int)
                - np.asarray(Image.open(other / f"{i:05d}.png"), int)
            ).max()
            for i in range(N)
        ]
        harness.same("images", max(differences) <= 1)
        rows = []
        ratio = harness.pairs(lambda: make(ours), lambda: make_peer(BLOCK), 5)
        rows.append(
            harness.Row("B1", f"pipeline, {BLOCK} at a time", *ratio, 5, "x", ">= 1.00", "exact; images equal to 1/255")
        )
        ratio = harness.pairs(lambda: make(ours), lambda: make_peer(1), 2, warm=0)
        rows.append(harness.Row("B2", "pipeline, one at a time", *ratio, 2, "x", ">= 2.0"))
    harness.report(rows, file)


if __name__ == "__main__":
    main()
