"""The state of a training from step to step: weights, optimizer, learning rate, average and log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from entropy_loop.data import TrainSettings
from entropy_loop.errors import TrainingDiverged
from entropy_loop.generators.diffusion import checkpointing
from entropy_loop.generators.diffusion.checkpointing import State, Values
from entropy_loop.machine import distributed

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from diffusers.training_utils import EMAModel
    from torch.nn import Module, Parameter

LOG = ("loss", "grad_norm", "learning_rate")


class Learning:
    """AdamW on the float32 parameters `learnt`, with a learning rate schedule and, if the settings say so, an
    exponential moving average of the weights."""

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
        self.checked = 0  # rows of the log that are known to be finite
        self.clips = False  # whether a step has shown that gradients are clipped

    def prepare(self, unet: Module) -> Module:
        """The model to call instead of the UNet."""
        model: Module
        model, self.optimizer = self.accelerator.prepare(unet, self.optimizer)
        return model

    def step(self, loss: torch.Tensor) -> None:
        """One optimisation step with the accumulated gradients. Raises TrainingDiverged when the loss or gradient norm
        of the previous step is not finite: reading this step's would wait for the device."""
        norm = self.accelerator.clip_grad_norm_(self.learnt, self.settings.max_grad_norm)
        if not self.clips:
            _check_clipped(self.learnt, self.settings.max_grad_norm)
            self.clips = True
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.log.append((loss, norm, self.rate.get_last_lr()[0]))
        self.rate.step()
        if self.average:
            self.average.step(self.learnt)
        self._check_log(len(self.log) - 1)

    def finish(self) -> pd.DataFrame:
        """Leave the trained weights (or their average) in the parameters. Returns the log, a row per step."""
        self._check_log(len(self.log))
        if self.average:
            self.average.copy_to(self.learnt)
        return pd.DataFrame(self.log, columns=list(LOG)).rename_axis("step").reset_index()

    # ---- checkpoints -----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write a checkpoint; of several processes, the first one writes it. Raises TrainingDiverged, and writes
        nothing, when a number is not finite."""
        self._check_log(len(self.log))
        check_finite({str(i): weight for i, weight in enumerate(self.learnt)})
        if not distributed.leads():
            return
        optimizer = self.optimizer.state_dict()
        tensors: dict[str, torch.Tensor] = {f"weight.{i}": value for i, value in enumerate(self.learnt)}
        for i, moments in optimizer["state"].items():
            tensors |= {f"{name}.{i}": value for name, value in moments.items()}
        tensors |= {f"average.{i}": value for i, value in enumerate(self.average.shadow_params if self.average else ())}
        scaler = self.accelerator.scaler
        values: Values = {
            "log": [(float(loss), float(norm), rate) for loss, norm, rate in self.log],
            "groups": optimizer["param_groups"],
            "rate": self.rate.state_dict(),
            "averaged": self.average.optimization_step if self.average else 0,
            "scaler": scaler.state_dict() if scaler else None,
        }
        checkpointing.save(State(len(self.log), tensors, values), folder)

    def resume(self, folder: Path) -> None:
        """Restore the newest checkpoint, if there is one."""
        import torch

        if not (state := checkpointing.latest(folder)):
            return
        tensors: dict[str, dict[int, torch.Tensor]] = {}
        for name, value in state.tensors.items():
            kind, _, number = name.rpartition(".")
            tensors.setdefault(kind, {})[int(number)] = value
        with torch.no_grad():
            for i, weight in tensors.pop("weight").items():
                self.learnt[i].copy_(weight)
            average = tensors.pop("average", {})
            for i, shadow in enumerate(self.average.shadow_params if self.average else ()):
                shadow.copy_(average[i])
        moments = {i: {name: of_name[i] for name, of_name in tensors.items()} for i in next(iter(tensors.values()), {})}
        self.optimizer.load_state_dict({"state": moments, "param_groups": state.values["groups"]})
        self.rate.load_state_dict(state.values["rate"])
        if self.average:
            self.average.optimization_step = state.values["averaged"]
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state.values["scaler"])
        self.log = [(loss, norm, rate) for loss, norm, rate in state.values["log"]]
        self.checked = len(self.log)

    # ---- checks ----------------------------------------------------------------------------------------

    def _check_log(self, rows: int) -> None:
        """Raises TrainingDiverged at the first of the log's first `rows` rows that is not finite. In fp16 only the loss
        counts: after an infinite gradient the optimizer skips the step and lowers its scale."""
        scaled = self.accelerator.scaler is not None
        for step in range(self.checked, rows):
            loss, norm, rate = float(self.log[step][0]), float(self.log[step][1]), self.log[step][2]
            if not (np.isfinite(loss) and (scaled or np.isfinite(norm))):
                raise TrainingDiverged(
                    f"train: step {step}: loss {loss}, gradient norm {norm}. The previous generation is intact; "
                    "lower train.learning_rate and run again."
                )
            self.log[step] = (loss, norm, rate)
        self.checked = max(self.checked, rows)


def _check_clipped(learnt: list[Parameter], max_grad_norm: float) -> None:
    """Raises TrainingDiverged when the gradients are not clipped, or there are none."""
    import torch

    gradients = [p.grad for p in learnt if p.grad is not None]
    after = float(torch.nn.utils.get_total_norm(gradients)) if gradients else float("inf")
    if after > max_grad_norm * 1.001:
        raise TrainingDiverged(f"train: gradient norm {after} after clipping to {max_grad_norm}.")


def check_finite(weights: Mapping[str, torch.Tensor]) -> None:
    """Raises TrainingDiverged when a weight is not finite. weights: by name."""
    import torch

    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise TrainingDiverged(f"train: {len(broken)} weight tensors are not finite (first: {broken[0]}); not saved.")
