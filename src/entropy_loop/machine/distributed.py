"""Data-parallel training under `accelerate launch`: the first process runs the experiment, the others join its
trainings and are idle in between.

    accelerate launch --num_processes 2 -m entropy_loop run CONFIG
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from entropy_loop.data import TrainSettings
from entropy_loop.machine import device

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState
    from torch.nn import Module

Job = Callable[[], None]
"""Work that all processes do together; accelerate sends it to the others."""

PATIENCE = timedelta(days=30)  # how long a process waits for the next training


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process runs the experiment."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def accelerator(settings: TrainSettings) -> Iterator[Accelerator]:
    """Accelerate's handle on device, precision and processes, for one training."""
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState, GradientState

    handle = Accelerator(
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        cpu=device.device() == "cpu",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    try:
        yield handle
    finally:
        # Not `free_memory`, which collects garbage for up to half a second: the optimizer goes with its last reference.
        AcceleratorState._reset_state()  # the next training may want another precision
        GradientState._reset_state()


def release(model: Module) -> None:
    """Remove accelerate's wrapper around a model's forward, which the next training would wrap again."""
    for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
        model.__dict__.pop(name, None)


def gather(job: Job) -> None:
    """Send this job to the other processes, if there are any."""
    if processes() > 1 and leads():
        _broadcast(job)


def follow() -> None:
    """Join every training until the first process calls `dismiss`. Raises RuntimeError when it ends without that."""
    while job := _broadcast(None):
        job()
    _leave()


def dismiss() -> None:
    """Release the other processes: no training follows."""
    if processes() > 1 and leads():
        _broadcast(None)
        _leave()


def _broadcast(job: Job | None) -> Job | None:
    """The first process's job, on every process; None dismisses."""
    from accelerate.utils import broadcast_object_list

    _state()
    jobs: list[Job | None] = broadcast_object_list([job])
    return jobs[0]


def _leave() -> None:
    """Leave the process group together, and wait for its threads.

    A gloo thread that frees a tensor while the interpreter exits aborts the process (SIGABRT; pytorch issue 190489).
    """
    _state().wait_for_everyone()
    _state().destroy_process_group()


def _state() -> PartialState:
    """Accelerate's handle on the process group; the first call joins the group."""
    # Import this before joining: its functions take the current group as default argument and would keep it alive.
    import torch.distributed.nn  # noqa: F401
    from accelerate import PartialState

    return PartialState(cpu=device.device() == "cpu", timeout=PATIENCE)
