"""Chooses the images that people are asked about: a random sample of every pool, and catch trials of known truth."""

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

FOLDER = "people"  # holds the catch trials, in the results folder
CATCH_TRIALS = 48  # drawn per results folder; `people.catch_trials` is the share that one rater sees


def ask(plan: Plan, config: Config, images: pd.DataFrame, root: Path, book: Book, seed: int) -> None:
    """Ask about a sample of the target prompts' pools and, for studies in the storybook world, about catch trials.

    config: the study's config with the command line's options for people. images: as in images.parquet. seed: it fixes
    the sample of each pool. A pool that chains share is asked about once. Images that are asked about already stay.

    Raises ConfigError when there is no image of a target prompt, or when people have answered other questions.
    """
    concepts = {p.text: p.concepts for chain in plan.chains for p in chain.config.pool_prompts() if p.role == "target"}
    pools = images[(images["set"] == POOL) & images["prompt"].isin(concepts) & images["file"].fillna("").ne("")]
    if pools.empty:
        raise ConfigError(f"{root}: has no images of a target prompt yet. `entropy-loop run` makes them.")
    if not book.set_questions(config.people.choices):
        raise ConfigError(
            f"{root}: people have already answered other questions than people.ask and people.choices ask, and answers "
            f"to different questions do not mix. Set them back, or move {root / FILE} elsewhere to start again."
        )
    known = {item.file for item in book.items().values()}
    sample = [
        Item(opaque(), row.file, row.id, row.prompt, concepts[row.prompt])
        for row in _sample(pools, config.people.images, seed)
        if row.file not in known
    ]
    book.add_items([*sample, *_catch_trials(config, concepts, root, known, seed)])


def _sample(pools: pd.DataFrame, n: int, seed: int) -> Iterator[ImageRow]:
    folders = pools["file"].map(lambda file: "/".join(Path(file).parts[:2]))  # store/<stage>
    for (folder, prompt), rows in pools.drop_duplicates("file").groupby([folders, "prompt"], sort=True):
        digest = hashlib.sha256(json.dumps([seed, str(folder), str(prompt)]).encode()).digest()
        rows = rows.sort_values("id")
        chosen = np.random.default_rng(list(digest)).permutation(len(rows))[:n]
        yield from read(rows.iloc[np.sort(chosen)], ImageRow)


def _catch_trials(
    config: Config, concepts: dict[str, tuple[str, ...]], root: Path, known: set[str], seed: int
) -> Iterator[Item]:
    """Drawn scenes for the prompts: half with all concepts of a prompt, half with all but one."""
    if not (config.people.catch_trials and str(config.generator.get("checkpoint", "")).startswith(assets.PREFIX)):
        return
    from entropy_loop.worlds import labelled
    from entropy_loop.worlds.storybook import scene

    unknown = {name for names in concepts.values() for name in names} - set(scene.CONCEPTS)
    if unknown or any(file.startswith(f"{FOLDER}/") for file in known):
        return
    drawn = labelled.storybook(list(concepts.values()), CATCH_TRIALS, seed, root / FOLDER, lambda share: None)
    texts = list(concepts)
    for i, file in enumerate(drawn.files):
        prompt = texts[i // 2 % len(texts)]
        truth = tuple(name for name in concepts[prompt] if bool(drawn.truth.iloc[i][name]))
        yield Item(opaque(), str(file.relative_to(root)), file.stem, prompt, concepts[prompt], truth)
