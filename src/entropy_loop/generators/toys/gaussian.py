"""A toy generator without pixels: an image is a row of independent normal numbers.

Training fits mean and variance of each number to the diet, so the loop must reproduce the closed forms of Gaussian
feedback (docs/laws.md, E1 to E9 without E6, a law of regression). Unless a policy looks at the images, each number is
an independent replicate: one run has thousands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop.contracts import Generator, Real
from entropy_loop.data import Checkpoint, Diet, Request, Tick, TrainSettings
from entropy_loop.errors import EntropyLoopError

Dimensions = Annotated[int, Field(ge=1)]
VALUES = "values.npy"


@dataclass(frozen=True)
class Gaussian(Generator):
    """A toy without pixels: one normal distribution per prompt and dimension.

    Generation 0 is the truth, mean 0 and variance 1.
    """

    version: ClassVar[int] = 1

    dimensions: Dimensions = 1
    """Numbers per image, at least 1."""
    fit: Literal["ml", "unbiased", "known_variance"] = "ml"
    """The variance's divisor: 'ml' is n, 'unbiased' is n - 1; 'known_variance' keeps the variance at 1."""
    sampling_bias: Annotated[float, Field(gt=0)] = 1.0
    """Lambda, above 0: images come from N(mean, lambda variance), generation 0's too (Alemohammad et al. 2023, arXiv
    2307.01850, section 3.1)."""
    real_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    """Weight of all real images of a diet together in a fit, in [0, 1]. Without it every image has the same weight."""

    def evaluations_per_image(self) -> float:
        return 1.0

    def ready(self, prompts: tuple[str, ...], settings: TrainSettings) -> None:
        """It needs no model."""

    def base(self, out: Path, tick: Tick) -> None:
        """Write prompts.json, and model.npy: means and variances, float array (prompts, 2, dimensions). The prompt ''
        stands for every prompt that was not trained on."""
        _save({"": np.stack([np.zeros(self.dimensions), np.ones(self.dimensions)])}, out)

    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet and values.npy, see `_write`."""
        moments = fitted(model, [r.prompt for r in requests])
        _write(requests, moments[:, 0], np.sqrt(self.sampling_bias * moments[:, 1]), out)

    def train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path, tick: Tick
    ) -> None:
        """Fit each prompt's moments to its diet. Raises EntropyLoopError for a diet that the options cannot fit."""
        learnt, values = _load(start), _values(diet.table)
        real = diet.table["real"].to_numpy(dtype=bool)
        for prompt, rows in diet.table.groupby("prompt").indices.items():
            learnt[str(prompt)] = self._moments(values[rows], self._weights(real[rows]))
        _save(learnt, out)

    def _moments(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Mean and variance, float array (2, dimensions), of values (images, dimensions). weights: they add up to 1.

        The unbiased variance is sum w (x - mean)^2 / (1 - sum w^2): with equal weights, divided by n - 1 instead of n.
        """
        mean = weights @ values
        variance = weights @ (values - mean) ** 2
        if self.fit == "known_variance":
            variance = np.ones_like(mean)
        elif self.fit == "unbiased":
            if weights.max() == 1:
                raise EntropyLoopError("gaussian: one image has no unbiased variance; keep more, or set `fit: ml`.")
            variance = variance / (1 - weights @ weights)
        return np.stack([mean, variance])

    def _weights(self, real: np.ndarray) -> np.ndarray:
        if self.real_weight is None:
            return np.full(len(real), 1 / len(real))
        if real.all() or not real.any():
            raise EntropyLoopError("gaussian: real_weight needs real and generated images in every diet.")
        weights: np.ndarray = np.where(real, self.real_weight / real.sum(), (1 - self.real_weight) / (~real).sum())
        return weights


@dataclass(frozen=True)
class GaussianWorld(Real):
    """Real data for the toy `gaussian`: the truth itself, mean 0 and variance 1."""

    version: ClassVar[int] = 1

    dimensions: Dimensions = 1
    """Numbers per image, at least 1: as many as the generator's."""

    def ready(self) -> None:
        """It needs no data."""

    def stock(self, prompt: str) -> int | None:
        return None

    def draw(self, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet and values.npy, see `_write`."""
        truth = np.zeros((len(requests), self.dimensions))
        _write(requests, truth, truth + 1, out)


def fitted(model: Checkpoint, prompts: Sequence[str]) -> np.ndarray:
    """A model's means and variances for these prompts, float array (prompts, 2, dimensions)."""
    learnt = _load(model)
    return np.stack([learnt.get(prompt, learnt[""]) for prompt in prompts])


def _load(model: Checkpoint) -> dict[str, np.ndarray]:
    prompts = json.loads((model.folder / "prompts.json").read_text())
    return dict(zip(prompts, np.load(model.folder / "model.npy"), strict=True))


def _save(learnt: dict[str, np.ndarray], out: Path) -> None:
    (out / "prompts.json").write_text(json.dumps(list(learnt)))
    np.save(out / "model.npy", np.stack(list(learnt.values())))


def _write(requests: list[Request], mean: np.ndarray, deviation: np.ndarray, out: Path) -> None:
    """Write values.npy, float array (images, dimensions), and samples.parquet with three more columns: `row` in
    values.npy; `trait`, the first number; `shows`, which is 'positive' if the trait is above 0."""
    noise = np.stack([np.random.default_rng(r.seed).standard_normal(mean.shape[1]) for r in requests])
    values = mean + deviation * noise
    np.save(out / VALUES, values)
    table = pd.DataFrame(
        {
            "id": [r.id for r in requests],
            "prompt": [r.prompt for r in requests],
            "image_seed": [r.seed for r in requests],
            "file": "",
            "latent_sha256": [hashlib.sha256(e.tobytes()).hexdigest() for e in noise],
            "row": np.arange(len(requests)),
            "trait": values[:, 0],
            "shows": np.where(values[:, 0] > 0, "positive", ""),
        }
    )
    table.to_parquet(out / "samples.parquet", index=False)


def _values(table: pd.DataFrame) -> np.ndarray:
    """The numbers of a diet's images, float array (images, dimensions), in the diet's order."""
    folders = {folder: np.load(Path(folder) / VALUES) for folder in table["folder"].unique()}
    if len({values.shape[1] for values in folders.values()}) > 1:
        raise EntropyLoopError("gaussian: real data and generator differ in `dimensions`; give both the same.")
    return np.stack([folders[folder][row] for folder, row in zip(table["folder"], table["row"], strict=True)])
