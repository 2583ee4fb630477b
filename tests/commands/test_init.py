"""`init`: a first config from four answers."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Command, environment
from entropy_loop.commands import init
from entropy_loop.commands.init import Answers
from entropy_loop.errors import ConfigError
from entropy_loop.study import study


def test_the_usual_answers_make_the_config_of_the_astronaut(command: Command, tmp_path: Path) -> None:
    """Without a terminal nothing is asked: the config is that of configs/astronaut.yaml, opens with its command and its
    cost, and passes `plan`."""
    done = command("init", "mine.yaml")
    assert done.returncode == 0, done.stderr
    head = (tmp_path / "mine.yaml").read_text().split("name:")[0]
    assert "#   entropy-loop run mine.yaml" in head
    assert "2 CPU cores" in head
    assert "# 3 arms x 1 seed. " in head
    created, shipped = (study.load(path) for path in (tmp_path / "mine.yaml", Path("configs/astronaut.yaml")))
    assert [point.name for point in created.points] == [point.name for point in shipped.points]
    for ours, theirs in zip(created.points, shipped.points, strict=True):
        assert ours.config.train == theirs.config.train
        assert ours.config.generator_plugin() == theirs.config.generator_plugin()
    assert command("plan", "mine.yaml").returncode == 0


def test_flags_answer_the_questions(command: Command, tmp_path: Path) -> None:
    """Model, prompt, concepts, curation and sizes come from flags."""
    line = ["--model", "sd15", "--prompt", "a photo of a cat", "--concepts", "cat", "--keep", "0", "--images", "8"]
    done = command("init", "cat.yaml", *line, "--generations", "2", "--seeds", "3")
    assert done.returncode == 0, done.stderr
    assert "entropy-loop fetch cat.yaml" in done.stdout
    loaded = study.load(tmp_path / "cat.yaml")
    assert [point.name for point in loaded.points] == ["none-seed0", "none-seed1", "none-seed2"]
    assert (loaded.config.generations, loaded.config.images) == (2, 8)
    assert "# 1 arm x 3 seeds. " in (tmp_path / "cat.yaml").read_text()
    assert loaded.config.train.method == "lora"
    assert loaded.config.concepts["cat"].yes


def test_on_a_terminal_it_asks_four_questions(tmp_path: Path) -> None:
    """Return takes what is usual; an answer replaces it."""
    parent, child = pty.openpty()
    line = [sys.executable, "-m", "entropy_loop", "init", "asked.yaml"]
    with subprocess.Popen(
        line, cwd=tmp_path, env=environment(), stdin=child, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for answer in ("", "a photograph of a wizard riding a cow", "wizard, cow, riding", "16"):
            os.write(parent, f"{answer}\n".encode())
        out, error = process.communicate(timeout=60)
    os.close(parent)
    os.close(child)
    assert process.returncode == 0, error
    for question in ("model", "prompt", "concepts", "keeps"):
        assert question in out
    config = study.load(tmp_path / "asked.yaml").config
    assert config.prompts[0].concepts == ("wizard", "cow", "riding")
    assert {"use": "top_k", "k": 16} in config.sweep["curate.policy"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        init.write(Answers(), tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (Answers(concepts=("dragon",)), "dragon"),
        (Answers(keep=500), "500"),
        (Answers(concepts=()), "concepts"),
        (Answers(prompt=""), "prompts"),
    ],
    ids=str,
)
def test_answers_that_make_no_config_are_refused_at_once(answers: Answers, message: str, tmp_path: Path) -> None:
    """What the bundled judge does not know, and numbers that do not fit, are refused before anything is written."""
    with pytest.raises(ConfigError, match=message):
        init.write(answers, tmp_path / "mine.yaml")
    assert not (tmp_path / "mine.yaml").exists()


def test_a_word_that_the_bundled_model_does_not_know_is_refused_at_once(command, tmp_path) -> None:
    """A prompt that `run` would refuse makes no file."""
    done = command("init", "x.yaml", "--prompt", "a photograph of a giraffe", "--concepts", "horse")
    assert (done.returncode, "does not know 'giraffe'" in done.stderr) == (2, True)
    assert not (tmp_path / "x.yaml").exists()
