"""Which images people are asked about: of every pool a random sample, and scenes of which the truth is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from entropy_loop import assets
from entropy_loop.analysis.rows import ImageRow, read
from entropy_loop.data import POOL
from entropy_loop.errors import ConfigError
from entropy_loop.people.book import FILE, Book, Item, opaque
from entropy_loop.plan import Plan
from entropy_loop.study.config import Config

FOLDER = "people"  # of the catch trials, in the results folder
TRIALS = 48  # catch trials that are drawn, at most one in `catch_trials` of what one rater sees


def ask(plan: Plan, config: Config, images: pd.DataFrame, root: Path, book: Book, seed: int) -> None:
    """Ask about a sample of the target prompts' pools (`images` as in images.parquet), and, where the storybook world
    draws what the prompts ask for, about drawn scenes. What is asked about already stays.

    config: the study's, with what the command line says of people. The sample of a pool is fixed by the seed and the
    pool; a pool that two chains share is asked about once. Raises ConfigError where there is nothing to show, or people
    have answered to something else than the config asks.
    """
    concepts = {p.text: p.concepts for chain in plan.chains for p in chain.config.pool_prompts() if p.role == "target"}
    pools = images[(images["set"] == POOL) & images["prompt"].isin(concepts) & images["file"].fillna("").ne("")]
    if pools.empty:
        raise ConfigError(f"{root}: has no images of a target prompt yet; `entropy-loop run` makes them.")
    if not book.ask_by(config.people.choices):
        raise ConfigError(
            f"{root}: people.ask and people.choices differ from what people have answered here already, and answers to "
            f"different questions do not mix; set them back, or put {root / FILE} elsewhere to begin anew."
        )
    known = {item.file for item in book.items().values()}
    wanted = [
        Item(opaque(), row.file, row.id, row.prompt, concepts[row.prompt])
        for row in _sampled(pools, config.people.images, seed)
        if row.file not in known
    ]
    book.add_items([*wanted, *_trials(config, concepts, root, known, seed)])


def _sampled(pools: pd.DataFrame, n: int, seed: int) -> Iterator[ImageRow]:
    folders = pools["file"].map(lambda file: "/".join(Path(file).parts[:2]))  # store/<stage>
    for (folder, prompt), rows in pools.drop_duplicates("file").groupby([folders, "prompt"], sort=True):
        digest = hashlib.sha256(json.dumps([seed, str(folder), str(prompt)]).encode()).digest()
        rows = rows.sort_values("id")
        chosen = np.random.default_rng(list(digest)).permutation(len(rows))[:n]
        yield from read(rows.iloc[np.sort(chosen)], ImageRow)


def _trials(
    config: Config, concepts: dict[str, tuple[str, ...]], root: Path, known: set[str], seed: int
) -> Iterator[Item]:
    """Drawn scenes, half of them made for the prompts: with all of their concepts, and with all but one."""
    if not (config.people.catch_trials and str(config.generator.get("checkpoint", "")).startswith(assets.PREFIX)):
        return
    from entropy_loop.worlds import labelled
    from entropy_loop.worlds.storybook import scene

    strange = {name for names in concepts.values() for name in names} - set(scene.CONCEPTS)
    if strange or any(file.startswith(f"{FOLDER}/") for file in known):
        return
    drawn = labelled.storybook(list(concepts.values()), TRIALS, seed, root / FOLDER, lambda share: None)
    texts = list(concepts)
    for place, file in enumerate(drawn.files):
        prompt = texts[place // 2 % len(texts)]
        shown = drawn.truth.iloc[place]
        truth = tuple(name for name in concepts[prompt] if bool(shown[name]))
        yield Item(opaque(), str(file.relative_to(root)), file.stem, prompt, concepts[prompt], truth)
