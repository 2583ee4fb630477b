"""What a training carries from step to step: weights, optimizer, learning rate, average, log. And what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from entropy_loop.data import TrainSettings
from entropy_loop.errors import TrainingDiverged
from entropy_loop.generators.diffusion import checkpointing
from entropy_loop.generators.diffusion.checkpointing import State, Told
from entropy_loop.machine import distributed

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from diffusers.training_utils import EMAModel
    from torch.nn import Module, Parameter

LOG = ("loss", "grad_norm", "learning_rate")


class Learning:
    """AdamW on the parameters `learnt`, float32, with a learning rate that follows a schedule; of the weights, if the
    settings say so, an exponential moving average."""

    def __init__(self, accelerator: Accelerator, learnt: list[Parameter], settings: TrainSettings) -> None:
        import torch
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        self.accelerator, self.learnt, self.settings = accelerator, learnt, settings
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            learnt,
            lr=settings.learning_rate,
            betas=(settings.adam_beta1, settings.adam_beta2),
            weight_decay=settings.adam_weight_decay,
            eps=settings.adam_epsilon,
            fused=True,
        )
        steps = {"num_warmup_steps": settings.lr_warmup_steps, "num_training_steps": settings.max_train_steps}
        self.rate = get_scheduler(settings.lr_scheduler, self.optimizer, **steps)
        average = EMAModel(learnt, decay=settings.ema_decay, foreach=True) if settings.use_ema else None
        self.average: EMAModel | None = average
        self.log: list[tuple[torch.Tensor | float, torch.Tensor | float, float]] = []
        self.read = 0  # rows of the log that are known to be numbers
        self.clips = False

    def prepare(self, unet: Module) -> Module:
        """The model to call in the place of the UNet."""
        model: Module
        model, self.optimizer = self.accelerator.prepare(unet, self.optimizer)
        return model

    def step(self, loss: torch.Tensor) -> None:
        """One optimisation step along the gradients that there are. Raises TrainingDiverged when the step before had a
        loss or gradient that is no number: to read this one's would be to wait for the device."""
        norm = self.accelerator.clip_grad_norm_(self.learnt, self.settings.max_grad_norm)
        if not self.clips:
            _refuse_unclipped(self.learnt, self.settings.max_grad_norm)
            self.clips = True
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.log.append((loss, norm, self.rate.get_last_lr()[0]))
        self.rate.step()
        if self.average:
            self.average.step(self.learnt)
        self._refuse_diverged(len(self.log) - 1)

    def finish(self) -> pd.DataFrame:
        """Leaves the trained weights (or their average) in the parameters; returns a row per step."""
        self._refuse_diverged(len(self.log))
        if self.average:
            self.average.copy_to(self.learnt)
        return pd.DataFrame(self.log, columns=list(LOG)).rename_axis("step").reset_index()

    # ---- taken up again ------------------------------------------------------------------------------

    def save(self, kept: Path) -> None:
        """Write a checkpoint, by the first process if there are several. Raises TrainingDiverged, and leaves the last
        one, when something in it is no number."""
        self._refuse_diverged(len(self.log))
        refuse_broken({str(i): weight for i, weight in enumerate(self.learnt)})
        if not distributed.leads():
            return
        told = self.optimizer.state_dict()
        tensors: dict[str, torch.Tensor] = {f"weight.{i}": value for i, value in enumerate(self.learnt)}
        tensors |= {f"{name}.{i}": value for i, one in told["state"].items() for name, value in one.items()}
        tensors |= {f"average.{i}": value for i, value in enumerate(self.average.shadow_params if self.average else ())}
        scaler = self.accelerator.scaler
        plain: Told = {
            "log": [(float(loss), float(norm), rate) for loss, norm, rate in self.log],
            "groups": told["param_groups"],
            "rate": self.rate.state_dict(),
            "averaged": self.average.optimization_step if self.average else 0,
            "scaler": scaler.state_dict() if scaler else None,
        }
        checkpointing.save(State(len(self.log), tensors, plain), kept)

    def resume(self, kept: Path) -> None:
        """Go on from the newest checkpoint, if there is one: every number is what it was then."""
        import torch

        if not (state := checkpointing.latest(kept)):
            return
        found: dict[str, dict[int, torch.Tensor]] = {}
        for name, value in state.tensors.items():
            kind, _, number = name.rpartition(".")
            found.setdefault(kind, {})[int(number)] = value
        with torch.no_grad():
            for i, weight in found.pop("weight").items():
                self.learnt[i].copy_(weight)
            average = found.pop("average", {})
            for i, shadow in enumerate(self.average.shadow_params if self.average else ()):
                shadow.copy_(average[i])
        moments = {i: {name: values[i] for name, values in found.items()} for i in next(iter(found.values()), {})}
        self.optimizer.load_state_dict({"state": moments, "param_groups": state.told["groups"]})
        self.rate.load_state_dict(state.told["rate"])
        if self.average:
            self.average.optimization_step = state.told["averaged"]
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state.told["scaler"])
        self.log = [(loss, norm, rate) for loss, norm, rate in state.told["log"]]
        self.read = len(self.log)

    # ---- what is refused -----------------------------------------------------------------------------

    def _refuse_diverged(self, rows: int) -> None:
        """Raises TrainingDiverged at the first of so many rows of the log that is not finite. In fp16 an infinite
        gradient makes the optimizer skip its step and lower its scale; the loss tells."""
        scaled = self.accelerator.scaler is not None
        for step in range(self.read, rows):
            loss, norm, rate = float(self.log[step][0]), float(self.log[step][1]), self.log[step][2]
            if not (np.isfinite(loss) and (scaled or np.isfinite(norm))):
                raise TrainingDiverged(
                    f"train: step {step}: loss {loss}, gradient norm {norm}. The generation before is intact; "
                    "lower train.learning_rate and run again."
                )
            self.log[step] = (loss, norm, rate)
        self.read = max(self.read, rows)


def _refuse_unclipped(learnt: list[Parameter], max_grad_norm: float) -> None:
    """Raises TrainingDiverged when clipping did not clip, as it would not if it was given no gradients."""
    import torch

    gradients = [p.grad for p in learnt if p.grad is not None]
    after = float(torch.nn.utils.get_total_norm(gradients)) if gradients else float("inf")
    if after > max_grad_norm * 1.001:
        raise TrainingDiverged(f"train: gradient norm {after} after clipping to {max_grad_norm}.")


def refuse_broken(weights: Mapping[str, torch.Tensor]) -> None:
    """Raises TrainingDiverged when a weight, by name, is not finite."""
    import torch

    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise TrainingDiverged(f"train: {len(broken)} weight tensors are not finite (first: {broken[0]}); not saved.")
