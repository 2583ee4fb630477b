"""Draw the README's picture: the same noise in three arms over ten feedback steps, with V by judge and by labels.

    python -m scripts.tools.draw_main_picture RESULTS --labels LABELS.csv --out FILE.webp

RESULTS: of `configs/astronaut.yaml`. LABELS: what `loop_truth/label.py collect --join` wrote for that run.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from entropy_loop.data import ALL
from scripts.training.storybook.judges.loop_truth.parts import by_eye

GENERATIONS = (0, 2, 4, 6, 8, 10)
CONCEPTS = ("astronaut", "horse", "riding")
NAMES = {"none": "all 128 fed back", "top_k-32": "best 32 of 128", "random_k-32": "random 32 of 128"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--noise", type=int, default=0, help="which picture of the evaluation set")
    options = parser.parse_args()
    labels = pd.read_csv(options.labels).query("look == 1")
    draw(options.results, labels, options.noise).save(options.out, lossless=False, quality=90)
    print(table(options.results, labels).round(2).to_string())


def table(results: Path, labels: pd.DataFrame) -> pd.DataFrame:
    """V(all) of every pool: by the judge, and by labels with can't tell as no and as yes; n of the labels."""
    labels = labels.assign(all=by_eye(labels, CONCEPTS)[ALL])
    eye = labels.groupby(["arm", "generation"])["all"].agg(
        low=lambda answers: answers.fillna(False).mean(), high=lambda answers: answers.fillna(True).mean(), n="size"
    )
    rates = pd.read_csv(results / "rates.csv").query("set == 'pool' and concept == 'all'")
    return rates.set_index(["arm", "generation"])[["rate"]].rename(columns={"rate": "judge"}).join(eye)


def draw(results: Path, labels: pd.DataFrame, noise: int) -> Image.Image:
    """One row of pictures per arm, one column per generation."""
    values = table(results, labels)
    images = pd.read_parquet(results / "images.parquet").query("set == 'evaluation'")
    arms = [arm for arm in NAMES if arm in set(images["arm"])]
    figure = Figure(figsize=(10.2, 1.98 * len(arms)), layout="constrained")
    axes = figure.subplots(len(arms), len(GENERATIONS))
    for row, arm in zip(axes, arms, strict=True):
        for axis, generation in zip(row, GENERATIONS, strict=True):
            shown = images[images["arm"].eq(arm) & images["generation"].eq(generation)].sort_values("id")
            axis.imshow(Image.open(results / shown["file"].iloc[noise]), interpolation="lanczos")
            axis.set(xticks=[], yticks=[])
            row_values = values.loc[(arm, generation)]
            axis.set_xlabel(f"judge {_short(row_values['judge'])}   labels {_short(row_values['low'])}", fontsize=9)
            if arm == arms[0]:
                axis.set_title(f"generation {generation}", fontsize=10)
        row[0].set_ylabel(NAMES[arm], fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    return Image.open(buffer).convert("RGB")


def _short(rate: float) -> str:
    return f"{rate:.2f}".replace("0.", ".", 1)


if __name__ == "__main__":
    main()
