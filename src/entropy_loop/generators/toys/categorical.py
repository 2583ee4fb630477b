"""A toy generator without pixels: a distribution over which concepts an image shows.

Training copies the diet's shares, which is neutral drift (Wright-Fisher): with N training images E[V_t] = V_0 and
Var(V_t) = V_0 (1 - V_0) [1 - (1 - 1/N)^t]. A whole loop takes a second.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop.contracts import Generator, Real
from entropy_loop.data import Checkpoint, Diet, Request, Tick, TrainSettings

ConceptName = Annotated[str, Field(pattern=r"^[^+]+$")]  # '+' joins the names of an image's concepts
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Categorical(Generator):
    """A toy without pixels: one distribution over sets of concepts per prompt."""

    version: ClassVar[int] = 1

    rates: dict[ConceptName, Share] = field(default_factory=lambda: {"astronaut": 0.9, "horse": 0.9, "riding": 0.8})
    """Share of generation 0's images that show each concept, in [0, 1], independently of the others."""

    def evaluations_per_image(self) -> float:
        return 1.0

    def ready(self, prompts: tuple[str, ...], settings: TrainSettings) -> None:
        """It needs no model."""

    def base(self, out: Path, tick: Tick) -> None:
        """Write model.json: prompt -> {set of concepts: share}. '' stands for every prompt that was not trained on."""
        (out / "model.json").write_text(json.dumps({"": _shares(self.rates)}))

    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet with one more column: `shows`, the image's concepts joined by '+'."""
        learnt = json.loads((model.folder / "model.json").read_text())
        _write(requests, [learnt.get(r.prompt, learnt[""]) for r in requests], out)

    def train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path, tick: Tick
    ) -> None:
        """Maximum likelihood: each prompt's shares become the diet's shares."""
        learnt = json.loads((start.folder / "model.json").read_text())
        for prompt, rows in diet.table.groupby("prompt"):
            learnt[prompt] = (rows["shows"].value_counts(normalize=True).sort_index()).to_dict()
        (out / "model.json").write_text(json.dumps(learnt))


@dataclass(frozen=True)
class CategoricalWorld(Real):
    """Real data for the toy `categorical`: images that show each concept at its true rate."""

    version: ClassVar[int] = 1

    rates: dict[ConceptName, Share]
    """Share of real images that show each concept, in [0, 1], independently of the others."""

    def ready(self) -> None:
        """It needs no data."""

    def stock(self, prompt: str) -> int | None:
        return None

    def draw(self, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet as `Categorical.sample` does."""
        _write(requests, [_shares(self.rates)] * len(requests), out)

    def can_teach(self, concept: str) -> bool:
        return concept in self.rates

    def ready_to_teach(self, concepts: tuple[str, ...], images: int, prompts: tuple[str, ...]) -> None:
        """It needs no data."""

    def teach(self, requests: list[Request], prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
        """As `draw`, but each image shows its request's concept, which is its caption too."""
        _write(requests, [_shares({**self.rates, r.prompt: 1.0}) for r in requests], out)


def _shares(rates: dict[str, float]) -> dict[str, float]:
    """Set of concepts -> its probability."""
    shares = {"": 1.0}
    for name, rate in sorted(rates.items()):
        shares = {
            "+".join(filter(None, (shown, extra))): share * p
            for shown, share in shares.items()
            for extra, p in (("", 1 - rate), (name, rate))
        }
    return shares


def _write(requests: list[Request], shares: list[dict[str, float]], out: Path) -> None:
    rows = [(r.id, r.prompt, r.seed, "", *_draw(s, r.seed)) for r, s in zip(requests, shares, strict=True)]
    names = ["id", "prompt", "image_seed", "file", "latent_sha256", "shows"]
    pd.DataFrame(rows, columns=names).to_parquet(out / "samples.parquet", index=False)


def _draw(shares: dict[str, float], seed: int) -> tuple[str, str]:
    """(latent_sha256, shows) of one image."""
    u = np.random.default_rng(seed).random()
    ends = np.cumsum(list(shares.values()))
    shown = list(shares)[min(int(np.searchsorted(ends, u, side="right")), len(shares) - 1)]
    return hashlib.sha256(np.float64(u).tobytes()).hexdigest(), shown
