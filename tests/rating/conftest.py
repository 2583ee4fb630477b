"""One results folder with pictures for all tests of the rating page; each test gets a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import painted
import pytest


@pytest.fixture(scope="session")
def painting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted.folder(tmp_path_factory.mktemp("painted") / "painted")


@pytest.fixture
def results(painting: Path, tmp_path: Path) -> Path:
    """A finished run with two arms, four generations and twelve pictures in every pool."""
    return Path(shutil.copytree(painting, tmp_path / "results"))
