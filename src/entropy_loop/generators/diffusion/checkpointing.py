"""Checkpoints to resume a training from: weights, optimizer and averages after a step, as safetensors and JSON.

A checkpoint is a folder `checkpoint-<step>` with a receipt, as a stage's folder has. A new one is verified before the
old one is deleted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from entropy_loop.storage import disk, receipts

if TYPE_CHECKING:
    import torch

TENSORS, VALUES = "state.safetensors", "state.json"


class Values(TypedDict):
    """Plain values of a training. log: loss, gradient norm and learning rate of each step. groups, rate, scaler: states
    of optimizer groups, learning rate schedule and gradient scaler. averaged: steps in the moving average."""

    log: list[tuple[float, float, float]]
    groups: list[dict[str, object]]
    rate: dict[str, object]
    averaged: int
    scaler: dict[str, object] | None


@dataclass(frozen=True)
class State:
    """State of a training. step: optimisation steps done. tensors: float32, by name."""

    step: int
    tensors: dict[str, torch.Tensor]
    values: Values


def save(state: State, folder: Path) -> None:
    """Write a checkpoint into the folder, verify it, and delete the earlier ones. Raises StorageError, and deletes
    nothing, when it does not match its receipt."""
    from safetensors.torch import save_file

    new = disk.emptied(folder / "new")
    save_file({name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}, new / TENSORS)
    (new / VALUES).write_text(json.dumps({"step": state.step, **state.values}), encoding="utf-8")
    checkpoint = disk.publish(new, folder / f"checkpoint-{state.step:06d}", {"format": 1})
    receipts.check(checkpoint)
    for old in _checkpoints(folder)[:-1]:
        disk.remove(old)


def latest(folder: Path) -> State | None:
    """The newest checkpoint that matches its receipt; None when there is none."""
    from safetensors.torch import load_file

    for checkpoint in reversed(_checkpoints(folder)):
        if not receipts.faults(checkpoint):
            values = json.loads((checkpoint / VALUES).read_text(encoding="utf-8"))
            return State(values.pop("step"), load_file(checkpoint / TENSORS), values)
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(folder.glob("checkpoint-*"))
