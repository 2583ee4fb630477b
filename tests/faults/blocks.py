"""Which images a run samples. In a child of its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from entropy_loop.generators.diffusion.diffusion import Diffusion
from faults import children


def sampled(config: Path, root: Path, overrides: tuple[str, ...], log: Path) -> None:
    """Carry a run and write down the ids of the images that it samples, a line each."""
    ids: list[str] = []
    real = Diffusion.sample

    def sample(self: Diffusion, model: Any, requests: Any, out: Path, tick: Any) -> None:
        ids.extend(request.id for request in requests)
        real(self, model, requests, out, tick)

    Diffusion.sample = sample  # type: ignore[method-assign]
    children.carry(config, root, overrides)
    log.write_text("\n".join(ids))


def sampled_until(config: Path, root: Path, overrides: tuple[str, ...], left: int) -> None:
    """Carry a run that is killed when so many calls of the sampler have ended."""
    real, count = Diffusion.sample, [left]

    def sample(self: Diffusion, model: Any, requests: Any, out: Path, tick: Any) -> None:
        if not count[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        count[0] -= 1
        real(self, model, requests, out, tick)

    Diffusion.sample = sample  # type: ignore[method-assign]
    children.carry(config, root, overrides)
