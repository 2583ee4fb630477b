"""Rows of checks.csv: how well a judge does on the loop's own images in each generation, and the warnings where that
falls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from entropy_loop.analysis.formatting import Value, float_or_none
from entropy_loop.analysis.rows import CheckRow, Row, read
from entropy_loop.contracts import Judge
from entropy_loop.data import ALL, CHECK, MOVED, MOVES, POOL, Prompt
from entropy_loop.metrics.alarm import FALL, alarm
from entropy_loop.metrics.rates import answers, wilson
from entropy_loop.plan import Chain, Generation
from entropy_loop.storage.reading import Reader
from entropy_loop.study.config import Config

SPECIFICITY, SENSITIVITY = "specificity", "sensitivity"
WORST_COLUMNS: dict[str, Sequence[str]] = {
    "worst specificity": (SPECIFICITY,),
    "worst sensitivity": (SENSITIVITY,),
    "worst steadiness": MOVES,
}
"""Column of the page's table of V -> the checks of which it shows the worst."""
MOVED_AS = dict(zip(MOVES, ("mirrored", "shifted"), strict=True))
ALARM_RULE = (
    f"A check raises an alarm if its share is at least {FALL:.2f} below that of generation 0 and Newcombe\u2019s "
    "95\u00a0% interval of the fall excludes 0. Either the judge gets worse, or the damage to the model spreads to the "
    "check prompts: look at the pictures."
)
CheckedAnswers = Iterator[tuple[str, str, "pd.Series[bool]"]]
"""(concept, check, whether the answer on each image is right; NA where the judge gave none)."""


def checks(chain: Chain, judgements: pd.DataFrame, reader: Reader) -> Iterator[Row]:
    """One row per judge, target prompt, generation, concept (or `all`) and check that has images; `judgements` as in
    judgements.parquet."""
    judgements = judgements[(judgements["run"] == chain.name) & judgements["set"].isin((POOL, CHECK, MOVED))]
    for judge in chain.config.judge_plugins():
        judged = dict(iter(judgements[judgements["judge"] == judge.label].groupby(["generation", "set"])))
        for prompt in chain.config.pool_prompts():
            first: dict[tuple[str, str], tuple[int, int]] = {}
            for g in chain.generations if prompt.role == "target" else ():
                sets = {
                    name: answers(judged[g.number, name], prompt.concepts)
                    for name in (POOL, CHECK, MOVED)
                    if (g.number, name) in judged
                }
                place = {"run": chain.name, "arm": chain.arm, "seed": chain.config.seed, "generation": g.number}
                place |= {"prompt": prompt.text, "judge": judge.label}
                for concept, check, right in _checked(chain.config, g, judge, prompt, sets, reader):
                    row, counts = _row(right)
                    if g.number == 0:
                        first[concept, check] = counts
                    message = alarm(first.get((concept, check), (0, 0)), counts)
                    yield place | {"concept": concept, "check": check, "alarm": message} | row


def _checked(
    config: Config, g: Generation, judge: Judge, prompt: Prompt, sets: Mapping[str, pd.DataFrame], reader: Reader
) -> CheckedAnswers:
    def samples(image_set: str) -> pd.DataFrame:
        return reader.table(reader.store.stages / g.sets[image_set].folder / "samples.parquet").set_index("id")

    if CHECK in sets:
        yield from _labelled(config, prompt, samples(CHECK)["prompt"], sets[CHECK])
    if POOL in sets and MOVED in sets:
        rows = samples(MOVED)
        moves = [move for move in MOVES if not (move == "mirror" and judge.averages_mirror)]
        yield from _steady(prompt, rows[rows["prompt"] == prompt.text], moves, sets)


def _labelled(config: Config, prompt: Prompt, texts: pd.Series[str], answered: pd.DataFrame) -> CheckedAnswers:
    """A check prompt labels its images: what it names is there, the rest is not. texts: image id -> prompt."""
    for concept in (*prompt.concepts, ALL):
        named = set(prompt.concepts) if concept == ALL else {concept}
        labels = {check.text: named <= set(check.concepts) for check in config.check_prompts()}
        shows = texts.map(labels).astype(bool)
        recognised = answered[concept].reindex(texts.index)
        if not shows.all():
            yield concept, SPECIFICITY, ~recognised[~shows]
        if shows.any():
            yield concept, SENSITIVITY, recognised[shows]


def _steady(
    prompt: Prompt, table: pd.DataFrame, moves: Sequence[str], sets: Mapping[str, pd.DataFrame]
) -> CheckedAnswers:
    """Whether the answer on a moved image is that on its original in the pool."""
    for concept in (*prompt.concepts, ALL):
        for move in moves:
            rows = table[table["move"] == move]
            before, after = sets[POOL][concept].reindex(rows["of"]), sets[MOVED][concept].reindex(rows.index)
            yield concept, move, pd.Series(before.array == after.array, index=rows.index)


def _row(right: pd.Series[bool]) -> tuple[Row, tuple[int, int]]:
    """The columns of one share, and (hits, n)."""
    judged = right.dropna()
    n, hits, missing = len(judged), int(judged.sum()), len(right) - len(judged)
    row = {"n": n, "hits": hits, "reason": f"{missing} images could not be judged" if missing else ""}
    if n:
        low, high = wilson(hits, n)
        row |= {"rate": hits / n, "low": low, "high": high}
    return row, (hits, n)


# ---- in the report -----------------------------------------------------------------------------------


def alarm_warnings(table: pd.DataFrame) -> list[str]:
    """A sentence for each prompt and judge with an alarm; `table` as in checks.csv."""
    sentences = []
    for (prompt, judge), rows in table.groupby(["prompt", "judge"], sort=False):
        alarms = rows[rows["alarm"].fillna("") != ""]
        if len(alarms):
            start = int(alarms["generation"].min())
            first_alarms = alarms[alarms["generation"] == start]
            fell, chains = first_alarms["run"].nunique(), rows["run"].nunique()
            where = f", in {fell} of {chains} chains," if chains > 1 else ""
            sentences.append(
                f"From generation {start} on{where} {judge} does worse on its checks than in generation 0 "
                f"(\u201c{prompt}\u201d): {'; '.join(_worse(first_alarms))}. V is doubtful from there on. Label "
                "pictures with `entropy-loop rate`."
            )
    return sentences


def _worse(alarms: pd.DataFrame) -> Iterator[str]:
    """What became worse. alarms: rows of checks.csv of one prompt, judge and generation."""
    named = {str(check): _named(list(rows["concept"].unique())) for check, rows in alarms.groupby("check")}
    if SENSITIVITY in named:
        yield f"it recognises {named[SENSITIVITY]} less often where the check prompt asks for that"
    if SPECIFICITY in named:
        yield f"it recognises {named[SPECIFICITY]} more often where the check prompt does not ask for that"
    for concepts in dict.fromkeys(named[move] for move in MOVES if move in named):
        moved = [MOVED_AS[move] for move in MOVES if named.get(move) == concepts]
        yield f"its answers on {concepts} change more often when an image is {' or '.join(moved)}"


def _named(concepts: Sequence[str]) -> str:
    """Concepts in words."""
    names = ["all concepts in one image" if name == ALL else name for name in concepts]
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


def worst_share(rows: pd.DataFrame, names: Sequence[str]) -> Value:
    """The lowest share of the named checks over the single concepts, without its interval; counts: with the concept.
    rows: one generation of checks.csv."""
    rows = rows[rows["check"].isin(names) & (rows["concept"] != ALL)]
    if rows.empty:
        return Value(reason="not made yet")
    known = rows.dropna(subset=["rate"])
    if known.empty:
        return Value(reason=str(rows["reason"].iloc[0]))
    worst = read(known.sort_values("rate", kind="stable").head(1), CheckRow)[0]
    name = "" if worst.rate == 1 else f"{worst.concept} " if len(names) == 1 else f"{worst.concept}, {worst.check} "
    reason = "alarm" if worst.alarm else ""
    return Value(float_or_none(worst.rate), reason=reason, counts=f"{name}{worst.hits}/{worst.n}")
