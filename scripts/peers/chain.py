"""One step of the chain that people glue together: a script per stage, batched, each a process of its own.

    python chain.py generate|score|train|measure FOLDER UNET

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

        from peers import sampling, training

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
    from peers import scoring

    model = scoring.load(assets / ("storybook-curator" if stage == "score" else "storybook-judge"))
    loaded()
    if stage == "score":
        scores = scoring.score(model, files, ESSAY, 64)
        best = sorted(range(N), key=lambda i: -scores[i])[:KEEP]
        (folder / "kept.json").write_text(json.dumps(best))
    else:
        calibration = json.loads((assets / "storybook-judge" / "calibration.json").read_text())["concepts"]
        seen = [True] * N
        for concept in ("astronaut", "horse", "riding"):
            told = calibration[concept]
            sides = []
            for texts in (told["yes"], told["no"]):
                logits = torch.tensor([scoring.score(model, files, text, 64) for text in texts])
                sides.append(torch.logsumexp(logits.double(), dim=0))
            seen = [a and bool(b) for a, b in zip(seen, sides[0] - sides[1] > told["threshold"], strict=True)]
        (folder / "rate.json").write_text(json.dumps(sum(seen) / N))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
