"""docs/extending.md: its four files are a package that installs, and its commands run with the plug-ins in it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from shown import shown

from conftest import environment

REPOSITORY, PAGE = Path.cwd(), Path("docs/extending.md")
TITLED = re.compile(r"^```\w+ title=\"(?P<name>[^\"]+)\"\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
BUNDLED = (
    "generations=1", "images=8", "evaluation.images=2", "generator.num_inference_steps=2", "generator.block=4",
    "train.max_train_steps=1", "train.train_batch_size=2", "checks=none",
)  # fmt: skip
TOY = ("generations=2", "images=64", "evaluation.images=2", "threads=1")


def small(command: str) -> list[str]:
    """The command's arguments, with a small stand-in's settings behind them."""
    settings = BUNDLED if "configs/tutorial.yaml" in command else TOY
    return [*shlex.split(command), *(word for setting in settings for word in ("--set", setting))]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which the page was followed, and what its commands printed.

    pip installs for real, into a folder of its own and from this machine alone; the run that the page forks was made
    before, as in the tutorial.
    """
    place = tmp_path_factory.mktemp("extending")
    (place / "my_plugins").mkdir()
    for name, text in TITLED.findall(PAGE.read_text(encoding="utf-8")):
        (place / "my_plugins" / name).write_text(text, encoding="utf-8")
    (place / "configs").symlink_to(REPOSITORY / "configs")
    installed = place / "installed"
    path = os.pathsep.join([str(installed), str(REPOSITORY / "src")])

    def output_of(arguments: list[str]) -> str:
        line = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            line, cwd=place, env={**environment(), "PYTHONPATH": path}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    output_of(["entropy_loop", *small("entropy-loop run configs/tutorial.yaml")[1:]])
    printed = []
    for command in shown(PAGE):
        if command.argv[0] == "pip":
            own = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(installed)]
            printed.append(output_of(["pip", "install", *own, command.argv[-1]]))
        elif "run" in command.argv:
            printed.append(output_of(["entropy_loop", *small(command.text)[1:]]))
        else:
            printed.append(output_of(["entropy_loop", *command.argv[1:]]))
    return place / "results", printed


def test_the_plug_ins_are_listed(results: tuple[Path, list[str]]) -> None:
    """`list` shows each with its first sentence."""
    listed = results[1][1]
    for name in ("colour", "middle_k", "anchored"):
        assert re.search(rf"{name} +\S", listed), listed


def test_the_judge_answers_beside_the_first_one(results: tuple[Path, list[str]]) -> None:
    """Beside the first judge, on the same images; what it cannot answer is missing and no zero."""
    rates = pd.read_csv(results[0] / "tutorial-2" / "rates.csv")
    assert set(rates["judge"]) == {"storybook-judge", "colour"}
    colour = rates[(rates["judge"] == "colour") & (rates["set"] == "pool")].groupby("concept")
    assert colour["n"].sum()["horse"] == 16
    assert colour["rate"].count()["horse"] == 2
    assert colour["n"].sum()[["astronaut", "riding"]].tolist() == [0, 0]
    assert colour["rate"].count()[["astronaut", "riding"]].tolist() == [0, 0]


def test_the_policy_keeps_the_middle(results: tuple[Path, list[str]]) -> None:
    """32 of 64; no score outside lies nearer to the median than one inside."""
    images = pd.read_parquet(results[0] / "middle" / "images.parquet")
    pool = images[(images["arm"] == "middle_k-32") & (images["set"] == "pool") & (images["generation"] == 0)]
    away = (pool["score"] - pool["score"].median()).abs()
    kept = pool["kept"].astype(bool)
    assert kept.sum() == 32
    assert away[kept].max() <= away[~kept].min()


def test_the_regime_feeds_the_first_and_the_last(results: tuple[Path, list[str]]) -> None:
    """The second step eats what generations 0 and 1 kept; its drift band knows it."""
    diets = [pd.read_parquet(file) for file in (results[0] / "anchored" / "store").glob("g02-train-*/diet.parquet")]
    assert sorted(len(diet) for diet in diets) == [64, 128]
    changes = pd.read_csv(results[0] / "anchored" / "changes.csv")
    assert changes["drift_low"].notna().all()
