"""A toy loop with pixels: every image is a small picture of noise that its seed and its stage fix. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from entropy_loop import loop, registry
from entropy_loop.analysis.tables import tables
from entropy_loop.data import Checkpoint, Request, Tick
from entropy_loop.generators.toys.categorical import Categorical
from entropy_loop.plan import Plan, plan
from entropy_loop.report.page import page
from entropy_loop.storage.store import Store
from entropy_loop.study import study
from entropy_loop.study.settings import settings as resolved

SIDE = 8
CONFIG: dict[str, Any] = {
    "name": "painted",
    "generations": 3,
    "images": 12,
    "evaluation": {"images": 4},
    "prompts": [{"text": "an astronaut on a horse", "concepts": ["astronaut", "horse"]}],
    "generator": {"use": "painted", "rates": {"astronaut": 0.9, "horse": 0.5}},
    "judges": [{"use": "exact"}],
    "curate": {"scorer": {"use": "exact"}},
    "feedback": {"use": "accumulate"},
    "sweep": {"curate.policy": [{"use": "none"}, {"use": "k_choice", "k": 6, "candidates": 2}]},
}


@dataclass(frozen=True)
class Painted(Categorical):
    """The categorical toy generator, with a picture for every image."""

    version: ClassVar[int] = 1

    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        super().sample(model, requests, out, tick)
        table = pd.read_parquet(out / "samples.parquet")
        stage = crc32(out.parent.name.encode())  # the scratch of one stage
        for row in table.itertuples():
            noise = np.random.default_rng((row.image_seed, stage)).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            Image.fromarray(noise).save(out / f"{row.id}.png")
        table.assign(file=table["id"] + ".png").to_parquet(out / "samples.parquet", index=False)


@contextmanager
def registered() -> Iterator[None]:
    """`generator: {use: painted}` means the class above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.GENERATOR.bundled, "painted", "painted:Painted")
        registry.known.cache_clear()
        yield
    registry.known.cache_clear()


@dataclass(frozen=True)
class ResultsFolder:
    """A results folder with its report."""

    plan: Plan
    store: Store
    html: str

    @property
    def root(self) -> Path:
        return self.store.root

    def text(self) -> str:
        """The page of what lies in the folder now."""
        with registered():
            return page.text(self.plan, self.store, tables(self.plan, self.store))

    def parquet(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.root / f"{name}.parquet")


def carry_out(root: Path, runs: int | None = None, report: bool = True, **changes: Any) -> ResultsFolder:
    """The folder after the first `runs` chains (all of them if None) were carried through. report: write it, too, which
    takes longer than all the rest."""
    with registered():
        planned, store = plan(study.check(deepcopy(CONFIG) | changes)), Store(root)
        with store.lock():
            for run in planned.chains[:runs]:
                loop.carry(run, store)
        results = tables(planned, store)
        results.write(root)
        html = page.write(planned, store, results).read_text(encoding="utf-8") if report else ""
        return ResultsFolder(planned, store, html)


def settings(finished: ResultsFolder) -> str:
    """config.yaml of the folder."""
    with registered():
        return resolved(finished.plan.study)


def folder(root: Path) -> Path:
    """A results folder as `run` leaves it, with its config."""
    (root / "config.yaml").write_text(settings(carry_out(root)), encoding="utf-8")
    return root
