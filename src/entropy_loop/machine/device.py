"""Which device the models compute on, and what it can do.

The choice is kept in the environment, so that child processes inherit it. It is part of no key: between devices rates
agree, bytes may differ.
"""

from __future__ import annotations

import os
import sys
from typing import NotRequired, TypedDict

from entropy_loop.errors import ConfigError

CHOICE = "ENTROPY_LOOP_DEVICE"


class Description(TypedDict):
    """device: torch's name. name: of the model. native: precisions with hardware instructions. Of a GPU, memory: bytes,
    capability: CUDA's compute capability."""

    device: str
    name: str
    native: list[str]
    memory: NotRequired[int]
    capability: NotRequired[str]


def use(name: str) -> None:
    """Set the device of this process: auto, cpu, cuda, cuda:1, mps."""
    os.environ[CHOICE] = name


def device() -> str:
    """torch's name of the chosen device; 'auto' is the first of cuda, mps and cpu that this machine has.

    Raises ConfigError when this machine lacks the chosen one.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = os.environ.get(CHOICE, "auto")
    if name == "auto":
        return next(kind for kind, present in available.items() if present)
    kind, _, number = name.partition(":")
    if not available[kind] or (number and int(number) >= torch.cuda.device_count()):
        kinds = ", ".join(kind for kind, present in available.items() if present)
        raise ConfigError(f"device: {name} is not here; this machine has {kinds}. `device: auto` takes the first.")
    return name


def accelerated() -> bool:
    """Whether models compute on a GPU. Without the device file of a driver it says no and does not load torch, which
    takes seconds."""
    chosen = os.environ.get(CHOICE, "auto")
    drivers = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
    if chosen == "cpu" or (sys.platform == "linux" and not any(map(os.path.exists, drivers))):
        return False
    return device() != "cpu"


def check_precision(precision: str, where: str) -> None:
    """Raises ConfigError when the device lacks this precision ('no' and fp32 always work), or has it only in
    software: bf16 is tens of times slower on a processor without instructions for it."""
    name = device()
    if precision in ("no", "fp32") or precision in native(name):
        return
    half = sorted(set(native(name)) - {"fp32"})
    advice = f"say {' or '.join(half)}" if half else "leave it out, for fp32"
    raise ConfigError(f"{where}: {precision} is not native to {describe(name)['name']}; {advice}.")


def native(name: str) -> list[str]:
    """The precisions that a device has instructions for."""
    import torch

    if name.startswith("cuda"):
        return ["fp32", "fp16"] + ["bf16"] * torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "mps":
        return ["fp32", "fp16"]
    capabilities = torch.cpu.get_capabilities()
    return ["fp32"] + ["bf16"] * any(
        capabilities.get(instructions) for instructions in ("avx512_bf16", "amx_bf16", "bf16")
    )


def describe(name: str) -> Description:
    """The description of a device in a result's provenance."""
    import torch

    description = Description(device=name, name=name, native=native(name))
    if name.startswith("cuda"):
        gpu = torch.cuda.get_device_properties(name)
        description |= {"name": gpu.name, "memory": gpu.total_memory, "capability": f"{gpu.major}.{gpu.minor}"}
    elif name == "cpu":
        description["name"] = str(torch.cpu.get_capabilities().get("cpu_name") or "this processor")
    return description
