"""Draw the figure of docs/judges.md: V(all) by the first judge, by the present one, and the span of labels by eye.

    python -m scripts.tools.draw_judges_figure PRESENT.json --out docs/images/judge-tires.svg

PRESENT.json: what `python -m scripts.training.storybook.judges.evaluate --json` wrote. The first judge's is
`experiments/loop-truth/first-judge.json`.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from scripts.training.storybook.judges.loop_truth.parts import HOME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("present", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    first, present = curve(HOME / "first-judge.json"), curve(options.present)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    axis.fill_between(present.index, present["low"], present["high"], color="#d8d4cc", lw=0)
    axis.plot(first["judge"], "o--", color="#b5533c")
    axis.plot(present["judge"], "o-", color="#2f5d8a")
    axis.annotate("first judge", (5, first.loc[5, "judge"]), (5.15, 0.3), color="#b5533c")
    axis.annotate("present judge", (8, present.loc[8, "judge"]), (8.1, present.loc[8, "judge"] + 0.06), color="#2f5d8a")
    axis.annotate("the eye: can't tell as no (bottom) to can't tell as yes (top)", (2.0, 1.045), color="#6b675f")
    axis.set(
        xlabel="generation", ylabel="share in which all three are recognised", ylim=(-0.03, 1.1), xticks=first.index
    )
    axis.spines[["top", "right"]].set_visible(False)
    with rc_context({"svg.hashsalt": "entropy-loop"}):
        figure.savefig(options.out, metadata={"Date": None})


def curve(file: Path) -> pd.DataFrame:
    """judge, low and high of every generation."""
    lines = [line for line in json.loads(file.read_text()) if line["what"].startswith("V(all), generation ")]
    numbers = [int(re.findall(r"\d+", line["what"])[0]) for line in lines]
    return pd.DataFrame(lines, index=numbers)[["judge", "low", "high"]]


if __name__ == "__main__":
    main()
