"""Inputs of the measure stage: held-out images, and embeddings, noise indices and attributes of all sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from entropy_loop import validation
from entropy_loop.data import HELD_OUT, POOL, REAL, SAMPLES, TAUGHT, Samples, Stage, Tick
from entropy_loop.plan import Chain, Generation, SetStages
from entropy_loop.registry import display_name
from entropy_loop.storage.store import Store

STOCK = "stock.json"
"""File beside the held-out images: prompt -> number of images to draw from, null if unlimited."""


@dataclass(frozen=True)
class Observations:
    """Embeddings, noise indices and attributes of the images of a set; None if they were not computed.

    table: columns id, prompt. embeddings: float32 (n, d), in the table's order. noise: one column per index, in the
    table's order. attributes: columns id, attribute, value, reason.
    """

    table: pd.DataFrame
    embeddings: np.ndarray | None
    noise: pd.DataFrame | None
    attributes: pd.DataFrame | None

    def of(self, prompt: str) -> Observations:
        """The images of one prompt."""
        rows = (self.table["prompt"] == prompt).to_numpy()
        ids = set(self.table.loc[rows, "id"])
        return Observations(
            self.table[rows],
            None if self.embeddings is None else self.embeddings[rows],
            None if self.noise is None else self.noise[rows],
            None if self.attributes is None else self.attributes[self.attributes["id"].isin(ids)],
        )


@dataclass(frozen=True)
class Inputs:
    """A pool and what it is compared with; None if there is no such set.

    first: generation 0's pool, for later generations. diet: embeddings of the images that the pool's model was trained
    on, each once. held_out: real images that no diet contains. withheld: prompt -> why it has too few of these.
    """

    pool: Observations
    first: Observations | None = None
    diet: Observations | None = None
    held_out: Observations | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)

    def of(self, prompt: str) -> Inputs:
        """The inputs of one prompt."""
        return replace(
            self,
            pool=self.pool.of(prompt),
            first=_some(self.first, prompt),
            diet=self.diet and self.diet.of(prompt),
            held_out=_some(self.held_out, prompt) if prompt not in self.withheld else None,
        )


def _some(observed: Observations | None, prompt: str) -> Observations | None:
    """The images of a prompt, or None if it has none."""
    images = observed and observed.of(prompt)
    return images if images and len(images.table) else None


def draw_held_out(chain: Chain, out: Path, tick: Tick) -> None:
    """Draw the held-out images of every prompt that has enough, and write STOCK."""
    plugin = chain.config.held_out_plugin()
    prompts = chain.config.pool_prompts()
    stock = {prompt.text: plugin.stock(prompt.text) for prompt in prompts}
    (out / STOCK).write_text(json.dumps(stock), encoding="utf-8")
    enough = {p.text for p in prompts if (count := stock[p.text]) is None or count >= chain.config.images_of(p)}
    if requests := [request for request in chain.requests(0, HELD_OUT) if request.prompt in enough]:
        plugin.draw(requests, out, tick)
        validation.check_samples(Samples(out), requests, display_name(plugin))
    else:
        pd.DataFrame(columns=list(SAMPLES)).to_parquet(out / "samples.parquet", index=False)


def load(chain: Chain, generation: int, store: Store) -> Inputs:
    """The inputs of a generation's measure stage. All stages that it needs must be finished."""
    first = chain.generations[0]
    return Inputs(
        pool=_observations(chain.generations[generation].observed[POOL], store),
        first=_observations(first.observed[POOL], store) if generation else None,
        diet=_diet(chain, generation, store),
        held_out=_observations(first.observed[HELD_OUT], store) if HELD_OUT in first.observed else None,
        withheld=_withheld(chain, generation, store),
    )


def _diet(chain: Chain, generation: int, store: Store) -> Observations | None:
    """The diet's embeddings, without taught images; None if nothing was trained or embedded."""
    g = chain.generations[generation]
    if g.model.verb != "train" or g.observed[POOL].embed is None:
        return None
    sources = [m.observed[POOL] for m in chain.config.regime_plugin().eats(chain.generations[:generation])]
    sources += [stages for name, stages in g.observed.items() if name != POOL]
    vectors: dict[str, np.ndarray] = {}
    for observed in (_observations(stages, store) for stages in sources):
        if observed.embeddings is not None:
            vectors.update(zip(observed.table["id"], observed.embeddings, strict=True))
    table = pd.read_parquet(store.stages / g.model.folder / "diet.parquet", columns=["id", "prompt"])
    table = table[~table["id"].isin(_taught_ids(g, store))].drop_duplicates("id")
    return Observations(table, np.stack([vectors[name] for name in table["id"]]), None, None)


def _taught_ids(g: Generation, store: Store) -> list[str]:
    if TAUGHT not in g.sets:
        return []
    return list(pd.read_parquet(store.stages / g.sets[TAUGHT].folder / "samples.parquet", columns=["id"])["id"])


def _observations(stages: SetStages, store: Store) -> Observations:
    def folder(stage: Stage) -> Path:
        return store.stages / stage.folder

    return Observations(
        pd.read_parquet(folder(stages.images) / "samples.parquet", columns=["id", "prompt"]),
        np.load(folder(stages.embed) / "embeddings.npy") if stages.embed else None,
        pd.read_parquet(folder(stages.embed) / "noise.parquet").drop(columns="id") if stages.embed else None,
        pd.read_parquet(folder(stages.read) / "attributes.parquet") if stages.read else None,
    )


def _withheld(chain: Chain, generation: int, store: Store) -> dict[str, str]:
    """Prompt -> why its pool of this generation cannot be compared with real images."""
    stages = chain.generations[0].observed.get(HELD_OUT)
    if stages is None:
        return {}
    stock = json.loads((store.stages / stages.images.folder / STOCK).read_text(encoding="utf-8"))
    used, why = _used(chain, generation), {}
    for prompt in chain.config.pool_prompts():
        count, needed, taken = stock[prompt.text], chain.config.images_of(prompt), used.get(prompt.text, 0)
        if count is not None and count < needed + taken:
            why[prompt.text] = f"of {count} real images of this prompt the diets took {taken}; {needed} must be left"
    return why


def _used(chain: Chain, generation: int) -> dict[str, int]:
    """Prompt -> number of real images that the diets up to a generation took from the source of the held-out ones."""
    used: dict[str, int] = {}
    if chain.config.real and chain.config.real_plugin() == chain.config.held_out_plugin():
        for g in chain.generations[: generation + 1]:
            for request in chain.requests(g.number, REAL) if REAL in g.sets else ():
                used[request.prompt] = max(used.get(request.prompt, 0), request.index + 1)
    return used
