"""Provenance of a result: code revision, versions, machine. Stored beside the result, part of no key."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from entropy_loop.machine import device
from entropy_loop.machine.device import Description

PACKAGES = (
    "entropy-loop", "torch", "diffusers", "transformers", "accelerate", "peft", "open_clip_torch", "numpy", "pandas",
    "pillow", "safetensors", "resvg-py",
)  # fmt: skip


class Provenance(TypedDict):
    """What a result was made with."""

    revision: str | None
    python: str
    packages: dict[str, str | None]
    platform: str
    processor: str
    cores: int | None


def provenance() -> Provenance:
    """The provenance of this process, as plain values for JSON. Imports none of the packages."""
    return {
        "revision": _revision(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def current_device() -> Description | None:
    """The device that this process computes on; None unless torch is loaded."""
    return device.describe(device.device()) if "torch" in sys.modules else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """The git commit of the source tree, with '-dirty' when it was changed; None outside a checkout."""
    here = Path(__file__).resolve()
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)  # fails in a checkout of something else
        return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    completed = subprocess.run(  # noqa: S603 (fixed arguments)
        ["git", *arguments],  # noqa: S607 (git from the user's PATH)
        cwd=folder, capture_output=True, text=True, timeout=10, check=True,
    )  # fmt: skip
    return completed.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
