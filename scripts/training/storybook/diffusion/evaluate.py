"""Measure the bundled checkpoint and judge against their demands. Prints the table of the model card.

    python -m scripts.training.storybook.diffusion.evaluate --out DIR        (about 10 minutes on one core)

It uses the code and the config that users run, on scenes, seeds and junk that no training and no calibration has seen.
Exit code 1 when a demand is not met.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from entropy_loop import assets, seeds
from entropy_loop.data import ALL, Checkpoint, Concept, Prompt, Request, Samples
from entropy_loop.judges.clip import ClipRecogniser
from entropy_loop.metrics.rates import answers, wilson
from entropy_loop.study import study
from entropy_loop.worlds.storybook import album, scene
from scripts.training.storybook.pictures import to_float, to_pixels
from scripts.training.storybook.round_trips import Codec, degradations

ALBUM = 90_001  # no training and no calibration draws from it
ESSAY = Prompt("a photograph of an astronaut riding a horse", "target", ("astronaut", "horse", "riding"))
OTHERS = (("knight", "zebra"), ("robot", "elephant"), ("chef", "pig"), ("wizard", "reindeer"), ("clown", "camel"),
          ("pirate", "turtle"), ("cat", "cow"), ("knight", "horse"), ("astronaut", "cow"))  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One measured rate, hits of n, and its demand: at least or at most so much (None: only reported)."""

    what: str
    hits: int
    n: int
    at_least: float | None = None
    at_most: float | None = None
    lower_bound: bool = False

    @property
    def met(self) -> bool:
        if not self.n:
            return self.at_least is None and self.at_most is None  # nothing was asked, nothing is shown
        value = wilson(self.hits, self.n).low if self.lower_bound else self.hits / self.n
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        bound = "Wilson lower bound " if self.lower_bound else ""
        demand = (
            f">= {self.at_least}"
            if self.at_least is not None
            else f"<= {self.at_most}"
            if self.at_most is not None
            else ""
        )
        verdict = ("yes" if self.met else "**no**") if demand else ""
        rate = "none was made"
        if self.n:
            low, high = wilson(self.hits, self.n)
            rate = f"{self.hits / self.n:.4f} [{low:.4f}, {high:.4f}]"
        return f"| {self.what} | {self.n} | {rate} | {bound}{demand} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=2000, help="for the judge")
    parser.add_argument("--junk", type=int, default=500)
    parser.add_argument("--degraded", type=int, default=200, help="scenes with and without the concepts, each")
    parser.add_argument(
        "--images",
        type=int,
        default=512,
        help="of the essay's prompt, 4 or more; a quarter of it for each other one",
    )
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} exists; results never mix, name a new folder")
    if min(options.scenes, options.junk, options.degraded) < 1 or options.images < 4:
        parser.error("--scenes, --junk and --degraded must be at least 1, --images at least 4")
    lines = [*judge_lines(options), *degraded_lines(options), *generation_lines(options)]
    print("| what | n | rate [95 % interval] | demand | met |\n| --- | --- | --- | --- | --- |")
    print("\n".join(map(str, lines)))
    rows = [{**line.__dict__, "met": line.met} for line in lines]
    (options.out / "eval.json").write_text(json.dumps(rows, indent=1))
    raise SystemExit(not all(line.met for line in lines))


def judge_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Sensitivity and specificity on fresh scenes, false positives on junk."""
    scenes = list(scene.album(options.scenes, ALBUM))
    answered = judged([scene.render(drawn) for drawn in scenes], ESSAY, options.out / "scenes")
    truth = pd.DataFrame(
        {
            "astronaut": [drawn.rider == "astronaut" for drawn in scenes],
            "horse": [drawn.mount == "horse" for drawn in scenes],
            "riding": [drawn.relation == "riding" for drawn in scenes],
        },
        index=answered.index,
    )
    truth[ALL] = truth.all(axis=1)
    for name in (*ESSAY.concepts, ALL):
        shown, recognised = truth[name], answered[name].astype(bool)
        strict = name != ALL
        yield Line(
            f"judge, sensitivity, {name}", int(recognised[shown].sum()), int(shown.sum()), 0.97 if strict else None
        )
        yield Line(
            f"judge, specificity, {name}",
            int((~recognised[~shown]).sum()),
            int((~shown).sum()),
            0.98 if strict else None,
        )
    beside = [drawn.relation == "next_to" for drawn in scenes]
    refused = ~answered.loc[beside, "riding"].astype(bool)
    yield Line("judge, riding refused where somebody stands beside", int(refused.sum()), len(refused), 0.98)
    junk = judged(list(junk_images(options.junk)), ESSAY, options.out / "junk")
    for name in ESSAY.concepts:
        yield Line(f"judge, false positives on junk, {name}", int(junk[name].sum()), len(junk), at_most=0.02)


def degraded_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Sensitivity on scenes of the essay's prompt, specificity on scenes that show none of it, ever more degraded."""
    n = options.degraded
    with_it = [scene.sample(ALBUM + 2, i, relation="riding", rider="astronaut", mount="horse") for i in range(n)]
    others = (scene.sample(ALBUM + 3, i, relation="next_to") for i in range(4 * n))
    without = [drawn for drawn in others if drawn.rider != "astronaut" and drawn.mount != "horse"][:n]
    images = to_float(np.stack([scene.render(drawn) for drawn in (*with_it, *without)]))
    codec = Codec(assets.find(f"{assets.PREFIX}storybook") / "vae")
    for kind, level, degraded in degradations(images, codec, ALBUM):
        answered = judged(list(to_pixels(degraded)), ESSAY, options.out / f"degraded-{kind}-{level:g}").astype(bool)
        for name in (*ESSAY.concepts, ALL):
            yield Line(f"judge, {kind} {level:g}, sensitivity, {name}", int(answered[name].iloc[:n].sum()), n)
            refused = ~answered[name].iloc[n:]
            yield Line(f"judge, {kind} {level:g}, specificity, {name}", int(refused.sum()), len(refused))


def generation_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Generation 0 by the main job's own sampler: the essay's prompt, others, and the unseen pairs."""
    answered = judged_samples(ESSAY, options.images, 0, options.out / "essay")
    for name in ESSAY.concepts:
        yield Line(f"generation 0, {name}", int(answered[name].sum()), len(answered), 0.90, lower_bound=True)
    essay = Line("generation 0, all", int(answered[ALL].sum()), len(answered), 0.80, lower_bound=True)
    yield essay
    for index, (rider, mount) in enumerate((*OTHERS, *scene.UNSEEN_PAIRS), start=1):
        text = f"a photograph of {scene.noun(rider)} riding {scene.noun(mount)}"
        prompt = Prompt(text, "similar", (rider, mount, "riding"))
        seen = (rider, mount) not in scene.UNSEEN_PAIRS
        answered = judged_samples(prompt, options.images // 4, index, options.out / f"{rider}-{mount}")
        label = f"generation 0, all, {rider} riding {mount}" + ("" if seen else " (pair never seen in training)")
        within = round(essay.hits / essay.n - 0.15, 4) if seen else None
        yield Line(label, int(answered[ALL].sum()), len(answered), within)


def judged_samples(prompt: Prompt, n: int, index: int, folder: Path) -> pd.DataFrame:
    """Make n images of a prompt with the main job's sampler and judge them; leaves a contact sheet."""
    generator = study.load(Path("configs/astronaut.yaml")).config.generator_plugin()
    requests = [Request(f"{i:06d}", prompt.text, i, seeds.seed(ALBUM, "eval", 0, index, i)) for i in range(n)]
    folder.mkdir(parents=True)
    generator.base(folder, lambda share: None)
    generator.sample(Checkpoint(folder), requests, folder, lambda share: None)
    pixels = [np.asarray(Image.open(folder / file)) for file in Samples(folder).table["file"]]
    album.sheet(pixels).save(folder / "contact_sheet.png")
    return answered_by_judge(prompt, folder)


def judged(pixels: list[np.ndarray], prompt: Prompt, folder: Path) -> pd.DataFrame:
    """Let the judge look at images (uint8, 64 x 64 x 3) as if they were samples of the prompt."""
    (folder / "images").mkdir(parents=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"images/{i:06d}.png")
    ids = [f"{i:06d}" for i in range(len(pixels))]
    table = pd.DataFrame({"id": ids, "prompt": prompt.text, "file": [f"images/{i}.png" for i in ids]})
    table.to_parquet(folder / "samples.parquet")
    return answered_by_judge(prompt, folder)


def answered_by_judge(prompt: Prompt, folder: Path) -> pd.DataFrame:
    judge = ClipRecogniser(model=f"{assets.PREFIX}storybook-judge")
    concepts = tuple(Concept(name) for name in prompt.concepts)
    return answers(judge.judge(Samples(folder), (prompt,), concepts, lambda share: None), prompt.concepts)


def junk_images(n: int) -> Iterator[np.ndarray]:
    """Noise, blanks, strong blur and shuffled patches, a quarter each; written apart from the training's junk."""
    for i in range(n):
        rng = np.random.default_rng([ALBUM, i])
        picture = scene.render(scene.sample(ALBUM + 1, i, relation="riding", rider="astronaut", mount="horse"))
        if i % 4 == 0:
            yield rng.integers(0, 256, picture.shape, dtype=np.uint8)
        elif i % 4 == 1:
            yield np.full_like(picture, rng.integers(0, 256, 3))
        elif i % 4 == 2:
            yield np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(10)))
        else:
            tiles = picture.reshape(8, 8, 8, 8, 3).swapaxes(1, 2).reshape(64, 8, 8, 3)
            shuffled = tiles[rng.permutation(64)].reshape(8, 8, 8, 8, 3)
            yield shuffled.swapaxes(1, 2).reshape(picture.shape)


if __name__ == "__main__":
    main()
