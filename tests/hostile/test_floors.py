"""What is asked for and installed has the fixes of known vulnerabilities."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

FLOORS = {
    "torch": "2.13",  # CVE-2025-32434, CVE-2026-24747: code and memory corruption from weights
    "transformers": "5.10",  # CVE-2026-4372, CVE-2026-5241, CVE-2026-9856: code from configs, names that lead out
    "diffusers": "0.38",  # CVE-2026-44513: code despite trust_remote_code=False
    "safetensors": "0.8",
    "starlette": "1.0.1",  # CVE-2025-62727, CVE-2026-48710
    "ray": "2.54",  # CVE-2025-62593, CVE-2026-27482: other web pages steer it
    "pillow": "12.2",  # CVE-2026-25990, CVE-2026-40192, CVE-2026-42308 to 42311
    "filelock": "3.20.3",  # CVE-2025-68146, CVE-2026-22701
    "jinja2": "3.1.6",  # CVE-2025-27516
}


PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
ASKED = [Requirement(line) for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["ray"])]


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_with_a_known_hole_is_asked_for_or_installed(name: str):
    """Each is at least the first version without the holes that are named beside it."""
    (floor,) = next(needed.specifier for needed in ASKED if needed.name == name)
    assert Version(version(name)) >= Version(floor.version) >= Version(FLOORS[name])
