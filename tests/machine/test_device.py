"""What computes, and in which precision; what is not here is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from entropy_loop.errors import ConfigError
from entropy_loop.machine import device


@pytest.fixture
def machine(monkeypatch):
    """A machine with these devices and instructions; the choice of a device ends with the test."""

    def have(cuda: int = 0, mps: bool = False, cpu: tuple[str, ...] = ()) -> None:
        properties = SimpleNamespace(name="GTX", total_memory=1, major=7, minor=5)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda name: properties)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(cpu, True))

    monkeypatch.setenv(device.CHOICE, "auto")
    return have


@pytest.mark.parametrize(
    ("there", "chosen"),
    [({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": 1, "mps": True}, "cuda"), ({"cuda": 2}, "cuda")],
)
def test_auto_is_the_first_device_that_is_there(machine, there, chosen):
    """cuda before mps before cpu."""
    machine(**there)
    device.use("auto")
    assert device.device() == chosen


@pytest.mark.parametrize(("there", "name"), [({}, "cuda"), ({}, "mps"), ({"cuda": 1}, "cuda:1")])
def test_a_device_that_is_not_here_is_refused(machine, there, name):
    """With what the machine has."""
    machine(**there)
    device.use(name)
    with pytest.raises(ConfigError, match=f"device: {name} is not here; this machine has .*cpu"):
        device.device()


def test_a_second_card_can_be_chosen(machine):
    """By its number."""
    machine(cuda=2)
    device.use("cuda:1")
    assert device.device() == "cuda:1"


@pytest.mark.parametrize(
    ("there", "native"),
    [
        ({}, ["fp32"]),
        ({"cpu": ("avx512_bf16",)}, ["fp32", "bf16"]),
        ({"cpu": ("amx_bf16",)}, ["fp32", "bf16"]),
        ({"mps": True}, ["fp32", "fp16"]),
        ({"cuda": 1}, ["fp32", "fp16"]),  # it would only emulate bf16
    ],
)
def test_a_precision_is_refused_where_it_is_not_native(machine, there, native):
    """What the device has instructions for works; anything else names what does."""
    machine(**there)
    device.use("auto")
    assert device.native(device.device()) == native
    for precision in ("no", *native):
        device.check_precision(precision, "train.mixed_precision")
    advice = f"say {native[1]}" if native[1:] else "leave it out, for fp32"
    for precision in {"fp16", "bf16"} - set(native):
        with pytest.raises(ConfigError, match=rf"train\.mixed_precision: {precision} is not native to .*{advice}"):
            device.check_precision(precision, "train.mixed_precision")
