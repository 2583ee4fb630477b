"""Rows of checks.csv: what a judge is worth on the loop's own pictures, generation by generation, and what the reader
is told where that falls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from entropy_loop.analysis.formatting import Value, some
from entropy_loop.analysis.rows import CheckRow, Row, read
from entropy_loop.contracts import Judge
from entropy_loop.data import ALL, CHECK, MOVED, MOVES, POOL, Prompt
from entropy_loop.metrics.alarm import FALL, alarm
from entropy_loop.metrics.rates import answers, wilson
from entropy_loop.plan import Chain, Generation
from entropy_loop.storage.reading import Reader
from entropy_loop.study.config import Config

SPECIFICITY, SENSITIVITY = "specificity", "sensitivity"
COLUMNS: dict[str, Sequence[str]] = {
    "worst specificity": (SPECIFICITY,),
    "worst sensitivity": (SENSITIVITY,),
    "worst steadiness": MOVES,
}
"""Column of the page's table of V -> the checks of which the worst stands in it."""
RULE = (
    f"An alarm stands where such a share is at least {FALL:.2f} below that of generation 0 and Newcombe\u2019s "
    "95\u00a0% interval of the fall excludes 0. It means that the judge tires, or that the model draws something else "
    "for the check prompts, because its damage spreads: look at the pictures."
)
Found = Iterator[tuple[str, str, "pd.Series[bool]"]]
"""(concept, check, whether the answer is right, image by image; missing where there is none)."""


def checks(chain: Chain, judgements: pd.DataFrame, reader: Reader) -> Iterator[Row]:
    """One row per judge, target prompt, generation, concept (and `all`) and check; `judgements` as in
    judgements.parquet. A check has no row where no image is made for it."""
    mine = judgements[(judgements["run"] == chain.name) & judgements["set"].isin((POOL, CHECK, MOVED))]
    for judge in chain.config.judge_plugins():
        told = dict(iter(mine[mine["judge"] == judge.label].groupby(["generation", "set"])))
        for prompt in chain.config.pool_prompts():
            first: dict[tuple[str, str], tuple[int, int]] = {}
            for g in chain.generations if prompt.role == "target" else ():
                sets = {
                    name: answers(told[g.number, name], prompt.concepts)
                    for name in (POOL, CHECK, MOVED)
                    if (g.number, name) in told
                }
                where = {"run": chain.name, "arm": chain.arm, "seed": chain.config.seed, "generation": g.number}
                where |= {"prompt": prompt.text, "judge": judge.label}
                for concept, check, right in _found(chain.config, g, judge, prompt, sets, reader):
                    row, counts = _row(right)
                    if g.number == 0:
                        first[concept, check] = counts
                    since = first.get((concept, check), (0, 0))
                    yield where | {"concept": concept, "check": check, "alarm": alarm(since, counts)} | row


def _found(
    config: Config, g: Generation, judge: Judge, prompt: Prompt, sets: Mapping[str, pd.DataFrame], reader: Reader
) -> Found:
    def table(stream: str) -> pd.DataFrame:
        return reader.table(reader.store.stages / g.sets[stream].folder / "samples.parquet").set_index("id")

    if CHECK in sets:
        yield from _labelled(config, prompt, table(CHECK)["prompt"], sets[CHECK])
    if POOL in sets and MOVED in sets:
        rows = table(MOVED)
        moves = [move for move in MOVES if not (move == "mirror" and judge.averages_mirror)]
        yield from _steady(prompt, rows[rows["prompt"] == prompt.text], moves, sets)


def _labelled(config: Config, prompt: Prompt, texts: pd.Series[str], answered: pd.DataFrame) -> Found:
    """Check prompts label their images: what they name is there, what they do not name is not."""
    for concept in (*prompt.concepts, ALL):
        named = set(prompt.concepts) if concept == ALL else {concept}
        shows = texts.map({one.text: named <= set(one.concepts) for one in config.check_prompts()}).astype(bool)
        said = answered[concept].reindex(texts.index)
        if not shows.all():
            yield concept, SPECIFICITY, ~said[~shows]
        if shows.any():
            yield concept, SENSITIVITY, said[shows]


def _steady(prompt: Prompt, table: pd.DataFrame, moves: Sequence[str], sets: Mapping[str, pd.DataFrame]) -> Found:
    """Whether a moved image is answered as it was in the pool."""
    for concept in (*prompt.concepts, ALL):
        for move in moves:
            rows = table[table["move"] == move]
            before, after = sets[POOL][concept].reindex(rows["of"]), sets[MOVED][concept].reindex(rows.index)
            yield concept, move, pd.Series(before.array == after.array, index=rows.index)


def _row(right: pd.Series[bool]) -> tuple[Row, tuple[int, int]]:
    """The columns of a share, and (hits, n)."""
    judged = right.dropna()
    n, hits, missing = len(judged), int(judged.sum()), len(right) - len(judged)
    row = {"n": n, "hits": hits, "reason": f"{missing} images could not be judged" if missing else ""}
    if n:
        low, high = wilson(hits, n)
        row |= {"rate": hits / n, "low": low, "high": high}
    return row, (hits, n)


# ---- what is told ------------------------------------------------------------------------------------


def doubts(table: pd.DataFrame) -> list[str]:
    """A sentence for each prompt and judge with an alarm; `table` as checks.csv."""
    told = []
    for (prompt, judge), rows in table.groupby(["prompt", "judge"], sort=False):
        alarms = rows[rows["alarm"].fillna("") != ""]
        if len(alarms):
            start = int(alarms["generation"].min())
            begins = alarms[alarms["generation"] == start]
            fell, chains = (of["run"].nunique() for of in (begins, rows))
            where = f" in {fell} of {chains} chains" if chains > 1 else ""
            kinds = begins.groupby("check", sort=False)["concept"].unique()
            what = "; ".join(f"{check} of {', '.join(concepts)}" for check, concepts in kinds.items())
            told.append(
                f"From generation {start} on, checks of {judge} fall{where} (\u201c{prompt}\u201d: {what}): V from "
                "there on is doubtful; label pictures with `entropy-loop rate`."
            )
    return told


def worst(rows: pd.DataFrame, names: Sequence[str]) -> Value:
    """The lowest share of some checks of one generation over the single concepts, and which it is, without its
    interval; `rows` of checks.csv."""
    mine = rows[rows["check"].isin(names) & (rows["concept"] != ALL)]
    if mine.empty:
        return Value(reason="not made yet")
    known = mine.dropna(subset=["rate"])
    if known.empty:
        return Value(reason=str(mine["reason"].iloc[0]))
    row = read(known.sort_values("rate", kind="stable").head(1), CheckRow)[0]
    named = "" if row.rate == 1 else f"{row.concept} " if len(names) == 1 else f"{row.concept}, {row.check} "
    return Value(some(row.rate), reason="alarm" if row.alarm else "", counts=f"{named}{row.hits}/{row.n}")
