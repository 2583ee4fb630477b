"""How often a fault is tried: `--faults sample` (make test), `full` (.ci/run), `soak` (make soak)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from faults import children

HERE = Path(__file__).parent
Count = Callable[[int, int, int], int]
SEEDS = {"sample": 1, "full": 2, "soak": 3}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder bears the mark `faults`."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session", autouse=True)
def forking() -> None:
    """A process that forks the runs, ready."""
    children.start()


@pytest.fixture
def level(request: pytest.FixtureRequest) -> str:
    """How much is tried."""
    return str(request.config.getoption("--faults"))


@pytest.fixture
def count(level: str) -> Count:
    """Chooses among three counts: of a sample, of all that CI tries, of a soak."""
    return lambda sample, full, soak: {"sample": sample, "full": full, "soak": soak}[level]


@pytest.fixture
def rng(level: str) -> np.random.Generator:
    """Other moments at every level, the same ones every time."""
    return np.random.default_rng(SEEDS[level])


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes what was counted, for the summary at the end of the log: a worker of pytest-xdist has no terminal."""
    return partial(record_property, "counted")
