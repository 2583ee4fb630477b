"""The card beside a generation's weights: what it says is so, and its lines make a picture, as do those of
docs/results.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from entropy_loop.commands import experiment, results_folder
from entropy_loop.plan import Plan

REPOSITORY = Path.cwd()
RESULTS = REPOSITORY / "docs/results.md"
SMALL = (
    "sweep={}", "generations=1", "images=2", "evaluation.images=1", "measures={}", "attributes={}", "threads=1",
    "generator.num_inference_steps=4", "generator.block=2", "train.max_train_steps=1", "train.train_batch_size=1",
    "train.learning_rate=0.001", "checks=none",
)  # fmt: skip


def silent(event, stage, share) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module", params=["full", "lora"])
def trained_run(request, tmp_path_factory) -> tuple[Plan, Path]:
    """A run that trained one generation, and its results."""
    planned = experiment.prepare(Path("configs/smoke.yaml"), (*SMALL, f"train.method={request.param}"))
    root = tmp_path_factory.mktemp(request.param) / "out"
    experiment.carry_out(planned, root, silent)
    return planned, root


def stage(root: Path, name: str) -> Path:
    (folder,) = (root / "store").glob(f"{name}-*")
    return folder


def code(page: Path) -> list[str]:
    """The Python that a page shows."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def execute(lines: str, where: Path) -> str:
    """Run Python by itself in a folder, with every warning shown; what it wrote to standard error."""
    line = [sys.executable, "-W", "always", "-c", lines]
    done = subprocess.run(line, cwd=where, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file)).astype(int)


def test_the_lines_of_a_card_make_the_picture_that_it_shows(trained_run):
    """Executed in its folder by a fresh process of plain diffusers they make the first of the card's samples, to a grey
    level: no flat picture, nor generation 0's of the same noise. Nothing warns, and the folder stays as it was."""
    (_, root), name = trained_run, "e000-00-000000.png"
    card = stage(root, "g01-train") / "README.md"
    output = execute(*code(card), card.parent)
    assert "deprecated" not in output.lower()
    picture = pixels(root / "store" / "picture.png")
    (shown,) = re.findall(r"!\[.*?\]\((.*?)\)", card.read_text())
    assert abs(picture - pixels(card.parent / shown)).max() <= 1
    assert picture.std(axis=(0, 1)).min() > 10
    assert abs(picture - pixels(stage(root, "g00-generate-evaluation") / "images" / name)).max() > 10
    assert results_folder.verify(root) == []


@pytest.mark.parametrize("trained_run", ["full"], indirect=True)
def test_the_lines_of_the_results_page_make_a_picture(trained_run, tmp_path):
    """The first block of Python of docs/results.md, with its two folders pointed at a run's."""
    (_, root), lines = trained_run, code(RESULTS)[0]
    for shown, real in (
        ("results/astronaut/store/g05-train-...", stage(root, "g01-train")),
        ("src/entropy_loop/assets", REPOSITORY / "src/entropy_loop/assets"),
    ):
        assert shown in lines
        lines = lines.replace(shown, str(real))
    assert "deprecated" not in execute(lines, tmp_path).lower()
    assert pixels(tmp_path / "picture.png").shape == (64, 64, 3)
    assert pixels(tmp_path / "picture.png").std(axis=(0, 1)).min() > 10


def test_a_card_states_where_its_generation_comes_from(trained_run):
    """Base, parent, diet and settings; no path of this machine."""
    planned, root = trained_run
    method = planned.study.config.train.method
    card = (stage(root, "g01-train") / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["base_model"] == "bundled:storybook"
    assert ("lora" in head["tags"]) == (method == "lora")
    assert "| a photograph of an astronaut riding a horse | generated | 2 |" in card
    assert f"method: {method}" in card
    assert "trained from: `g00-base-" in card
    assert str(root.parent) not in card


def test_a_card_names_a_folder_by_its_last_part(tmp_path):
    """A checkpoint that the config gives by an absolute path: no folder of this machine is in the card."""
    checkpoint = Path(shutil.copytree("src/entropy_loop/assets/storybook", tmp_path / "mine"))
    small = (*SMALL, f"generator.checkpoint={checkpoint}")
    experiment.carry_out(experiment.prepare(Path("configs/smoke.yaml"), small), tmp_path / "out", silent)
    (card,) = (tmp_path / "out" / "store").glob("g01-train-*/README.md")
    assert "base_model: mine" in card.read_text()
    assert "base = 'mine'  # wherever it lies" in card.read_text()
    assert str(tmp_path) not in card.read_text()


def test_a_toy_has_no_card(toy, tmp_path):
    """There is nothing that diffusers could load."""
    experiment.carry_out(experiment.prepare(toy()), tmp_path / "out", silent)
    assert not list((tmp_path / "out").rglob("README.md"))
