"""Rows of ledger.csv: what curation and what training did to the rate of every concept, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd

from entropy_loop.analysis.rows import Row
from entropy_loop.data import ALL, POOL, REAL, TAUGHT, Prompt
from entropy_loop.metrics.ledger import Group, ledger
from entropy_loop.metrics.rates import answers
from entropy_loop.plan import Chain, Generation
from entropy_loop.storage.reading import Reader


def ledgers(chain: Chain, judgements: pd.DataFrame, reader: Reader) -> Iterator[Row]:
    """One row per feedback step, target prompt, judge and concept; `judgements` as in judgements.parquet."""
    mine = judgements[(judgements["run"] == chain.name) & judgements["set"].isin((POOL, REAL, TAUGHT))]
    for judge, told in mine.groupby("judge", sort=False):
        for prompt in chain.config.pool_prompts():
            if prompt.role == "target":
                answered = _answered(told, prompt)
                for g, following in zip(chain.generations, chain.generations[1:], strict=False):
                    where = {"run": chain.name, "arm": chain.arm, "seed": chain.config.seed, "generation": g.number}
                    step = _step(g, following, prompt, reader)
                    if step is None:
                        continue
                    for concept in (*prompt.concepts, ALL):
                        row = {"prompt": prompt.text, "concept": concept, "judge": judge}
                        yield where | row | _row(step, answered, concept, g.number)


def _answered(told: pd.DataFrame, prompt: Prompt) -> pd.DataFrame:
    """One row per image of a chain: set, generation, and what was answered for each concept."""
    seen = told.drop_duplicates(["id", "concept"])  # a fixed set of real images is eaten again in every step
    places = seen.drop_duplicates("id").set_index("id")[["set", "generation"]]
    return answers(seen, prompt.concepts).join(places)


def _step(g: Generation, following: Generation, prompt: Prompt, reader: Reader) -> pd.DataFrame | None:
    """The images of the step, by id: copies in the diet, kept, in this pool; None if it was not made yet."""
    store = reader.store
    trained = store.finished(following.model) if following.model.verb == "train" else None
    curated = store.finished(g.curate) if g.curate else None
    if trained is None or curated is None:
        return None
    diet = reader.table(trained / "diet.parquet")
    copies = diet[diet["prompt"] == prompt.text]["id"].value_counts().rename("copies")
    pool = reader.table(store.stages / g.sets[POOL].folder / "samples.parquet")[["id", "prompt"]]
    mine = pool[pool["prompt"] == prompt.text].merge(reader.table(curated / "selection.parquet"), on="id")
    step = mine.set_index("id")[["kept"]].assign(in_pool=True).join(copies, how="outer")
    step["kept"], step["in_pool"] = step["kept"].eq(True), step["in_pool"].eq(True)
    return step.fillna({"copies": 0}).astype({"copies": int})


def _row(step: pd.DataFrame, answered: pd.DataFrame, concept: str, generation: int) -> Row:
    told = step.join(answered[[concept, "set", "generation"]])
    places = ["in_pool", "copies", "set", "generation"]
    groups = [
        Group(*_counts(rows[concept]), in_pool=bool(rows["in_pool"].iloc[0]), copies=int(rows["copies"].iloc[0]))
        for _, rows in told.groupby(places, dropna=False)
    ]
    following = answered[(answered["set"] == POOL) & (answered["generation"] == generation + 1)]
    return asdict(ledger(groups, _counts(told.loc[told["kept"], concept]), _counts(following[concept])))


def _counts(column: pd.Series) -> tuple[int, int]:
    """(hits, n) of the images that could be judged."""
    judged = column.dropna()
    return int(judged.sum()), len(judged)
