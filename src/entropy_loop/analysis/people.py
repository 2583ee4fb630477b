"""People as a judge: what they said in people.sqlite, as rows of judgements, rates, changes and agreement.

Only a rater's first look at an image counts; repeats and catch trials tell of the raters, not of the model.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from entropy_loop import seeds
from entropy_loop.analysis.rows import ChangeRow, Row, read
from entropy_loop.data import ALL, POOL, Prompt
from entropy_loop.metrics import agreement, raters
from entropy_loop.metrics.agreement import Statistic
from entropy_loop.plan import Chain

PEOPLE = "people"
"""The judge's name in tables."""
DIVIDED = "as many people say yes as no"
NOBODY = "nobody could tell"


@dataclass(frozen=True)
class People:
    """What people said of a results folder's images. answers: as `people.book.ANSWERS`; images: as images.parquet."""

    answers: pd.DataFrame
    images: pd.DataFrame
    _answers: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anybody has rated an image."""
        return not self.first_looks.empty

    @cached_property
    def first_looks(self) -> pd.DataFrame:
        """Answers that count: of a pool's images, each rater's first."""
        return self.answers[~self.answers["repeat"] & self.answers["truth"].isna()]

    # ---- as a judge ----------------------------------------------------------------------------------

    def judgements(self) -> pd.DataFrame:
        """Rows of judgements.parquet: the share of people who recognise a concept in an image, and what most say."""
        return self._judged(self.first_looks).drop(columns="file") if self else pd.DataFrame()

    def _judged(self, looks: pd.DataFrame) -> pd.DataFrame:
        told = looks.dropna(subset=["answer"]).astype({"answer": float})
        share = told.groupby(["file", "concept"])["answer"].mean().rename("score")
        asked = looks[["file", "concept"]].drop_duplicates()
        said = asked.merge(share.reset_index(), on=["file", "concept"], how="left")
        divided, nobody = said["score"] == 0.5, said["score"].isna()
        said["answer"] = (said["score"] > 0.5).astype("boolean").mask(divided | nobody)
        said["reason"] = np.select([divided, nobody], [DIVIDED, NOBODY], "")
        places = self.images.loc[self.images["file"].fillna("") != "", ["run", "generation", "set", "id", "file"]]
        return places.merge(said, on="file").assign(judge=PEOPLE, threshold=0.5)

    def rates(self, chain: Chain) -> Iterator[Row]:
        """Rows of rates.csv: n images, hits the sum of the shares of people, rate their mean."""
        if not self:
            return
        for g in chain.generations:
            where = {"run": chain.name, "arm": chain.arm, "seed": chain.config.seed, "generation": g.number}
            for prompt in chain.config.prompt_nouns():
                for concept in (*prompt.concepts, ALL):
                    found = raters.rate(self.of(chain, g.number, prompt, concept), _seed(chain, g.number))
                    if found:
                        told = {"n": found.n, "hits": found.rate * found.n, "rate": found.rate, "reason": found.reason}
                        told |= {"low": found.interval.low, "high": found.interval.high}
                        named = {"prompt": prompt.text, "role": prompt.role, "concept": concept, "judge": PEOPLE}
                        yield where | {"set": POOL} | named | told

    def changes(self, chain: Chain, rows: list[Row]) -> Iterator[Row]:
        """Rows of changes.csv; in those of people c follows from shares, not from whole images, and its interval is
        that of the bootstrap where that has a width."""
        prompts = {prompt.text: prompt for prompt in chain.config.prompt_nouns()}
        for row, told in zip(rows, read(pd.DataFrame(rows), ChangeRow), strict=True):
            if told.judge == PEOPLE and told.v1 > 0:
                ends = (told.from_generation, told.to_generation)
                before, after = (self.of(chain, g, prompts[told.prompt], told.concept) for g in ends)
                row = row | {"change_rate": 1 - told.v2 / told.v1}
                if between := raters.change_interval(before, after, _seed(chain, ends[0])):
                    row |= {"low": between.low, "high": between.high}
            yield row

    def of(self, chain: Chain, generation: int, prompt: Prompt, concept: str) -> np.ndarray:
        """Answers to a pool's images, float (raters, images): see `metrics.raters`."""
        table = self._table(prompt, concept)
        files = self._files.get((chain.name, generation, prompt.text), [])
        return table.reindex(columns=[file for file in files if file in table.columns]).to_numpy(float)

    @cached_property
    def _files(self) -> dict[Hashable, list[str]]:
        pools = self.images[self.images["set"] == POOL].groupby(["run", "generation", "prompt"])["file"]
        return {key: list(files) for key, files in pools}

    def _table(self, prompt: Prompt, concept: str) -> pd.DataFrame:
        """Raters by files, 1, 0 or missing. `all`: every concept by one and the same person in one image."""
        if (prompt.text, concept) not in self._answers:
            mine = self.first_looks[self.first_looks["prompt"] == prompt.text]
            told = _with_all(mine, ["rater", "file"], ["answer"]).astype({"answer": float})
            told = told[told["concept"] == concept].pivot(index="rater", columns="file", values="answer")
            self._answers[prompt.text, concept] = told.reindex(index=sorted(self.first_looks["rater"].unique()))
        return self._answers[prompt.text, concept]

    # ---- agreement -----------------------------------------------------------------------------------

    def agreement(self, judgements: pd.DataFrame) -> Iterator[Row]:
        """Rows of agreement.csv: people with each other, with themselves and with known truth, and every model judge
        with most people (`judgements` as in judgements.parquet); of every concept and of `all` in one image."""
        for rater, rows in self.first_looks.groupby("rater"):
            yield _row(PEOPLE, "", Statistic("answers", rows["file"].nunique(), None, None, None), rater=rater)
        for prompt, rows in self.first_looks.groupby("prompt", sort=False):
            noun = Prompt(str(prompt), concepts=tuple(dict.fromkeys(rows["concept"])))
            for concept in (*noun.concepts, ALL):
                table = self._table(noun, concept)
                yield _row(PEOPLE, concept, agreement.alpha(table.to_numpy(float)), prompt=prompt)
        answers = _with_all(self.answers, ["rater", "file", "repeat"], ["answer", "truth"])
        yield from (_row(PEOPLE, c, found) for c, found in agreement.with_themselves(answers))
        yield from (_row(PEOPLE, c, found, rater=r) for r, c, found in agreement.with_truth(answers))
        if self:
            yield from self._judges(judgements)

    def _judges(self, judgements: pd.DataFrame) -> Iterator[Row]:
        by = ["run", "generation", "set", "id"]
        people = self._judged(_with_all(self.first_looks, ["rater", "file"], ["answer"]))
        people = people[[*by, "file", "concept", "answer"]].rename(columns={"answer": "people"})
        models = _with_all(judgements[judgements["judge"] != PEOPLE], ["judge", *by], ["answer"])
        # An image that several chains share is one image.
        both = models.merge(people, on=[*by, "concept"]).drop_duplicates(["judge", "concept", "file"])
        for judge, said in both.groupby("judge", sort=False):
            for concept, rows in said.groupby("concept", sort=False):
                for generation, mine in ((None, rows), *rows.groupby("generation")):
                    for found in agreement.of_judge(mine["answer"], mine["people"]):
                        yield _row(str(judge), str(concept), found, generation=generation)


def _with_all(answers: pd.DataFrame, look: list[str], said: list[str]) -> pd.DataFrame:
    """Columns `look`, concept and `said` (boolean): the answers, then one row more for each look at an image, of `all`:
    a no decides, otherwise a missing answer is missing."""
    kept = answers[[*look, "concept", *said]].astype(dict.fromkeys(said, "boolean"))
    looks = kept.astype(dict.fromkeys(said, float)).groupby(look, sort=False)
    least = looks[said].min()
    every = least.where(least.eq(0) | looks[said].count().eq(looks.size(), axis="index")).astype("boolean")
    return pd.concat([kept, every.reset_index().assign(concept=ALL)[list(kept)]], ignore_index=True)


def _row(judge: str, concept: str, found: Statistic, **place: object) -> Row:
    return {"judge": judge, "concept": concept, **place, **found._asdict()}


def _seed(chain: Chain, generation: int) -> int:
    return seeds.seed(chain.config.seed, "people", generation)
