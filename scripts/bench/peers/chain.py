"""A feedback loop as people script it by hand: one batched script per stage, each in its own process.

    python -m scripts.bench.peers.chain generate|score|train|measure FOLDER UNET

FOLDER holds images/ (PNG), scores.json, kept.json. Prints the seconds that imports and loading took.
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

N, KEEP, STEPS, BATCH, BLOCK, SAMPLING = 64, 16, 50, 16, 32, 20
ESSAY = "a photograph of an astronaut riding a horse"


def loaded() -> None:
    print(f"started {time.perf_counter() - BEGAN:.3f}")


def main(stage: str, folder: Path, unet: str, assets: Path) -> None:
    import torch

    torch.set_num_threads(2)
    files = [folder / "images" / f"{i:05d}.png" for i in range(N)]
    if stage in ("generate", "train"):
        from diffusers import UNet2DConditionModel

        from scripts.bench.peers import sampling, training

        pipe = sampling.load(assets / "storybook")
        if unet:
            pipe.unet = UNet2DConditionModel.from_pretrained(unet)
        loaded()
        if stage == "generate":
            sampling.sample(pipe, ESSAY, list(range(N)), BLOCK, SAMPLING, 3.0, folder / "images")
        else:
            kept = [files[i] for i in json.loads((folder / "kept.json").read_text())]
            training.train(pipe, kept, ESSAY, STEPS, BATCH, 5e-5)
            pipe.unet.save_pretrained(folder / "unet")
        return
    from scripts.bench.peers import scoring

    model = scoring.load(assets / ("storybook-curator" if stage == "score" else "storybook-judge"))
    loaded()
    if stage == "score":
        scores = scoring.score(model, files, [ESSAY], 64)[:, 0].tolist()
        best = sorted(range(N), key=lambda i: -scores[i])[:KEEP]
        (folder / "kept.json").write_text(json.dumps(best))
    else:
        calibration = json.loads((assets / "storybook-judge" / "calibration.json").read_text())["concepts"]
        specs = [calibration[concept] for concept in ("astronaut", "horse", "riding")]
        texts = [text for spec in specs for side in ("yes", "no") for text in spec[side]]
        sizes = [len(spec[side]) for spec in specs for side in ("yes", "no")]
        logits = iter(scoring.score(model, files, texts, 64).double().split(sizes, dim=1))
        seen = torch.ones(N, dtype=torch.bool)
        for spec in specs:
            yes, no = (torch.logsumexp(next(logits), dim=1) for _ in range(2))
            seen &= yes - no > spec["threshold"]
        (folder / "rate.json").write_text(json.dumps(seen.double().mean().item()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
