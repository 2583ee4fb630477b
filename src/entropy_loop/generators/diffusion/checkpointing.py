"""Where a training can be taken up again: weights, optimizer and averages after some step, as safetensors and JSON.

A checkpoint is a folder `checkpoint-<step>` with a sealed receipt, as a stage is. The newer one is read back before the
older one goes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from entropy_loop.storage import disk, receipts

if TYPE_CHECKING:
    import torch

TENSORS, TOLD = "state.safetensors", "state.json"


class Told(TypedDict):
    """Plain values of a training. log: a row for each step. groups, rate, scaler: of optimizer, learning rate and
    gradient scaler, as torch tells them. averaged: steps that the average has seen."""

    log: list[tuple[float, float, float]]
    groups: list[dict[str, object]]
    rate: dict[str, object]
    averaged: int
    scaler: dict[str, object] | None


@dataclass(frozen=True)
class State:
    """What training goes on from. step: optimisation steps done. tensors: float32, by name."""

    step: int
    tensors: dict[str, torch.Tensor]
    told: Told


def save(state: State, folder: Path) -> None:
    """Write a checkpoint into the folder; it replaces the earlier ones when it has been read back whole. Raises
    StorageError when it has not, and they stay."""
    from safetensors.torch import save_file

    new = disk.emptied(folder / "new")
    save_file({name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}, new / TENSORS)
    (new / TOLD).write_text(json.dumps({"step": state.step, **state.told}), encoding="utf-8")
    made = disk.publish(new, folder / f"checkpoint-{state.step:06d}", {"format": 1})
    receipts.check(made)
    for old in _there(folder)[:-1]:
        disk.remove(old)


def latest(folder: Path) -> State | None:
    """The newest checkpoint that is whole; None when there is none."""
    from safetensors.torch import load_file

    for made in reversed(_there(folder)):
        if not receipts.faults(made):
            told = json.loads((made / TOLD).read_text(encoding="utf-8"))
            return State(told.pop("step"), load_file(made / TENSORS), told)
    return None


def _there(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(folder.glob("checkpoint-*"))
