"""Whether what a plug-in returned keeps its contract, asked before anything of it is written.

Every row that was asked for must be there once, and no other; every column of the contract, and no other; and every
value must be of its type and in its range. Nothing is filled in, dropped or guessed: an EntropyLoopError names the
plug-in, the column and the row, what is wrong there, and what the contract wants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import NamedTuple, Never

import numpy as np
import pandas as pd

from entropy_loop.contracts import Attribute, Embedded
from entropy_loop.data import ATTRIBUTES, JUDGEMENTS, SAMPLES, SCORES, SELECTION, Prompt, Request, Samples
from entropy_loop.errors import EntropyLoopError

Key = tuple[str, ...]
"""What tells a row from the others: an image's id, and in some tables a concept or an attribute."""

# ---- what the contracts want of a column -------------------------------------------------------------


class Rule(NamedTuple):
    """What a contract wants of a column. keeps: of each row of a table, whether it keeps the rule."""

    column: str
    wants: str
    keeps: Callable[[pd.DataFrame], np.ndarray]


def _is_bool(value: object) -> bool:
    return isinstance(value, bool | np.bool_)


def _each(column: pd.Series, right: Callable[[object], bool], kinds: str = "") -> np.ndarray:
    """Whether each value is right; all are where the column's dtype is one of these kinds of numpy's."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in kinds:
        return np.ones(len(column), dtype=bool)
    return np.array([right(value) for value in column], dtype=bool)


def _finite(column: pd.Series) -> np.ndarray:
    if column.dtype == np.float64:
        return np.isfinite(column.to_numpy())
    return _each(column, lambda value: isinstance(value, Real) and not _is_bool(value) and math.isfinite(value), "iu")


def _whole(column: pd.Series) -> np.ndarray:
    return _each(column, lambda value: isinstance(value, Integral) and not _is_bool(value), "iu")


def _truth(column: pd.Series) -> np.ndarray:
    return _each(column, _is_bool, "b")


def _missing(column: pd.Series) -> np.ndarray:
    return column.isna().to_numpy()


def _unanswered(table: pd.DataFrame) -> np.ndarray:
    """NaN is no missing answer: a model says that when it breaks down."""
    return ~_each(table["answer"], lambda value: value is not None and value is not pd.NA, "biuf")


def _is_text(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.StringDtype):
        return column.notna().to_numpy()
    return _each(column, lambda value: isinstance(value, str))


def _text(column: str) -> Rule:
    return Rule(column, "text", lambda table: _is_text(table[column]))


def _reason(what: str, missing: Callable[[pd.DataFrame], np.ndarray]) -> Rule:
    return Rule("reason", f"why there is no {what}", lambda table: ~missing(table) | (table["reason"] != "").to_numpy())


def _number(column: str, or_missing: bool = True) -> Rule:
    if not or_missing:
        return Rule(column, "a finite number", lambda table: _finite(table[column]))
    return Rule(column, "a finite number, or missing", lambda table: _finite(table[column]) | _missing(table[column]))


_SAMPLE = (
    _text("prompt"),
    Rule("image_seed", "a whole number", lambda table: _whole(table["image_seed"])),
    _text("file"),
    _text("latent_sha256"),
)
TAKEN = frozenset(("run", "arm", "seed", "generation", "set", *SELECTION)) - {"id"}
"""Columns of images.parquet that do not come from who makes the images."""
_SCORE = (_number("score", or_missing=False),)
_JUDGEMENT = (
    _number("score"),
    _number("threshold"),
    Rule("answer", "true or false, or None for no answer", lambda table: _truth(table["answer"]) | _unanswered(table)),
    _text("reason"),
    _reason("answer", _unanswered),
    Rule(
        "score",
        "a number where an answer has a threshold",
        lambda table: ~_missing(table["score"]) | _missing(table["threshold"]) | _unanswered(table),
    ),
)
_ATTRIBUTE = (
    _number("score", or_missing=False),
    _text("reason"),
    _reason("value", lambda table: _missing(table["value"])),
)
_CHOICE = (
    _number("score"),
    _number("rank"),
    Rule("copies", "a whole number", lambda table: _whole(table["copies"])),
    Rule("copies", "0 or more", lambda table: (table["copies"] >= 0).to_numpy()),
    Rule("kept", "true or false", lambda table: _truth(table["kept"])),
    Rule("kept", "true where there are copies, and only there", lambda t: (t["kept"] == (t["copies"] > 0)).to_numpy()),
)

# ---- the tables --------------------------------------------------------------------------------------


def made(
    samples: Samples,
    requests: Sequence[Request],
    who: str,
    seeded: bool = False,
    withholds: bool = False,
    captions: bool = False,
) -> None:
    """Refuse what are not the images that were asked for, in the order of the requests: their table (columns `SAMPLES`,
    and others of its own) and the files that it names.

    who: kind and name of the plug-in. seeded: whether each image comes from the seed of its request. withholds: whether
    there may be fewer than were asked for. captions: whether each image has a caption of its own in place of what was
    asked for.
    """
    if not (samples.folder / "samples.parquet").is_file():
        _refuse(who, "wrote no samples.parquet")
    table = samples.table
    if taken := [name for name in table if name in TAKEN]:
        _refuse(who, f"has a column {taken[0]!r}, which the tables of a results folder fill; give it another name")
    there = set(table["id"]) if "id" in table else set()
    asked = [(request.id,) for request in requests if request.id in there or not withholds]
    prompts = {request.id: request.prompt for request in requests}
    own = Rule("prompt", "that of its request", lambda table: (table["prompt"] == table["id"].map(prompts)).to_numpy())
    seeds = {request.id: request.seed for request in requests}
    seed = Rule("image_seed", "its request's", lambda table: (table["image_seed"] == table["id"].map(seeds)).to_numpy())
    file = Rule(
        "file", "a file that is there, or empty", lambda table: np.array([_there(samples, f) for f in table["file"]])
    )
    rules = [*_SAMPLE, file, *[seed] * seeded, *[own] * (not captions)]
    names = dict.fromkeys([*SAMPLES, *map(str, table)])
    checked = _checked(table, tuple(names), 1, asked, rules, who)
    if list(checked["id"]) != list(table["id"]):
        _refuse(who, "its images are not in the order of the requests")


def _there(samples: Samples, file: str) -> bool:
    return not file or (samples.folder / file).is_file()


def scores(table: pd.DataFrame, samples: Samples, prompts: Sequence[str], who: str) -> pd.DataFrame:
    """A scorer's table (columns `SCORES`) of the images of some prompts, in the samples' order."""
    asked = [(image,) for image in samples.table.loc[samples.table["prompt"].isin(prompts), "id"]]
    return _floats(_checked(table, SCORES, 1, asked, _SCORE, who), "score")


def judgements(table: pd.DataFrame, samples: Samples, prompts: Sequence[Prompt], who: str) -> pd.DataFrame:
    """A judge's table (columns `JUDGEMENTS`) of the images of some prompts, in the order of its own."""
    concepts = {prompt.text: prompt.concepts for prompt in prompts}
    texts = zip(samples.table["id"].tolist(), samples.table["prompt"].tolist(), strict=True)
    asked = [(image, concept) for image, text in texts for concept in concepts.get(text, ())]
    _checked(table, JUDGEMENTS, 2, asked, _JUDGEMENT, who)
    answers = table["answer"].astype(object if _unanswered(table).any() else bool)
    told = table.assign(answer=answers.where(answers.notna(), None))
    return _floats(told[list(JUDGEMENTS)], "score", "threshold")


def attributes(table: pd.DataFrame, samples: Samples, known: Mapping[str, Attribute], who: str) -> pd.DataFrame:
    """A reader's table (columns `ATTRIBUTES`), in the samples' order, each image's attributes in that of `known`."""
    values = {(name, value) for name, attribute in known.items() for value in attribute["values"]}

    def readable(table: pd.DataFrame) -> np.ndarray:
        pairs = zip(table["attribute"], table["value"], strict=True)
        return np.array([pair in values for pair in pairs], dtype=bool) | _missing(table["value"])

    asked = [(image, name) for image in samples.table["id"] for name in known]
    rules = (Rule("value", "a value of the attribute, or missing", readable), *_ATTRIBUTE)
    return _floats(_checked(table, ATTRIBUTES, 2, asked, rules, who), "score")


def selection(table: pd.DataFrame, scores: pd.DataFrame, who: str) -> pd.DataFrame:
    """A policy's table (columns `SELECTION`) of one prompt's scores, in the order of these."""
    given = dict(zip(scores["id"], scores["score"], strict=True))

    def as_given(table: pd.DataFrame) -> np.ndarray:
        return np.isclose(_numbers(table["score"]), table["id"].map(given), rtol=0, atol=0, equal_nan=True)

    rules = (*_CHOICE, Rule("score", "the score that the policy was given", as_given))
    chosen = _floats(_checked(table, SELECTION, 1, [(image,) for image in scores["id"]], rules, who), "score")
    chosen = _floats(chosen, "rank") if chosen["rank"].dtype == object else chosen
    ranked = chosen.dropna(subset="rank").sort_values("rank", kind="stable", ignore_index=True)
    for place in np.flatnonzero(ranked["rank"] != ranked.index + 1):
        told = f"is {ranked['rank'].iloc[place]}"
        _fail(who, "rank", (ranked["id"].iloc[place],), told, f"1 to {len(ranked)}, each rank once, or missing")
    return chosen.astype({"kept": bool, "copies": np.int64})


def embedded(found: Embedded, samples: Samples, who: str) -> Embedded:
    """An embedder's vectors as float32, and its noise indices with the images' ids."""
    images = list(samples.table["id"])
    if not isinstance(found, Embedded):
        _refuse(who, f"returned {type(found).__name__}, not contracts.Embedded")
    vectors, noise = found
    if not (vectors.ndim == 2 and vectors.dtype.kind == "f" and len(vectors) == len(images)):
        told = f"{vectors.dtype} of shape {vectors.shape}"
        _refuse(who, f"vectors: {told}; wanted: floats, a row for each of the {len(images)} images")
    for place in np.flatnonzero(~np.isfinite(vectors).all(axis=1)):
        _refuse(who, f"vectors: that of image {images[place]} is not finite")
    if len(noise) != len(images) or "id" in noise:
        _refuse(who, f"noise: {len(noise)} rows; wanted: one for each of the {len(images)} images, of indices alone")
    noise = noise.assign(id=images)
    _values(noise[["id", *found.noise]], [_number(str(index)) for index in found.noise], 1, who)
    return Embedded(vectors.astype(np.float32), noise)


def _floats(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    return table.assign(**{name: _numbers(table[name]) for name in names})


def _numbers(column: pd.Series) -> np.ndarray:
    """As float64, NaN where a value is missing in whatever way."""
    return column.to_numpy(dtype=float, na_value=np.nan)


# ---- how a table is checked --------------------------------------------------------------------------


def _checked(
    table: pd.DataFrame, names: Sequence[str], key: int, asked: Sequence[Key], rules: Iterable[Rule], who: str
) -> pd.DataFrame:
    """The table with its columns in the order of `names` and its rows in that of `asked`; key: so many of the first
    columns tell rows apart."""
    if not isinstance(table, pd.DataFrame):
        _refuse(who, f"returned {type(table).__name__}, not a table")
    faults = [f"has no column {name!r}" for name in names if name not in table]
    faults += [f"has a column {name!r}" for name in table if name not in names]
    if faults or len(table.columns) > len(names):
        _refuse(who, f"{' and '.join(faults) or 'has a column twice'}; wanted: {', '.join(names)}")
    table = table[list(names)]
    _values(table, [_text(name) for name in names[:key]], key, who)
    found = _keys(table, key)
    if found != list(asked):
        table = table.iloc[_places(found, asked, who)]
    table = table.reset_index(drop=True)
    _values(table, rules, key, who)
    return table


def _keys(table: pd.DataFrame, key: int) -> list[Key]:
    return list(zip(*(table[name].tolist() for name in table.columns[:key]), strict=True))


def _places(found: Sequence[Key], asked: Sequence[Key], who: str) -> list[int]:
    """Where each row that was asked for stands. Raises EntropyLoopError for one that is not there, stands twice, or
    was not asked for."""
    places: dict[Key, int] = {}
    wanted = set(asked)
    for place, row in enumerate(found):
        if row not in wanted:
            _fail(who, "id", row, "was not asked for", "nothing else")
        if row in places:
            _fail(who, "id", row, "stands twice", "every row once")
        places[row] = place
    for row in asked:
        if row not in places:
            _fail(who, "id", row, "is not there", f"every one of the {len(asked)} rows that were asked for")
    return [places[row] for row in asked]


def _values(table: pd.DataFrame, rules: Iterable[Rule], key: int, who: str) -> None:
    """Refuse the first row that breaks a rule."""
    for rule in rules:
        for place in np.flatnonzero(~rule.keeps(table)):
            row = tuple(str(table[name].iloc[place]) for name in table.columns[:key])
            value = table[rule.column].iloc[place]
            _fail(who, rule.column, row, f"is {value.item() if isinstance(value, np.generic) else value!r}", rule.wants)


def _fail(who: str, column: str, row: Key, told: str, wants: str) -> Never:
    _refuse(who, f"column {column!r}, row {', '.join(row)}: {told}; wanted: {wants}")


def _refuse(who: str, told: str) -> Never:
    raise EntropyLoopError(f"{who}: {told}. Nothing was recorded.")
