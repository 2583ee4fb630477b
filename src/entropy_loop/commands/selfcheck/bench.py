"""The bench: planned runs of toy generators through the real loop, thousands of chains at a time.

Only the store is replaced (docs/laws.md, Checking). If no policy looks at images, each number of an image is a chain of
its own; else each prompt and seed is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from entropy_loop import loop
from entropy_loop.data import Checkpoint, Stage, canonical
from entropy_loop.generators.toys.gaussian import fitted
from entropy_loop.plan import plan
from entropy_loop.seeds import PROMPT_BITS
from entropy_loop.storage.store import Maker, Store
from entropy_loop.study import study

NUMBERS = 40_000
TEXTS = [f"chain {i}" for i in range(1 << PROMPT_BITS)]
SEEDS = 2

Claim = tuple[str, float, np.ndarray]
"""A statistic, the value that a law predicts, and its value in every chain, float array (chains,)."""

Moments = tuple[np.ndarray, np.ndarray]
"""Means and variances that the last generation learnt, two float arrays (parts, chains, ...)."""


class Scratch(Store):
    """A temporary store: every stage is made once, without sync or receipt."""

    def once(self, stage: Stage, make: Maker) -> Path:
        """The stage's folder; `make` is called only if it is not there yet."""
        folder = self.stages / stage.folder
        if not folder.is_dir():
            folder.mkdir(parents=True)
            make(folder, lambda share: None)
        return folder


@dataclass(frozen=True)
class Bench:
    """Runs chains for the laws. images: of a pool. config: any key of a config, as in YAML.

    Parts share no chain and configs share no noise, so statistics of different parts or configs are independent.
    """

    seed: int

    def numbers(self, images: int, steps: int, generator: Mapping[str, object], **config: object) -> Moments:
        """4 parts of 10,000 chains, one for each number of an image, under a Gaussian generator."""
        gaussian = {"use": "gaussian", "dimensions": NUMBERS, **generator}
        with self._carried(TEXTS[:1], ["positive"], 1, images, steps, generator=gaussian, **config) as (model,):
            mean, variance = fitted(model, TEXTS[:1])[0].reshape(2, 4, -1)
        return mean, variance

    def pools(self, images: int, steps: int, generator: Mapping[str, object], **config: object) -> Moments:
        """2 parts of 64 chains, one for each prompt and seed, under a Gaussian generator; a third axis for the
        numbers of an image."""
        gaussian = {"use": "gaussian", **generator}
        with self._carried(TEXTS, ["positive"], SEEDS, images, steps, generator=gaussian, **config) as models:
            moments = np.concatenate([fitted(model, TEXTS) for model in models])
        mean, variance = moments.swapaxes(0, 1).reshape(2, 2, -1, moments.shape[-1])
        return mean, variance

    def shares(self, images: int, steps: int, rates: dict[str, float], **config: object) -> np.ndarray:
        """Rates that the last generation has learnt, float array (concepts, 2, 64): 2 parts of 64 chains, one for
        each prompt and seed, under a categorical generator."""
        categorical = {"use": "categorical", "rates": rates}
        with self._carried(TEXTS, [*rates], SEEDS, images, steps, generator=categorical, **config) as models:
            learnt = [json.loads((model.folder / "model.json").read_text()) for model in models]
        chains = [model[text] for model in learnt for text in TEXTS]
        shown = [[sum(p for s, p in chain.items() if c in s.split("+")) for chain in chains] for c in rates]
        return np.array(shown).reshape(len(rates), 2, -1)

    @contextmanager
    def _carried(
        self, texts: list[str], concepts: list[str], seeds: int, images: int, steps: int, **config: object
    ) -> Iterator[list[Checkpoint]]:
        """The last generation's model of one chain per seed; the folders are deleted when the context ends."""
        raw = {
            "name": "selfcheck",
            "threads": 1,
            "images": images,
            "generations": steps,
            "evaluation": {"images": 1},
            "prompts": [{"text": text, "concepts": concepts} for text in texts],
            "judges": [{"use": "exact"}],
            "train": {"max_train_steps": 1},
            **config,
        }
        own = int(hashlib.sha256(f"{self.seed}/{canonical(raw)}".encode()).hexdigest()[:12], 16)
        chains = plan(study.check({**raw, "sweep": {"seed": [own + i for i in range(seeds)]}})).chains
        with TemporaryDirectory() as folder:
            store = Scratch(Path(folder))
            for chain in chains:
                loop.carry(chain, store)
            yield [Checkpoint(store.stages / chain.generations[-1].model.folder) for chain in chains]
