"""Measure how the block size changes pixels and the judge's answers.

    python -m scripts.tools.measure_block_size --scheduler ddim

It makes the same images of the bundled checkpoint one by one and in blocks of the default size. The initial noise is
the same, but the order of sums differs, and so the rounding. Prints one row of the table in docs/determinism.md.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

PROMPT, CONCEPTS = "a photograph of an astronaut riding a horse", ("astronaut", "horse", "riding")
THREADS, DEFAULT = 1, 32


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scheduler", default="ddim")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    return parser.parse_args()


def main() -> None:
    """Make both pools, judge them, print the row."""
    arguments = parse()
    import numpy as np
    import pandas as pd
    from PIL import Image

    from entropy_loop import seeds
    from entropy_loop.data import Checkpoint, Concept, Prompt, Request, Samples
    from entropy_loop.generators.diffusion.diffusion import Diffusion
    from entropy_loop.judges.clip import ClipRecogniser
    from entropy_loop.machine import threads

    threads.use(THREADS)
    judge = ClipRecogniser("bundled:storybook-judge")
    requests = [Request(f"{i:05d}", PROMPT, i, seeds.seed(0, "pool", index=i)) for i in range(arguments.images)]
    concepts = tuple(Concept(name) for name in CONCEPTS)

    def pool(block: int, out: Path) -> tuple[np.ndarray, pd.DataFrame]:
        """Pixels (n, h, w, 3), and answers with one row per image and one column per concept."""
        out.mkdir()
        generator = Diffusion(
            "bundled:storybook", scheduler=arguments.scheduler, num_inference_steps=arguments.steps,
            guidance_scale=arguments.guidance, block=block,
        )  # fmt: skip
        generator.base(out, lambda share: None)
        generator.sample(Checkpoint(out), requests, out, lambda share: None)
        samples = Samples(out)
        judgements = judge.judge(samples, (Prompt(PROMPT, "target", CONCEPTS),), concepts, lambda share: None)
        pixels = np.stack([np.asarray(Image.open(out / file), int) for file in samples.table["file"]])
        return pixels, judgements.pivot(index="id", columns="concept", values="answer").astype(bool)

    with tempfile.TemporaryDirectory() as folder:
        (single, answers), (blocked, blocked_answers) = (
            pool(block, Path(folder, str(block))) for block in (1, DEFAULT)
        )
    difference = np.abs(single - blocked)
    other = (answers != blocked_answers).any(axis=1)
    print("| scheduler | images that differ | pixels that differ | most, of 255 | images with another answer |")
    print("| --- | --- | --- | --- | --- |")
    print(
        f"| {arguments.scheduler} | {(difference.max(axis=(1, 2, 3)) > 0).sum()} of {len(single)} "
        f"| {(difference.max(axis=3) > 0).mean():.2%} | {difference.max()} | {other.sum()} of {len(single)} |"
    )


if __name__ == "__main__":
    main()
