"""Trainings that are killed, and trainings that turn into no numbers."""

from __future__ import annotations

import signal

import pytest
import torch

from entropy_loop.data import KEPT, Checkpoint, TrainSettings
from entropy_loop.errors import TrainingDiverged
from entropy_loop.generators.diffusion import finetune
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.storage import receipts
from faults import children, trainings

STAGE = "store/g01-train-train"
VARIANTS = [("full", 1), ("full", 3), ("lora", 1), ("lora", 3)]


@pytest.mark.parametrize(("method", "passes"), VARIANTS, ids=lambda value: str(value))
def test_a_training_killed_at_each_step_ends_with_the_same_weights(tmp_path, method, passes, level, tell) -> None:
    """Twelve steps, SIGKILL after each of them in turn: weights and log are those of a training that nobody
    disturbed, byte by byte. With several passes a step there is a checkpoint at every second step only, and an
    average of the weights."""
    options = {"method": method, "gradient_accumulation_steps": passes, "checkpointing_steps": 1 if passes == 1 else 2}
    options |= {"use_ema": passes > 1, "lr_scheduler": "cosine", "lr_warmup_steps": 3}
    if level == "sample" and (method, passes) not in (("full", 1), ("lora", 3)):
        pytest.skip("tried by .ci/run")
    steps = [5, 8] if level == "sample" else list(range(1, trainings.STEPS + 1))
    images = tmp_path / "images"
    assert children.ended(trainings.train, images, tmp_path / "whole", options, None) == 0
    for step in steps:
        assert children.ended(trainings.train, images, tmp_path / "killed", options, step) == -signal.SIGKILL
    assert children.ended(trainings.train, images, tmp_path / "killed", options, None) == 0
    whole, killed = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "receipt.json"}
        for folder in (tmp_path / "whole" / STAGE, tmp_path / "killed" / STAGE)
    )
    assert any(path.suffix == ".safetensors" for path in whole)
    assert killed == whole
    tell(f"{method}, {passes} passes a step: killed at {len(steps)} of {trainings.STEPS} steps, 0 bytes differ")


def poison_loss(monkeypatch: pytest.MonkeyPatch, unet: torch.nn.Module) -> None:
    real = finetune.loss_of
    monkeypatch.setattr(finetune, "loss_of", lambda *arguments: real(*arguments) * float("nan"))


def poison_gradient(monkeypatch: pytest.MonkeyPatch, unet: torch.nn.Module) -> None:
    next(p for p in unet.parameters() if p.requires_grad).register_hook(lambda gradient: gradient * float("inf"))


def poison_weight(monkeypatch: pytest.MonkeyPatch, unet: torch.nn.Module) -> None:
    next(p for p in unet.parameters() if p.requires_grad).data.fill_(float("nan"))


@pytest.mark.parametrize("poison", [poison_loss, poison_gradient, poison_weight])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_value_that_is_not_finite_stops_a_training_within_a_step(tmp_path, monkeypatch, method, poison) -> None:
    """A loss, a gradient, a weight that is not finite from the fifth step on: no more than one further step is made,
    the checkpoint of the fourth step is whole and finite, and no weights are written."""
    generator, out, heard = Diffusion("bundled:storybook", block=4), tmp_path / "out", []
    out.mkdir()
    base = tmp_path / "base"
    base.mkdir()
    generator.base(base, lambda share: None)
    unet = generator.model().unet("fp32").unet

    def tick(share: float) -> None:
        heard.append(round(share * trainings.STEPS))
        if heard[-1] == 4:
            poison(monkeypatch, unet)

    settings = TrainSettings(method=method, max_train_steps=trainings.STEPS, train_batch_size=2, checkpointing_steps=2)
    diet = trainings.diet(tmp_path / "images")
    try:
        with pytest.raises(TrainingDiverged, match=r"lower train\.learning_rate|not finite"):
            generator.train(Checkpoint(base), diet, settings, list(range(trainings.STEPS)), out, tick)
    finally:
        next(iter(unet.parameters()))._backward_hooks = None
        generator.model().unets.clear()
    assert heard[-1] <= 5
    (kept,) = (out / KEPT).iterdir()
    assert (kept.name, receipts.faults(kept)) == ("checkpoint-000004", [])
    assert [path.name for path in out.iterdir()] == [KEPT]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_gradients_obey_the_limit(tmp_path, monkeypatch, method) -> None:
    """The global norm of what the optimizer is given, measured in every step, is never above max_grad_norm, and
    without the limit it would have been."""
    generator, out, norms, limit = Diffusion("bundled:storybook", block=4), tmp_path / "out", [], 1e-3
    out.mkdir()
    base = tmp_path / "base"
    base.mkdir()
    generator.base(base, lambda share: None)
    real = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *arguments: object) -> object:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return real(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    settings = TrainSettings(method=method, max_train_steps=3, train_batch_size=2, max_grad_norm=limit)
    diet = trainings.diet(tmp_path / "images")
    generator.train(Checkpoint(base), diet, settings, [1, 2, 3], out, lambda share: None)
    assert len(norms) == 3
    assert max(norms) <= limit * 1.001
    before = [float(row.split(",")[2]) for row in (out / "training.csv").read_text().splitlines()[1:]]
    assert min(before) > limit
