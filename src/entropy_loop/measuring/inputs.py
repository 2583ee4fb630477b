"""What a pool is held against: real images that no diet contains, and what was seen of all sets, from the store."""

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
from entropy_loop.registry import named
from entropy_loop.storage.store import Store

STOCK = "stock.json"  # in the folder of the held-out images: prompt -> how many there are to draw from, null for no end


@dataclass(frozen=True)
class Observations:
    """What was seen on the images of a set, row by row as its table; None where nobody looked.

    table: columns id, prompt. embeddings: float32 (n, d). noise: one column per index. attributes: columns id,
    attribute, value, reason.
    """

    table: pd.DataFrame
    embeddings: np.ndarray | None
    noise: pd.DataFrame | None
    attributes: pd.DataFrame | None

    def of(self, prompt: str) -> Observations:
        """The images of one prompt."""
        mine = (self.table["prompt"] == prompt).to_numpy()
        ids = set(self.table.loc[mine, "id"])
        return Observations(
            self.table[mine],
            None if self.embeddings is None else self.embeddings[mine],
            None if self.noise is None else self.noise[mine],
            None if self.attributes is None else self.attributes[self.attributes["id"].isin(ids)],
        )


@dataclass(frozen=True)
class Inputs:
    """A pool and what it is held against; None where there is none.

    first: generation 0's pool, for later generations. diet: what the pool's model was trained on, each image once, its
    embeddings alone. held_out: real images that no diet contains. withheld: prompts for which the config's real data
    have none, and why.
    """

    pool: Observations
    first: Observations | None = None
    diet: Observations | None = None
    held_out: Observations | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)

    def of(self, prompt: str) -> Inputs:
        """What belongs to one prompt."""
        return replace(
            self,
            pool=self.pool.of(prompt),
            first=_some(self.first, prompt),
            diet=self.diet and self.diet.of(prompt),
            held_out=_some(self.held_out, prompt) if prompt not in self.withheld else None,
        )


def _some(observed: Observations | None, prompt: str) -> Observations | None:
    """The images of a prompt, if it has any."""
    mine = observed and observed.of(prompt)
    return mine if mine and len(mine.table) else None


def hold_out(chain: Chain, out: Path, tick: Tick) -> None:
    """Draw the held-out images of every prompt that has enough, and write down how many there are to draw from."""
    plugin = chain.config.held_out_plugin()
    prompts = chain.config.prompt_nouns()
    stock = {prompt.text: plugin.stock(prompt.text) for prompt in prompts}
    (out / STOCK).write_text(json.dumps(stock), encoding="utf-8")
    enough = {p.text for p in prompts if (has := stock[p.text]) is None or has >= chain.config.images_of(p)}
    if requests := [request for request in chain.requests(0, HELD_OUT) if request.prompt in enough]:
        plugin.draw(requests, out, tick)
        validation.made(Samples(out), requests, named(plugin))
    else:
        pd.DataFrame(columns=list(SAMPLES)).to_parquet(out / "samples.parquet", index=False)


def load(chain: Chain, generation: int, store: Store) -> Inputs:
    """Everything that the measure stage of a generation opens; all of it has been made."""
    first = chain.generations[0]
    return Inputs(
        pool=_observations(chain.generations[generation].observed[POOL], store),
        first=_observations(first.observed[POOL], store) if generation else None,
        diet=_diet(chain, generation, store),
        held_out=_observations(first.observed[HELD_OUT], store) if HELD_OUT in first.observed else None,
        withheld=_withheld(chain, generation, store),
    )


def _diet(chain: Chain, generation: int, store: Store) -> Observations | None:
    """None where nothing was trained or nobody embeds. What is taught under captions of its own is not looked at."""
    g = chain.generations[generation]
    if g.model.verb != "train" or g.observed[POOL].embed is None:
        return None
    eaten = [m.observed[POOL] for m in chain.config.regime_plugin().eats(chain.generations[:generation])]
    eaten += [stages for name, stages in g.observed.items() if name != POOL]
    vectors: dict[str, np.ndarray] = {}
    for observed in (_observations(stages, store) for stages in eaten):
        if observed.embeddings is not None:
            vectors.update(zip(observed.table["id"], observed.embeddings, strict=True))
    table = pd.read_parquet(store.stages / g.model.folder / "diet.parquet", columns=["id", "prompt"])
    table = table[~table["id"].isin(_lesson(g, store))].drop_duplicates("id")
    return Observations(table, np.stack([vectors[name] for name in table["id"]]), None, None)


def _lesson(g: Generation, store: Store) -> list[str]:
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
    """Prompt -> why no real images can be held against its pool of this generation."""
    stages = chain.generations[0].observed.get(HELD_OUT)
    if stages is None:
        return {}
    stock = json.loads((store.stages / stages.images.folder / STOCK).read_text(encoding="utf-8"))
    taken, found = _taken(chain, generation), {}
    for prompt in chain.config.prompt_nouns():
        has, needed, eaten = stock[prompt.text], chain.config.images_of(prompt), taken.get(prompt.text, 0)
        if has is not None and has < needed + eaten:
            found[prompt.text] = f"of {has} real images of this prompt the diets took {eaten}; {needed} must be left"
    return found


def _taken(chain: Chain, generation: int) -> dict[str, int]:
    """How many real images of each prompt the diets up to a generation took from where the held-out ones come from."""
    taken: dict[str, int] = {}
    if chain.config.real and chain.config.real_plugin() == chain.config.held_out_plugin():
        for g in chain.generations[: generation + 1]:
            for request in chain.requests(g.number, REAL) if REAL in g.sets else ():
                taken[request.prompt] = max(taken.get(request.prompt, 0), request.index + 1)
    return taken
