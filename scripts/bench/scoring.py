"""B6: our curator against open_clip in a loop, one image at a time and 64 at a time. Files are opened on both sides."""

from __future__ import annotations

from scripts.bench import harness

N = 256


def main() -> None:
    report_file = harness.start()
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
    with harness.temporary_folder() as root:
        files = [root / f"{i:05d}.png" for i in range(N)]
        for i, file in enumerate(files):
            Image.fromarray(scene.render(scene.sample(1, i))).save(file)
        rows = [(file.stem, harness.ESSAY, 0, file.name, "") for file in files]
        pd.DataFrame(rows, columns=list(SAMPLES)).to_parquet(root / "samples.parquet")
        samples = Samples(root)

        def make() -> list[float]:
            return ours.score(samples, (harness.ESSAY,), harness.ignore)["score"].tolist()

        harness.same(
            "scores", np.allclose(make(), peer.score(loaded, files, [harness.ESSAY], 64)[:, 0].numpy(), atol=1e-4)
        )
        results = []
        for batch, demand, n in ((1, ">= 5", 3), (64, ">= 1.0", 9)):
            ratio = harness.pairs(make, lambda batch=batch: peer.score(loaded, files, [harness.ESSAY], batch), n)
            results.append(
                harness.Row("B6", f"open_clip, {batch} at a time", *ratio, n, "x", demand, "scores equal to 1e-4")
            )
    harness.report(results, report_file)


if __name__ == "__main__":
    main()
