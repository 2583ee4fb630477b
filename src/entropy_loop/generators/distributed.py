"""Data-parallel training under `accelerate launch`: the first process runs the experiment, the others join its
trainings and are idle in between.

    accelerate launch --num_processes 2 -m entropy_loop run CONFIG
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from entropy_loop import device
from entropy_loop.data import TrainSettings

PATIENCE = timedelta(days=30)  # how long a process waits for the next training


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process runs the experiment."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def accelerator(settings: TrainSettings) -> Iterator[Any]:
    """Accelerate's handle on device, precision and processes, for one training."""
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState, GradientState

    made = Accelerator(
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        cpu=device.device() == "cpu",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    try:
        yield made
    finally:
        # Not `free_memory`, which collects garbage for up to half a second: the optimizer goes with its last reference.
        AcceleratorState._reset_state()  # the next training may want another precision
        GradientState._reset_state()


def release(model: Any) -> None:
    """Take away what accelerate put around a model's forward, which the next training would find and keep."""
    for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
        model.__dict__.pop(name, None)


def gather(method: Any, *arguments: Any) -> None:
    """Let the other processes call this method with these arguments, too. Does nothing where there are none."""
    if processes() > 1 and leads():
        _broadcast((method, arguments))


def follow() -> None:
    """Join every training until the first process has done its last."""
    while job := _broadcast(None):
        method, arguments = job
        method(*arguments)


def dismiss() -> None:
    """Tell the other processes that there is nothing left to do."""
    if processes() > 1 and leads():
        _broadcast(None)


def _broadcast(job: Any) -> Any:
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    PartialState(cpu=device.device() == "cpu", timeout=PATIENCE)
    return broadcast_object_list([job])[0]
