"""The card beside a generation's weights: what it says is so."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from entropy_loop import experiment

SMALL = (
    "sweep={}", "generations=1", "images=2", "evaluation.images=1", "measures={}", "attributes={}", "threads=1",
    "generator.num_inference_steps=1", "generator.block=2", "train.max_train_steps=1", "train.train_batch_size=1",
    "train.learning_rate=0.01", "checks=none",
)  # fmt: skip
PREDICT = """
import torch
g = torch.Generator()
z, text = torch.randn((1, 8, 8, 8), generator=g.manual_seed(1)), torch.randn((1, 16, 128), generator=g.manual_seed(2))
with torch.no_grad():
    print(repr(pipe.unet.float()(z, 500, encoder_hidden_states=text, return_dict=False)[0].abs().sum().item()))
"""


def silent(event, stage, share) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_card_loads_its_generation_in_plain_diffusers(tmp_path, method):
    """Its lines, executed in its folder by a fresh process, predict what our own loading predicts; it tells base,
    parent, diet and settings, its pictures are there, and no path of this machine is in it."""
    import torch

    from entropy_loop.data import Checkpoint

    planned = experiment.prepare(Path("configs/smoke.yaml"), (*SMALL, f"train.method={method}"))
    experiment.carry_out(planned, tmp_path / "out", silent)
    (folder,) = (tmp_path / "out" / "store").glob("g01-train-*")
    card = (folder / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    told = subprocess.run(
        [sys.executable, "-c", code + PREDICT], cwd=folder, capture_output=True, text=True, check=True
    )
    generator = planned.runs[0].config.generator_plugin()
    _, unet = generator._loaded(Checkpoint(folder))
    g = torch.Generator()
    z, text = (
        torch.randn((1, 8, 8, 8), generator=g.manual_seed(1)),
        torch.randn((1, 16, 128), generator=g.manual_seed(2)),
    )
    with torch.no_grad():
        ours = unet.unet(z, 500, encoder_hidden_states=text, return_dict=False)[0].abs().sum().item()
    assert float(told.stdout) == pytest.approx(ours, rel=1e-5)
    head = yaml.safe_load(card.split("---")[1])
    assert head["base_model"] == "bundled:storybook"
    assert ("lora" in head["tags"]) == (method == "lora")
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", card)
    assert pictures
    assert all((folder / picture).is_file() for picture in pictures)
    assert "| a photograph of an astronaut riding a horse | generated | 2 |" in card
    assert f"method: {method}" in card
    assert "trained from: `g00-base-" in card
    assert str(tmp_path) not in card


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
