"""Generators that kill or stop their process, or fail. In a file of their own: workers import it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from entropy_loop.errors import TrainingDiverged
from entropy_loop.generators.toys.categorical import Categorical


@dataclass(frozen=True)
class Deadly(Categorical):
    """Sends its own process a signal while it samples, as often as `lives` says; counts in a file."""

    version: ClassVar[int] = 1
    lives: int = 0
    count: str = ""
    signal: str = "SIGKILL"

    def sample(self, model, requests, out, tick) -> None:
        deaths = Path(self.count)
        if len(deaths.read_text()) < self.lives:
            deaths.write_text(deaths.read_text() + "x")
            os.kill(os.getpid(), signal.Signals[self.signal])
        super().sample(model, requests, out, tick)


@dataclass(frozen=True)
class Diverging(Categorical):
    """Cannot be trained."""

    version: ClassVar[int] = 1

    def train(self, *arguments) -> None:
        raise TrainingDiverged("train: step 3: loss nan.")


class Unsendable(Exception):
    """An error that cannot be rebuilt in another process: it takes two arguments and passes one on."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@dataclass(frozen=True)
class Failing(Categorical):
    """Fails with an error that cannot be sent to another process."""

    version: ClassVar[int] = 1

    def sample(self, *arguments) -> None:
        raise Unsendable("no", "paint left")
