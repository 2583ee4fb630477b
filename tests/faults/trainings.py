"""Trainings of the bundled checkpoint that are killed at a step. In a child of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pandas as pd

from entropy_loop.data import Checkpoint, Diet, Stage, TrainSettings
from entropy_loop.machine import device, threads
from entropy_loop.storage.store import Store

STEPS = 12
ESSAY = "a photograph of an astronaut riding a horse"


def diet(folder: Path, images: int = 5) -> Diet:
    """Drawn scenes, written into the folder."""
    from PIL import Image

    from entropy_loop.worlds.storybook import scene

    folder.mkdir(exist_ok=True)
    for i in range(images):
        Image.fromarray(scene.render(scene.sample(7, i))).save(folder / f"{i}.png")
    table = {"file": [f"{i}.png" for i in range(images)], "folder": str(folder), "real": False, "prompt": ESSAY}
    return Diet(pd.DataFrame(table))


def train(images: Path, root: Path, options: dict[str, object], killed_after: int | None) -> None:
    """Train as a stage of the store does, in steps of two images; SIGKILL after so many of the steps."""
    from entropy_loop.generators.diffusion.diffusion import Diffusion

    threads.use(1)
    device.use("cpu")
    generator = Diffusion("bundled:storybook", block=4)
    settings = TrainSettings(max_train_steps=STEPS, train_batch_size=2, **options)  # type: ignore[arg-type]
    store = Store(root)

    def make(out: Path, tick: object) -> None:
        def kill_when_due(share: float) -> None:
            if killed_after is not None and round(share * STEPS) == killed_after:
                os.kill(os.getpid(), signal.SIGKILL)

        generator.train(Checkpoint(base), diet(images), settings, list(range(100, 100 + STEPS)), out, kill_when_due)

    with store.lock():
        base = store.once(Stage("base", 0, "base", {}), generator.base)
        store.once(Stage("train", 1, "train", {}), make)
