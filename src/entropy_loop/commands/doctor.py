"""`doctor`: check this machine, the installed packages and the bundled models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import psutil
from packaging.version import Version

from entropy_loop import assets
from entropy_loop.commands import fetch
from entropy_loop.errors import ConfigError
from entropy_loop.machine import device, resources
from entropy_loop.storage.provenance import provenance
from entropy_loop.study import study

FLOORS = {
    "torch": "2.13", "transformers": "5.10", "diffusers": "0.38", "safetensors": "0.8", "pillow": "12.2",
    "filelock": "3.20.3", "jinja2": "3.1.6", "starlette": "1.0.1", "ray": "2.54",
}  # fmt: skip
"""Versions below these have known security faults: a file or a page can take over the machine (CVEs to 2026)."""

BUSY = 0.5
"""Cores in use that doctor does not mention."""


class Checkup(NamedTuple):
    """facts: name -> value. problems: what will not work, and how to fix it. notes: what the facts mean."""

    facts: dict[str, str]
    problems: list[str]
    notes: list[str]


def checkup(config: Path | None = None) -> Checkup:
    """Check this machine. config: also check that the models it names are here."""
    origin = provenance()
    missing = [name for name, version in origin["packages"].items() if version is None]
    problems = [*(f"package {name} is not installed; run `pip install -e .`" for name in missing), *_outdated()]
    for name, revision in assets.REVISIONS.items():
        folder = Path(assets.__file__).parent / name
        if not folder.is_dir() or assets.fingerprint(folder) != revision:
            problems.append(f"bundled model {name} is missing or damaged; check out or install the package again")
    try:
        device = _device()
    except (ImportError, OSError) as error:
        device = "unknown"
        problems.append(f"torch cannot be loaded ({error}); install it again")
    idle = resources.idle_cores()
    facts = {
        "python": origin["python"],
        **{name: version or "missing" for name, version in origin["packages"].items()},
        "processor": f"{origin['processor']}, {origin['cores']} cores",
        "cores to use": f"{resources.cores()}, of which {idle:.1f} are idle now",
        "device": device,
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB, of which {resources.memory() / 1e9:.1f} GB are free",
        "free disk here": f"{shutil.disk_usage('.').free / 1e9:.0f} GB",
        "hub": "nothing but `fetch` connects",
        "bundled models": ", ".join(assets.REVISIONS) or "none",
    }
    return Checkup(facts, problems + (list(_missing_models(config)) if config else []), list(_notes(device, idle)))


def _outdated() -> Iterator[str]:
    """Problems: installed packages with known security faults."""
    for name, floor in FLOORS.items():
        try:
            here = version(name)
        except PackageNotFoundError:
            continue
        if Version(here) < Version(floor):
            yield f"package {name} {here} has known security faults; `pip install '{name}>={floor}'`"


def _missing_models(config: Path) -> Iterator[str]:
    for download in fetch.wanted(study.load(config)):
        try:
            download.check_downloaded()
        except ConfigError as error:
            yield str(error)


def _notes(device: str, idle: float) -> Iterator[str]:
    """Advice for a newcomer. idle: number of idle cores."""
    if device.startswith("cpu"):
        yield (
            "no GPU: the bundled checkpoint is made for this; for Stable Diffusion `entropy-loop plan CONFIG` "
            "estimates the hours"
        )
    if idle < resources.cores() - BUSY:
        yield f"other processes are at work: a run gets about {max(idle, 0.0):.1f} of {resources.cores()} cores now"
    if "bf16" in device and device.startswith("cpu"):
        yield "bf16 is native: `--set generator.precision=bf16` samples faster, within the sampling band"


def _device() -> str:
    """Raises ImportError, or an OSError of a library that torch loads, when torch is here but does not work."""
    description = device.describe(device.device())
    return f"{description['device']}: {description['name']}; native precision: {', '.join(description['native'])}"
