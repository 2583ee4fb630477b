"""Generators that kill their process, or fail. In a file of their own: workers import it."""

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
    """Kills its own process while it samples generation 0, as often as `lives` says; counts in a file."""

    version: ClassVar[int] = 1
    lives: int = 0
    count: str = ""

    def sample(self, model, requests, out, tick) -> None:
        deaths = Path(self.count)
        if len(deaths.read_text()) < self.lives:
            deaths.write_text(deaths.read_text() + "x")
            os.kill(os.getpid(), signal.SIGKILL)
        super().sample(model, requests, out, tick)


@dataclass(frozen=True)
class Diverging(Categorical):
    """Cannot be trained."""

    version: ClassVar[int] = 1

    def train(self, *arguments) -> None:
        raise TrainingDiverged("train: step 3: loss nan.")
