"""Rows of ledger.csv: how curation and training changed the rate of each concept in each feedback step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise

import pandas as pd

from entropy_loop.analysis.rows import Row
from entropy_loop.data import ALL, POOL, REAL, TAUGHT, Prompt
from entropy_loop.metrics.ledger import Group, ledger
from entropy_loop.metrics.rates import answers
from entropy_loop.plan import Chain, Generation
from entropy_loop.storage.reading import Reader


def ledgers(chain: Chain, judgements: pd.DataFrame, reader: Reader) -> Iterator[Row]:
    """One row per feedback step, target prompt, judge and concept; `judgements` as in judgements.parquet."""
    judgements = judgements[(judgements["run"] == chain.name) & judgements["set"].isin((POOL, REAL, TAUGHT))]
    for judge, rows in judgements.groupby("judge", sort=False):
        for prompt in chain.config.pool_prompts():
            if prompt.role != "target":
                continue
            image_answers = _image_answers(rows, prompt)
            for g, following in pairwise(chain.generations):
                step = _step(g, following, prompt, reader)
                if step is None:
                    continue
                place = {"run": chain.name, "arm": chain.arm, "seed": chain.config.seed, "generation": g.number}
                for concept in (*prompt.concepts, ALL):
                    row = {"prompt": prompt.text, "concept": concept, "judge": judge}
                    yield place | row | _row(step, image_answers, concept, g.number)


def _image_answers(judgements: pd.DataFrame, prompt: Prompt) -> pd.DataFrame:
    """One row per image of a chain: set, generation, and the answer on each concept."""
    rows = judgements.drop_duplicates(["id", "concept"])  # a fixed set of real images is in the diet of every step
    places = rows.drop_duplicates("id").set_index("id")[["set", "generation"]]
    return answers(rows, prompt.concepts).join(places)


def _step(g: Generation, following: Generation, prompt: Prompt, reader: Reader) -> pd.DataFrame | None:
    """The images of a step by id: `copies` in the diet, `kept`, `in_pool`; None before the step is finished."""
    store = reader.store
    trained = store.finished(following.model) if following.model.verb == "train" else None
    curated = store.finished(g.curate) if g.curate else None
    if trained is None or curated is None:
        return None
    diet = reader.table(trained / "diet.parquet")
    copies = diet[diet["prompt"] == prompt.text]["id"].value_counts().rename("copies")
    pool = reader.table(store.stages / g.sets[POOL].folder / "samples.parquet")[["id", "prompt"]]
    pool = pool[pool["prompt"] == prompt.text].merge(reader.table(curated / "selection.parquet"), on="id")
    step = pool.set_index("id")[["kept"]].assign(in_pool=True).join(copies, how="outer")
    step["kept"], step["in_pool"] = step["kept"].eq(True), step["in_pool"].eq(True)
    return step.fillna({"copies": 0}).astype({"copies": int})


def _row(step: pd.DataFrame, image_answers: pd.DataFrame, concept: str, generation: int) -> Row:
    answered = step.join(image_answers[[concept, "set", "generation"]])
    places = ["in_pool", "copies", "set", "generation"]
    groups = [
        Group(*_counts(rows[concept]), in_pool=bool(rows["in_pool"].iloc[0]), copies=int(rows["copies"].iloc[0]))
        for _, rows in answered.groupby(places, dropna=False)
    ]
    next_pool = (image_answers["set"] == POOL) & (image_answers["generation"] == generation + 1)
    kept, following = answered.loc[answered["kept"], concept], image_answers.loc[next_pool, concept]
    return asdict(ledger(groups, _counts(kept), _counts(following)))


def _counts(column: pd.Series) -> tuple[int, int]:
    """(hits, n) of the images that were judged."""
    judged = column.dropna()
    return int(judged.sum()), len(judged)
