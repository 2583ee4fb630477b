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
from entropy_loop.plan import Generation, Looks, Run
from entropy_loop.registry import named
from entropy_loop.storage.store import Store

STOCK = "stock.json"  # in the folder of the held-out images: prompt -> how many there are to draw from, null for no end


@dataclass(frozen=True)
class Look:
    """What was seen on the images of a set, row by row as its table; None where nobody looked.

    table: columns id, prompt. embeddings: float32 (n, d). noise: one column per index. attributes: columns id,
    attribute, value, reason.
    """

    table: pd.DataFrame
    embeddings: np.ndarray | None
    noise: pd.DataFrame | None
    attributes: pd.DataFrame | None

    def of(self, prompt: str) -> Look:
        """The images of one prompt."""
        mine = (self.table["prompt"] == prompt).to_numpy()
        ids = set(self.table.loc[mine, "id"])
        return Look(
            self.table[mine],
            None if self.embeddings is None else self.embeddings[mine],
            None if self.noise is None else self.noise[mine],
            None if self.attributes is None else self.attributes[self.attributes["id"].isin(ids)],
        )


@dataclass(frozen=True)
class Views:
    """A pool and what it is held against; None where there is none.

    first: generation 0's pool, for later generations. diet: what the pool's model was trained on, each image once, its
    embeddings alone. held_out: real images that no diet contains. withheld: prompts for which the config's real data
    have none, and why.
    """

    pool: Look
    first: Look | None = None
    diet: Look | None = None
    held_out: Look | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)

    def of(self, prompt: str) -> Views:
        """What belongs to one prompt."""
        return replace(
            self,
            pool=self.pool.of(prompt),
            first=_some(self.first, prompt),
            diet=self.diet and self.diet.of(prompt),
            held_out=_some(self.held_out, prompt) if prompt not in self.withheld else None,
        )


def _some(look: Look | None, prompt: str) -> Look | None:
    """The images of a prompt, if it has any."""
    mine = look and look.of(prompt)
    return mine if mine and len(mine.table) else None


def hold_out(run: Run, out: Path, tick: Tick) -> None:
    """Draw the held-out images of every prompt that has enough, and write down how many there are to draw from."""
    plugin = run.config.held_out_plugin()
    prompts = run.config.prompt_nouns()
    stock = {prompt.text: plugin.stock(prompt.text) for prompt in prompts}
    (out / STOCK).write_text(json.dumps(stock), encoding="utf-8")
    enough = {p.text for p in prompts if (has := stock[p.text]) is None or has >= run.config.images_of(p)}
    if requests := [request for request in run.requests(0, HELD_OUT) if request.prompt in enough]:
        plugin.draw(requests, out, tick)
        validation.made(Samples(out), requests, named(plugin))
    else:
        pd.DataFrame(columns=list(SAMPLES)).to_parquet(out / "samples.parquet", index=False)


def views(run: Run, generation: int, store: Store) -> Views:
    """Everything that the measure stage of a generation opens; all of it has been made."""
    first = run.generations[0]
    return Views(
        pool=_look(run.generations[generation].looks[POOL], store),
        first=_look(first.looks[POOL], store) if generation else None,
        diet=_diet(run, generation, store),
        held_out=_look(first.looks[HELD_OUT], store) if HELD_OUT in first.looks else None,
        withheld=_withheld(run, generation, store),
    )


def _diet(run: Run, generation: int, store: Store) -> Look | None:
    """None where nothing was trained or nobody embeds. What is taught under captions of its own is not looked at."""
    g = run.generations[generation]
    if g.model.verb != "train" or g.looks[POOL].embed is None:
        return None
    eaten = [m.looks[POOL] for m in run.config.regime_plugin().eats(run.generations[:generation])]
    eaten += [looks for name, looks in g.looks.items() if name != POOL]
    vectors: dict[str, np.ndarray] = {}
    for look in (_look(looks, store) for looks in eaten):
        if look.embeddings is not None:
            vectors.update(zip(look.table["id"], look.embeddings, strict=True))
    table = pd.read_parquet(store.stages / g.model.folder / "diet.parquet", columns=["id", "prompt"])
    table = table[~table["id"].isin(_lesson(g, store))].drop_duplicates("id")
    return Look(table, np.stack([vectors[name] for name in table["id"]]), None, None)


def _lesson(g: Generation, store: Store) -> list[str]:
    if TAUGHT not in g.sets:
        return []
    return list(pd.read_parquet(store.stages / g.sets[TAUGHT].folder / "samples.parquet", columns=["id"])["id"])


def _look(looks: Looks, store: Store) -> Look:
    def folder(stage: Stage) -> Path:
        return store.stages / stage.folder

    return Look(
        pd.read_parquet(folder(looks.images) / "samples.parquet", columns=["id", "prompt"]),
        np.load(folder(looks.embed) / "embeddings.npy") if looks.embed else None,
        pd.read_parquet(folder(looks.embed) / "noise.parquet").drop(columns="id") if looks.embed else None,
        pd.read_parquet(folder(looks.read) / "attributes.parquet") if looks.read else None,
    )


def _withheld(run: Run, generation: int, store: Store) -> dict[str, str]:
    """Prompt -> why no real images can be held against its pool of this generation."""
    looks = run.generations[0].looks.get(HELD_OUT)
    if looks is None:
        return {}
    stock = json.loads((store.stages / looks.images.folder / STOCK).read_text(encoding="utf-8"))
    taken, found = _taken(run, generation), {}
    for prompt in run.config.prompt_nouns():
        has, needed, eaten = stock[prompt.text], run.config.images_of(prompt), taken.get(prompt.text, 0)
        if has is not None and has < needed + eaten:
            found[prompt.text] = f"of {has} real images of this prompt the diets took {eaten}; {needed} must be left"
    return found


def _taken(run: Run, generation: int) -> dict[str, int]:
    """How many real images of each prompt the diets up to a generation took from where the held-out ones come from."""
    taken: dict[str, int] = {}
    if run.config.real and run.config.real_plugin() == run.config.held_out_plugin():
        for g in run.generations[: generation + 1]:
            for request in run.requests(g.number, REAL) if REAL in g.sets else ():
                taken[request.prompt] = max(taken.get(request.prompt, 0), request.index + 1)
    return taken
