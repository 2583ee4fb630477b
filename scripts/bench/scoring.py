"""B6: our curator against open_clip in a loop, one image at a time and 64 at a time. Files are opened on both sides."""

from __future__ import annotations

from scripts.bench import harness

N = 256


def main() -> None:
    file = harness.start()
    import numpy as np
    import pandas as pd
    import torch
    from PIL import Image

    from entropy_loop import assets
    from entropy_loop.data import SAMPLES, Samples
    from entropy_loop.judges.clip import ClipScorer
    from entropy_loop.worlds.storybook import scene
    from scripts.bench.peers import scoring as peer

    torch.set_num_threads(harness.THREADS)
    ours, loaded = ClipScorer("bundled:storybook-curator"), peer.load(assets.find("bundled:storybook-curator"))
    with harness.folder() as root:
        files = [root / f"{i:05d}.png" for i in range(N)]
        for i, one in enumerate(files):
            Image.fromarray(scene.render(scene.sample(1, i))).save(one)
        rows = [(one.stem, harness.ESSAY, 0, one.name, "") for one in files]
        pd.DataFrame(rows, columns=list(SAMPLES)).to_parquet(root / "samples.parquet")
        samples = Samples(root)

        def make() -> list[float]:
            return ours.score(samples, (harness.ESSAY,), harness.ignore)["score"].tolist()

        harness.same(
            "scores", np.allclose(make(), peer.score(loaded, files, [harness.ESSAY], 64)[:, 0].numpy(), atol=1e-4)
        )
        found = []
        for batch, demand, n in ((1, ">= 5", 3), (64, ">= 1.0", 9)):
            told = harness.pairs(make, lambda batch=batch: peer.score(loaded, files, [harness.ESSAY], batch), n)
            found.append(
                harness.Row("B6", f"open_clip, {batch} at a time", *told, n, "x", demand, "scores equal to 1e-4")
            )
    harness.tell(found, file)


if __name__ == "__main__":
    main()
