"""Compare a judge with labels by eye on the loop's own pictures. Prints each demand and whether it is met.

    python -m scripts.training.storybook.judges.evaluate [--judge MODEL] [--json FILE]      (half a minute on one core)

Pictures and labels are parts `test` and `unseen` of `experiments/loop-truth`. No judge was trained, tuned or
thresholded on them. The labels give a span of V, with can't tell as no and as yes. The gap is the distance of the
judge's V on the same pictures from this span. Exit code 1 when a demand is not met.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from entropy_loop import assets
from entropy_loop.data import ALL, Concept, Prompt, Samples
from entropy_loop.judges.clip import ClipRecogniser
from entropy_loop.metrics import rates
from entropy_loop.worlds.storybook import scene
from scripts.training.storybook.judges.loop_truth.parts import by_eye, labelled, nobody, pixels
from scripts.training.storybook.pictures import junk_melted, junk_noise, junk_scrambled, pictures, to_float, to_pixels

ESSAY = ("astronaut", "horse", "riding")
ALBUM = 90_011  # no training and no calibration draws from it


@dataclass(frozen=True)
class Line:
    """One measured value on n pictures and its demand. low, high: its interval, or the span of V by eye. judge: V by
    the judge, where the value is its gap to the span."""

    what: str
    n: int
    value: float
    low: float | None
    high: float | None
    at_least: float | None = None
    at_most: float | None = None
    judge: float | None = None

    @property
    def met(self) -> bool:
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def __str__(self) -> str:
        bound = "" if self.at_least is None else f">= {self.at_least}"
        bound = bound if self.at_most is None else f"<= {self.at_most}"
        span = "" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]"
        if self.judge is not None:
            span = f": judge {self.judge:.2f}, eye {self.low:.2f} to {self.high:.2f}"
        return f"| {self.what} | {self.n} | {self.value:.3f}{span} | {bound} | {'yes' if self.met else '**no**'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", default=f"{assets.PREFIX}storybook-judge", help="a model with a calibration")
    parser.add_argument("--json", type=Path, help="write the lines there, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = list(demands(ClipRecogniser(model=options.judge)))
    print("| what | n | value | demand | met |\n| --- | --- | --- | --- | --- |")
    print("\n".join(map(str, lines)))
    if options.json:
        options.json.write_text(json.dumps([asdict(line) | {"met": line.met} for line in lines], indent=1))
    raise SystemExit(not all(line.met for line in lines))


def demands(judge: ClipRecogniser) -> Iterator[Line]:
    """Every demand on the test part and on the unseen chains."""
    test, unseen = labelled("test"), labelled("unseen")
    with tempfile.TemporaryDirectory() as place:
        answers = judged(judge, pixels(test.index), ESSAY, Path(place) / "test").set_index(test.index)
        target = test["chain"] == "test-target"
        yield from curve_lines(test[target], answers[target])
        yield from rate_lines(test, answers)
        yield from junk_lines(judge, test, answers, Path(place))
        for name, chain in unseen.groupby("chain"):
            yield from unseen_lines(judge, str(name), chain, Path(place) / str(name))


def curve_lines(test: pd.DataFrame, answers: pd.DataFrame) -> Iterator[Line]:
    """Gaps of V(all), per generation over the arms, and per arm over ranges of generations."""
    for generation, group in test.groupby("generation"):
        yield gap_line(f"V(all), generation {generation}", group, answers[ALL], ESSAY, 0.10)
    for arm, of_arm in test.groupby("arm"):
        for first, last in ((0, 4), (5, 7), (8, 10)):
            some = of_arm[of_arm["generation"].between(first, last)]
            yield gap_line(f"V(all), {arm}, generations {first}-{last}", some, answers[ALL], ESSAY, 0.15)


def gap_line(label: str, group: pd.DataFrame, answers: pd.Series, concepts: tuple[str, ...], most: float) -> Line:
    """The distance of the judge's V from the span by eye."""
    low, high = span(group, concepts)
    value = float(answers[group.index].mean())
    return Line(f"{label}, gap", len(group), gap(value, low, high), low, high, at_most=most, judge=value)


def span(group: pd.DataFrame, concepts: tuple[str, ...]) -> tuple[float, float]:
    """V(all) by eye, with can't tell as no and as yes."""
    labels = by_eye(group, concepts)[ALL]
    return float(labels.fillna(False).mean()), float(labels.fillna(True).mean())


def gap(value: float, low: float, high: float) -> float:
    return max(low - value, value - high, 0.0)


def rate_lines(test: pd.DataFrame, answers: pd.DataFrame) -> Iterator[Line]:
    """Sensitivity and specificity in generations 0 to 6, on pictures where the labels have an answer."""
    early = test[test["generation"] <= 6]
    seen = by_eye(early, ESSAY)
    for name in (*ESSAY, ALL):
        known, least = seen[name].dropna().astype(bool), (0.90, 0.99) if name == ALL else (0.95, 0.97)
        right = answers.loc[known.index, name].astype(bool) == known
        yield rate_line(f"sensitivity, {name}, generations 0-6", right[known], least[0])
        yield rate_line(f"specificity, {name}, generations 0-6", right[~known], least[1])


def rate_line(label: str, right: pd.Series | np.ndarray, least: float) -> Line:
    hits, n = int(right.sum()), len(right)
    return Line(label, n, hits / n, *rates.wilson(hits, n), at_least=least)


def junk_lines(judge: ClipRecogniser, test: pd.DataFrame, answers: pd.DataFrame, place: Path) -> Iterator[Line]:
    """Shares of refused junk: made by models, with neither figure nor animal by eye, and drawn."""
    painted = test["prompt"].isna() & nobody(test)
    for name in ESSAY:
        yield rate_line(f"junk made by models, {name} refused", ~answers.loc[painted, name].astype(bool), 0.98)
    for kind, images in drawn_junk().items():
        seen = judged(judge, images, ESSAY, place / kind)
        for name in ESSAY:
            yield rate_line(f"{kind}, {name} refused", ~seen[name].astype(bool), 0.98)


def drawn_junk(n: int = 200) -> dict[str, np.ndarray]:
    """Kind -> noise, scrambled or melted scenes, uint8 (n, 64, 64, 3) each."""
    rng = torch.Generator().manual_seed(ALBUM)
    scenes = to_float(pictures(list(scene.album(n, ALBUM))))
    makers = {"noise": junk_noise, "scrambled": junk_scrambled, "melted": junk_melted}
    return {kind: to_pixels(torch.cat([make(p, rng) for p in scenes.split(10)])) for kind, make in makers.items()}


def unseen_lines(judge: ClipRecogniser, name: str, chain: pd.DataFrame, place: Path) -> Iterator[Line]:
    """The gap per generation, and on average, of a chain that differs from all others in one setting."""
    concepts = ("wizard", "camel", "riding") if name == "unseen-pair" else ESSAY
    answers = judged(judge, pixels(chain.index), concepts, place).set_index(chain.index)[ALL]
    lines = [
        gap_line(f"{name}, generation {generation}", group, answers, concepts, 0.25)
        for generation, group in chain.groupby("generation")
    ]
    yield from lines
    yield Line(
        f"{name}, mean gap", len(chain), float(np.mean([line.value for line in lines])), None, None, at_most=0.15
    )


def judged(judge: ClipRecogniser, images: np.ndarray, concepts: tuple[str, ...], folder: Path) -> pd.DataFrame:
    """The judge's answers, computed as in a run: one row per image, one boolean column per concept and `all`."""
    (folder / "images").mkdir(parents=True)
    names = [f"{i:06d}" for i in range(len(images))]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / f"images/{name}.png")
    prompt = Prompt("a picture", "target", concepts)
    table = pd.DataFrame({"id": names, "prompt": prompt.text, "file": [f"images/{name}.png" for name in names]})
    table.to_parquet(folder / "samples.parquet")
    judgements = judge.judge(Samples(folder), (prompt,), tuple(map(Concept, concepts)), lambda share: None)
    return rates.answers(judgements, concepts)


if __name__ == "__main__":
    main()
