"""The pictures of the judges' third phase: pictures changed as feedback loops change them, and junk of broken models.

There are five kinds of sources. Each can be left out to measure its effect (`train.py robust --without`):

scenes       drawn scenes and their round trips through the codec, changed mildly, as in the phases before
appearance   the same, changed strongly, and scenes redrawn in another style (appearance.py)
chains       generations 1 to 4 of feedback chains with other seeds and mostly other prompts, labelled by their prompts
labels       later generations of these chains, labelled by eye (the training part of `loop-truth`)
junk         what UNets of these chains paint with noised weights (loop_truth/junk.py)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from entropy_loop.worlds.storybook import scene
from scripts.training.storybook.batches import Mixture, Source
from scripts.training.storybook.judges.appearance import either, redrawn, strong
from scripts.training.storybook.judges.claims import UNKNOWN, UNNAMED
from scripts.training.storybook.judges.loop_truth.chains import CHAINS, Chain
from scripts.training.storybook.judges.loop_truth.chains import text as prompt_of
from scripts.training.storybook.judges.loop_truth.junk import LEVELS, painted, scenes
from scripts.training.storybook.judges.loop_truth.parts import CANT_TELL, NONE, labelled, pixels
from scripts.training.storybook.judges.model import STREAMS, Recipe
from scripts.training.storybook.pictures import junk_rows, pictures, to_float, to_pixels, train_scenes, truth_table
from scripts.training.storybook.round_trips import Codec, all_junk

KINDS = ("appearance", "chains", "labels", "junk")
SCENES = 6000
BY_PROMPT = 4  # until this generation the eye sees what most prompts ask for; steep chains lose it in 4
PER_KIND = 24  # junk pictures of a chain, generation and level


def mixture(recipe: Recipe, work: Path, chains: Path, codec: Codec, without: tuple[str, ...]) -> Mixture:
    """The batches of the third phase: 128 images and 14 of junk that needs no model. Images are cached in `work`, so a
    changed recipe needs another folder."""
    sources = _sources(recipe, work, chains, codec, without)
    return Mixture(sources, all_junk(codec), 14, recipe.seed + STREAMS["batches"] + 100)


def _sources(recipe: Recipe, work: Path, chains: Path, codec: Codec, without: tuple[str, ...]) -> list[Source]:
    drawn = train_scenes(SCENES, recipe.seed + STREAMS["train"])
    table = truth_table(drawn)
    clean = _cached(work / f"{recipe.name}-clean.npy", lambda: pictures(drawn))
    trips = _cached(work / f"{recipe.name}-trips.npy", lambda: _trips(clean, codec, recipe.seed))
    more = 25 if "appearance" in without else 0
    sources = [Source(clean, table, 16 + more), Source(trips, table[: len(trips)], 16 + more, either(0.3))]
    if "appearance" not in without:
        other = _cached(work / f"{recipe.name}-redrawn.npy", lambda: _redrawn(drawn, recipe.seed))
        sources += [Source(clean, table, 25, strong), Source(other, table, 25, strong)]
    own_chains = [chain for chain in CHAINS if chain.name in recipe.chains]
    if "chains" not in without:
        sources.append(Source(*by_prompt(own_chains, chains), 24, either(0.4)))
    if "labels" not in without:
        sources.append(Source(*by_eye(own_chains), 16, either(0.4)))
    if "junk" not in without:
        junk = _cached(work / f"{recipe.name}-junk.npy", lambda: model_junk(own_chains[:3], chains, recipe.seed))
        sources.append(Source(junk, junk_rows(["broken"] * len(junk)), 16))
    return sources


def _cached(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    if not path.exists():
        np.save(path, make())
    return np.load(path)


def _trips(clean: np.ndarray, codec: Codec, seed: int) -> np.ndarray:
    """1,300 scenes through the codec: 600 once, 300 three times, 150 six times, 250 with shaken latents."""
    rng, some = torch.Generator().manual_seed(seed + STREAMS["codec"]), to_float(clean[:1300])
    parts = [codec.round_trips(some[:600]), codec.round_trips(some[600:900], 3), codec.round_trips(some[900:1050], 6)]
    return to_pixels(torch.cat([*parts, codec.shaken(some[1050:], rng)]))


def _redrawn(drawn: list[scene.Scene], seed: int) -> np.ndarray:
    return np.stack([redrawn(scene_, np.random.default_rng([seed, i])) for i, scene_ in enumerate(drawn)])


def by_prompt(own_chains: list[Chain], chains: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Pools of generations 1 to 4 and what their prompts ask for."""
    shown, rows = [], []
    for chain in own_chains:
        asked = {prompt_of(ask): ask for ask in chain.asks}
        table = pd.read_parquet(chains / chain.name / "images.parquet")
        table = table[table["set"].eq("pool") & table["generation"].between(1, BY_PROMPT)]
        shown += [np.asarray(Image.open(chains / chain.name / file).convert("RGB")) for file in table["file"]]
        rows += [dict(zip(("rider", "mount", "relation"), asked[prompt], strict=True)) for prompt in table["prompt"]]
    return np.stack(shown), _truth(pd.DataFrame(rows))


def by_eye(own_chains: list[Chain]) -> tuple[np.ndarray, pd.DataFrame]:
    """The labelled pictures of these chains and what was seen in them; a first look alone counts."""
    rows = labelled("training")
    rows = rows[rows["chain"].isin([chain.name for chain in own_chains])]
    return pixels(rows.index), _truth(seen(rows))


def seen(looks: pd.DataFrame) -> pd.DataFrame:
    """Answers of the eye as truth: a figure or animal that it cannot name is none of the eight, who alone is seen is
    alone, and what shows nothing at all is junk."""
    table = looks[["rider", "mount", "relation"]].replace({CANT_TELL: UNNAMED, NONE: "", "beside": "next_to"})
    table["relation"] = table["relation"].replace(UNNAMED, UNKNOWN)
    nobody, nothing = table["rider"].eq(""), table["mount"].eq("")
    neither = table["relation"].eq("neither")
    table.loc[neither, "relation"] = UNKNOWN
    table.loc[neither & nobody & ~nothing, "relation"] = "mount_alone"
    table.loc[neither & nothing & ~nobody, "relation"] = "rider_alone"
    table["junk"] = ""
    table.loc[neither & nobody & nothing, ["relation", "junk"]] = ["junk", "broken"]
    return table


def _truth(table: pd.DataFrame) -> pd.DataFrame:
    """With the columns of drawn scenes, of which no more is known."""
    unknown = dict.fromkeys(("coat", "suit", "background", "facing"), UNKNOWN)
    return table.assign(**unknown, place_named=False, junk=table.get("junk", "")).reset_index(drop=True)


def model_junk(own_chains: list[Chain], chains: Path, seed: int) -> np.ndarray:
    """uint8 (n, 64, 64, 3), of noised weights alone: without a text these models still paint figures."""
    return np.concatenate(
        [
            painted(chains / chain.name, generation, "weights", level, scenes(PER_KIND), seed + 1000 * i + generation)
            for i, chain in enumerate(own_chains)
            for generation in (2 + i, 4 + i)
            for level in LEVELS
        ]
    )
