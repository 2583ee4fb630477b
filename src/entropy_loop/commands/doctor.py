"""`doctor`: check this machine, the installed packages and the bundled models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import psutil
from packaging.requirements import Requirement

from entropy_loop import assets
from entropy_loop.commands import fetch
from entropy_loop.errors import ConfigError
from entropy_loop.machine import device, resources
from entropy_loop.storage.provenance import provenance
from entropy_loop.study import study

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
    """Problems: installed packages, Ray included, that are older than this one needs."""
    for needed in map(Requirement, requires("entropy-loop") or ()):
        with suppress(PackageNotFoundError):
            here = version(needed.name)
            used = needed.marker is None or needed.marker.evaluate({"extra": "ray"})
            if used and not needed.specifier.contains(here, prereleases=True):
                wanted = f"{needed.name}{needed.specifier}"
                yield f"package {needed.name} {here} is too old and may have known faults; `pip install '{wanted}'`"


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
