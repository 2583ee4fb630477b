"""`doctor`: check this machine, the installed packages and the bundled models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from entropy_loop import assets
from entropy_loop.commands import fetch
from entropy_loop.errors import ConfigError
from entropy_loop.machine import device
from entropy_loop.storage.provenance import provenance
from entropy_loop.study import study

FLOORS = {
    "torch": "2.13", "transformers": "5.10", "diffusers": "0.38", "safetensors": "0.8", "pillow": "12.2",
    "filelock": "3.20.3", "jinja2": "3.1.6", "starlette": "1.0.1", "ray": "2.54",
}  # fmt: skip
"""Versions below these have known security faults: a file or a page can take over the machine (CVEs to 2026)."""


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
    facts = {
        "python": origin["python"],
        **{name: version or "missing" for name, version in origin["packages"].items()},
        "processor": f"{origin['processor']}, {origin['cores']} cores",
        "device": device,
        "memory": f"{_memory() / 1e9:.0f} GB" if _memory() else "unknown",
        "free disk here": f"{shutil.disk_usage('.').free / 1e9:.0f} GB",
        "hub": "nothing but `fetch` connects",
        "bundled models": ", ".join(assets.REVISIONS) or "none",
    }
    return Checkup(facts, problems + (list(_missing_models(config)) if config else []), list(_notes(device)))


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


def _notes(device: str) -> Iterator[str]:
    """Advice for a newcomer."""
    if device.startswith("cpu"):
        yield (
            "no GPU: the bundled checkpoint is made for this; for Stable Diffusion `entropy-loop plan CONFIG` "
            "estimates the hours"
        )
        yield "beside other busy processes two threads may be many times slower than one: `--set threads=1`"
    if "bf16" in device and device.startswith("cpu"):
        yield "bf16 is native: `--set generator.precision=bf16` samples faster, within the sampling band"


def _memory() -> int:
    """Bytes of this machine's memory; 0 if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _device() -> str:
    """Raises ImportError, or an OSError of a library that torch loads, when torch is here but does not work."""
    description = device.describe(device.device())
    return f"{description['device']}: {description['name']}; native precision: {', '.join(description['native'])}"
