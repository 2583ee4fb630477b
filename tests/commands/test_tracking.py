"""Trackers: what is logged, read back from the tracker's own files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from entropy_loop.commands import experiment, tracking
from entropy_loop.errors import ConfigError

SMALL = (
    "sweep={seed: [0, 1]}", "generations=2", "images=2", "evaluation.images=1", "measures={}", "attributes={}",
    "threads=1", "generator.num_inference_steps=1", "generator.block=2", "train.max_train_steps=2",
    "train.train_batch_size=1", "report_to=tensorboard", "checks=none",
)  # fmt: skip


def silent(event, stage, share) -> None:
    """Nobody listens."""


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_has_the_losses_and_rates_of_every_chain(tmp_path):
    """Two chains: the losses of training.csv at the steps of the whole chain, V of every generation; a finished study
    started again logs nothing more."""
    planned = experiment.prepare(Path("configs/smoke.yaml"), SMALL)
    finished = experiment.carry_out(planned, tmp_path, silent)
    for run in planned.chains:
        scalars = logged(tmp_path / "logs" / run.name)
        assert [step for step, _ in scalars["train/loss"]] == [0, 1, 2, 3]
        rates = finished.tables.rates.query("run == @run.name and set == 'pool' and concept == 'all'")
        assert [value for _, value in scalars["V/all/storybook-judge"]] == pytest.approx(list(rates["rate"]))
        steps = run.config.train.max_train_steps
        assert [step for step, _ in scalars["V/all/storybook-judge"]] == [steps * g for g in range(len(rates))]
    files = {path: path.stat().st_size for path in (tmp_path / "logs").rglob("*")}
    experiment.carry_out(planned, tmp_path, silent)
    assert {path: path.stat().st_size for path in (tmp_path / "logs").rglob("*")} == files


def test_no_secret_is_logged():
    """Keys and values that look like secrets, and paths of this machine, are replaced; everything else is kept."""
    raw = {
        "name": "a", "images": 4, "api_key": "x", "url": "https://me:pw@host/", "judges": [{"model": "hf_abcdefghij"}],
        "generator": {"checkpoint": "/home/me/sd", "block": 2, "hub_token": "y"}, "note": "a token of thanks",
        "command": ["python", "/home/me/score.py"],
    }  # fmt: skip
    assert dict(tracking.redacted(raw)) == {
        "name": "a", "images": 4, "api_key": "[redacted]", "url": "[redacted]", "judges.0.model": "[redacted]",
        "generator.checkpoint": "[redacted]", "generator.block": 2, "generator.hub_token": "[redacted]",
        "note": "a token of thanks", "command": "['python', '[redacted]']",
    }  # fmt: skip


def test_a_tracker_that_is_not_installed_is_refused_before_the_run(toy, monkeypatch):
    """With the command that installs it; nothing is tracked unless it is asked for."""
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="`pip install wandb`"):
        experiment.prepare(toy(report_to="wandb"))
    experiment.prepare(toy())


def test_the_tracker_is_no_part_of_the_experiment(toy):
    """The same stages, whatever tracks them, and no arm of its own."""
    untracked, tracked = (experiment.prepare(toy(report_to=name)).stages() for name in ("none", "tensorboard"))
    assert list(untracked) == list(tracked)
    with pytest.raises(ConfigError, match="report_to is no part of the experiment"):
        experiment.prepare(toy(sweep={"report_to": ["none", "tensorboard"]}))
