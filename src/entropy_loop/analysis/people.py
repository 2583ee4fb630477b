"""People as a judge: their answers in people.sqlite as rows of judgements, rates, changes and agreement.

Only a rater's first answer on an image of a pool counts. Repeats and catch trials measure the raters, not the model.
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
"""The name of this judge in tables."""
DIVIDED = "as many people say yes as no"
NOBODY = "nobody could tell"


@dataclass(frozen=True)
class People:
    """People's answers on a results folder's images. answers: as `people.book.ANSWERS`; images: as images.parquet."""

    answers: pd.DataFrame
    images: pd.DataFrame
    _rater_tables: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anybody has rated an image."""
        return not self.first_answers.empty

    @cached_property
    def first_answers(self) -> pd.DataFrame:
        """The answers that count: each rater's first on an image of a pool."""
        return self.answers[~self.answers["repeat"] & self.answers["truth"].isna()]

    # ---- as a judge ----------------------------------------------------------------------------------

    def judgements(self) -> pd.DataFrame:
        """Rows of judgements.parquet. score: the share of people who recognise the concept; answer: the majority's."""
        return self._majority(self.first_answers).drop(columns="file") if self else pd.DataFrame()

    def _majority(self, answers: pd.DataFrame) -> pd.DataFrame:
        by = ["file", "concept"]
        known = answers.dropna(subset=["answer"]).astype({"answer": float})
        scores = known.groupby(by)["answer"].mean().rename("score").reset_index()
        rows = answers[by].drop_duplicates().merge(scores, on=by, how="left")
        divided, nobody = rows["score"] == 0.5, rows["score"].isna()
        rows["answer"] = (rows["score"] > 0.5).astype("boolean").mask(divided | nobody)
        rows["reason"] = np.select([divided, nobody], [DIVIDED, NOBODY], "")
        places = self.images.loc[self.images["file"].fillna("") != "", ["run", "generation", "set", "id", "file"]]
        return places.merge(rows, on="file").assign(judge=PEOPLE, threshold=0.5)

    def rates(self, chain: Chain) -> Iterator[Row]:
        """Rows of rates.csv. hits: the sum over the images of the share of people who say yes; rate: its mean."""
        if not self:
            return
        for g in chain.generations:
            place = {"run": chain.name, "arm": chain.arm, "seed": chain.config.seed, "generation": g.number}
            place |= {"set": POOL, "judge": PEOPLE}
            for prompt in chain.config.pool_prompts():
                for concept in (*prompt.concepts, ALL):
                    estimate = raters.rate(self.pool_answers(chain, g.number, prompt, concept), _seed(chain, g.number))
                    if estimate:
                        row: Row = {"prompt": prompt.text, "role": prompt.role, "concept": concept}
                        row |= {"n": estimate.n, "hits": estimate.rate * estimate.n, "rate": estimate.rate}
                        row |= {"low": estimate.interval.low, "high": estimate.interval.high}
                        yield place | row | {"reason": estimate.reason}

    def changes(self, chain: Chain, rows: list[Row]) -> Iterator[Row]:
        """The rows of changes.csv; those of people get c from shares instead of whole images, and a bootstrap interval
        where it has a width."""
        prompts = {prompt.text: prompt for prompt in chain.config.pool_prompts()}
        for row, change in zip(rows, read(pd.DataFrame(rows), ChangeRow), strict=True):
            if change.judge == PEOPLE and change.v1 > 0:
                ends = (change.from_generation, change.to_generation)
                before, after = (self.pool_answers(chain, g, prompts[change.prompt], change.concept) for g in ends)
                row = row | {"change_rate": 1 - change.v2 / change.v1}
                if interval := raters.change_interval(before, after, _seed(chain, ends[0])):
                    row |= {"low": interval.low, "high": interval.high}
            yield row

    def pool_answers(self, chain: Chain, generation: int, prompt: Prompt, concept: str) -> np.ndarray:
        """Answers on a pool's images, float (raters, images), as `metrics.raters` takes them."""
        table = self._rater_table(prompt, concept)
        files = self._files.get((chain.name, generation, prompt.text), [])
        return table.reindex(columns=[file for file in files if file in table.columns]).to_numpy(float)

    @cached_property
    def _files(self) -> dict[Hashable, list[str]]:
        pools = self.images[self.images["set"] == POOL].groupby(["run", "generation", "prompt"])["file"]
        return {key: list(files) for key, files in pools}

    def _rater_table(self, prompt: Prompt, concept: str) -> pd.DataFrame:
        """Raters by files: 1, 0 or NaN. `all`: whether the same person recognised every concept in one image."""
        if (prompt.text, concept) not in self._rater_tables:
            answers = self.first_answers[self.first_answers["prompt"] == prompt.text]
            answers = _with_all(answers, ["rater", "file"], ["answer"]).astype({"answer": float})
            table = answers[answers["concept"] == concept].pivot(index="rater", columns="file", values="answer")
            every_rater = sorted(self.first_answers["rater"].unique())
            self._rater_tables[prompt.text, concept] = table.reindex(index=every_rater)
        return self._rater_tables[prompt.text, concept]

    # ---- agreement -----------------------------------------------------------------------------------

    def agreement(self, judgements: pd.DataFrame) -> Iterator[Row]:
        """Rows of agreement.csv, per concept and for `all`: people with each other, with themselves and with the known
        truth, and every model judge with the majority of people. judgements: as in judgements.parquet."""
        for rater, rows in self.first_answers.groupby("rater"):
            yield _row(PEOPLE, "", Statistic("answers", rows["file"].nunique(), None, None, None), rater=rater)
        for prompt, rows in self.first_answers.groupby("prompt", sort=False):
            asked = Prompt(str(prompt), concepts=tuple(dict.fromkeys(rows["concept"])))
            for concept in (*asked.concepts, ALL):
                table = self._rater_table(asked, concept)
                yield _row(PEOPLE, concept, agreement.alpha(table.to_numpy(float)), prompt=prompt)
        answers = _with_all(self.answers, ["rater", "file", "repeat"], ["answer", "truth"])
        yield from (_row(PEOPLE, concept, value) for concept, value in agreement.with_themselves(answers))
        yield from (
            _row(PEOPLE, concept, value, rater=rater) for rater, concept, value in agreement.with_truth(answers)
        )
        if self:
            yield from self._judges(judgements)

    def _judges(self, judgements: pd.DataFrame) -> Iterator[Row]:
        by = ["run", "generation", "set", "id"]
        people = self._majority(_with_all(self.first_answers, ["rater", "file"], ["answer"]))
        people = people[[*by, "file", "concept", "answer"]].rename(columns={"answer": "people"})
        models = _with_all(judgements[judgements["judge"] != PEOPLE], ["judge", *by], ["answer"])
        # Chains share images: each file counts once.
        both = models.merge(people, on=[*by, "concept"]).drop_duplicates(["judge", "concept", "file"])
        for judge, rows in both.groupby("judge", sort=False):
            for concept, answers in rows.groupby("concept", sort=False):
                for generation, group in ((None, answers), *answers.groupby("generation")):
                    for statistic in agreement.of_judge(group["answer"], group["people"]):
                        yield _row(str(judge), str(concept), statistic, generation=generation)


def _with_all(answers: pd.DataFrame, image: list[str], names: list[str]) -> pd.DataFrame:
    """The answers, then a row of the concept `all` per image and rater: false if an answer is, else missing if one is,
    else true. image: the columns that identify image and rater; names: the boolean columns of answers."""
    rows = answers[[*image, "concept", *names]].astype(dict.fromkeys(names, "boolean"))
    groups = rows.astype(dict.fromkeys(names, float)).groupby(image, sort=False)
    least = groups[names].min()
    joint = least.where(least.eq(0) | groups[names].count().eq(groups.size(), axis="index")).astype("boolean")
    return pd.concat([rows, joint.reset_index().assign(concept=ALL)[list(rows)]], ignore_index=True)


def _row(judge: str, concept: str, statistic: Statistic, **place: object) -> Row:
    return {"judge": judge, "concept": concept, **place, **statistic._asdict()}


def _seed(chain: Chain, generation: int) -> int:
    return seeds.seed(chain.config.seed, "people", generation)
