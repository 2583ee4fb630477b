"""Which device the models compute on, and what it can do.

The choice is the process's, kept in its environment so that the processes it starts make the same. It is part of no
key: across devices the promise is the rates, not the bytes.
"""

from __future__ import annotations

import os
from typing import NotRequired, TypedDict

from entropy_loop.errors import ConfigError

CHOICE = "ENTROPY_LOOP_DEVICE"


class Description(TypedDict):
    """device: as torch names it. name: of the model. native: precisions that it has instructions for. Of a GPU, memory:
    bytes, and capability: as CUDA counts it."""

    device: str
    name: str
    native: list[str]
    memory: NotRequired[int]
    capability: NotRequired[str]


def use(name: str) -> None:
    """From now on compute on this device: auto, cpu, cuda, cuda:1, mps."""
    os.environ[CHOICE] = name


def device() -> str:
    """The device as torch names it; 'auto' is the first of cuda, mps and cpu that is here.

    Raises ConfigError when the chosen one is not.
    """
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = os.environ.get(CHOICE, "auto")
    if name == "auto":
        return next(kind for kind, there in here.items() if there)
    kind, _, number = name.partition(":")
    if not here[kind] or (number and int(number) >= torch.cuda.device_count()):
        there = ", ".join(kind for kind, there in here.items() if there)
        raise ConfigError(f"device: {name} is not here; this machine has {there}. `device: auto` takes the first.")
    return name


def check_precision(precision: str, where: str) -> None:
    """Raises ConfigError when the device does not compute in this precision ('no' and fp32 always work), or would
    only in software: bf16 is tens of times slower on a processor without instructions for it."""
    name = device()
    if precision in ("no", "fp32") or precision in native(name):
        return
    half = sorted(set(native(name)) - {"fp32"})
    told = f"say {' or '.join(half)}" if half else "leave it out, for fp32"
    raise ConfigError(f"{where}: {precision} is not native to {describe(name)['name']}; {told}.")


def native(name: str) -> list[str]:
    """The precisions that a device has instructions for."""
    import torch

    if name.startswith("cuda"):
        return ["fp32", "fp16"] + ["bf16"] * torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "mps":
        return ["fp32", "fp16"]
    told = torch.cpu.get_capabilities()
    return ["fp32"] + ["bf16"] * any(told.get(instructions) for instructions in ("avx512_bf16", "amx_bf16", "bf16"))


def describe(name: str) -> Description:
    """What a result's provenance tells of a device."""
    import torch

    told = Description(device=name, name=name, native=native(name))
    if name.startswith("cuda"):
        found = torch.cuda.get_device_properties(name)
        told |= {"name": found.name, "memory": found.total_memory, "capability": f"{found.major}.{found.minor}"}
    elif name == "cpu":
        told["name"] = str(torch.cpu.get_capabilities().get("cpu_name") or "this processor")
    return told
