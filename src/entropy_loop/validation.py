"""Checks of what plug-ins return, before anything is written.

A table must have every requested row once and no other, exactly the columns of the contract, and only values of the
right type and range. Nothing is filled in, dropped or guessed. An EntropyLoopError names the plug-in, the column, the
row, the fault and what the contract wants.
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
"""Identifies a row: an image's id, in some tables with a concept or an attribute."""

# ---- rules for columns -------------------------------------------------------------------------------


class Rule(NamedTuple):
    """A rule for a column. wants: the rule in words. keeps: table -> for each row, whether it keeps the rule."""

    column: str
    wants: str
    keeps: Callable[[pd.DataFrame], np.ndarray]


def _is_bool(value: object) -> bool:
    return isinstance(value, bool | np.bool_)


def _each(column: pd.Series, right: Callable[[object], bool], kinds: str = "") -> np.ndarray:
    """Whether each value is right. kinds: numpy dtype kinds whose values are all right."""
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
    """Rows whose answer is None or NA. NaN is no missing answer: it is what a broken model returns."""
    return ~_each(table["answer"], lambda value: value is not None and value is not pd.NA, "biuf")


def _is_text(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.StringDtype):
        return column.notna().to_numpy()
    return _each(column, lambda value: isinstance(value, str))


def _text(column: str) -> Rule:
    return Rule(column, "text", lambda table: _is_text(table[column]))


def _reason(name: str, missing: Callable[[pd.DataFrame], np.ndarray]) -> Rule:
    return Rule("reason", f"why there is no {name}", lambda table: ~missing(table) | (table["reason"] != "").to_numpy())


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
"""Columns of images.parquet that the package fills; no generator may use their names."""
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


def check_samples(
    samples: Samples,
    requests: Sequence[Request],
    who: str,
    seeded: bool = False,
    withholds: bool = False,
    captions: bool = False,
) -> None:
    """Check the images that were made: one per request, in their order, with a table (columns `SAMPLES` and the
    plug-in's own) and the files that it names.

    who: kind and name of the plug-in. seeded: whether each image must have its request's seed. withholds: whether
    images may be missing. captions: whether each image has a caption of its own instead of its request's prompt.
    """
    if not (samples.folder / "samples.parquet").is_file():
        _refuse(who, "wrote no samples.parquet")
    table = samples.table
    if taken := [name for name in table if name in TAKEN]:
        _refuse(who, f"has a column {taken[0]!r}, which entropy-loop fills itself; give it another name")
    present = set(table["id"]) if "id" in table else set()
    wanted = [(request.id,) for request in requests if request.id in present or not withholds]
    prompts = {request.id: request.prompt for request in requests}
    own = Rule("prompt", "that of its request", lambda table: (table["prompt"] == table["id"].map(prompts)).to_numpy())
    seeds = {request.id: request.seed for request in requests}
    seed = Rule("image_seed", "its request's", lambda table: (table["image_seed"] == table["id"].map(seeds)).to_numpy())
    file = Rule(
        "file", "an existing file, or empty", lambda table: np.array([_exists(samples, f) for f in table["file"]])
    )
    rules = [*_SAMPLE, file, *[seed] * seeded, *[own] * (not captions)]
    names = dict.fromkeys([*SAMPLES, *map(str, table)])
    checked = _checked(table, tuple(names), 1, wanted, rules, who)
    if list(checked["id"]) != list(table["id"]):
        _refuse(who, "its images are not in the order of the requests")


def _exists(samples: Samples, file: str) -> bool:
    return not file or (samples.folder / file).is_file()


def scores(table: pd.DataFrame, samples: Samples, prompts: Sequence[str], who: str) -> pd.DataFrame:
    """A scorer's table (columns `SCORES`) for the images of these prompts, in the samples' order."""
    wanted = [(image,) for image in samples.table.loc[samples.table["prompt"].isin(prompts), "id"]]
    return _floats(_checked(table, SCORES, 1, wanted, _SCORE, who), "score")


def judgements(table: pd.DataFrame, samples: Samples, prompts: Sequence[Prompt], who: str) -> pd.DataFrame:
    """A judge's table (columns `JUDGEMENTS`) for the images of these prompts, in the judge's order."""
    concepts = {prompt.text: prompt.concepts for prompt in prompts}
    texts = zip(samples.table["id"].tolist(), samples.table["prompt"].tolist(), strict=True)
    wanted = [(image, concept) for image, text in texts for concept in concepts.get(text, ())]
    _checked(table, JUDGEMENTS, 2, wanted, _JUDGEMENT, who)
    answers = table["answer"].astype(object if _unanswered(table).any() else bool)
    table = table.assign(answer=answers.where(answers.notna(), None))
    return _floats(table[list(JUDGEMENTS)], "score", "threshold")


def attributes(table: pd.DataFrame, samples: Samples, known: Mapping[str, Attribute], who: str) -> pd.DataFrame:
    """A reader's table (columns `ATTRIBUTES`), with images in the samples' order and attributes in that of `known`."""
    values = {(name, value) for name, attribute in known.items() for value in attribute["values"]}

    def readable(table: pd.DataFrame) -> np.ndarray:
        pairs = zip(table["attribute"], table["value"], strict=True)
        return np.array([pair in values for pair in pairs], dtype=bool) | _missing(table["value"])

    wanted = [(image, name) for image in samples.table["id"] for name in known]
    rules = (Rule("value", "a value of the attribute, or missing", readable), *_ATTRIBUTE)
    return _floats(_checked(table, ATTRIBUTES, 2, wanted, rules, who), "score")


def selection(table: pd.DataFrame, scores: pd.DataFrame, who: str) -> pd.DataFrame:
    """A policy's table (columns `SELECTION`) for one prompt's scores, in their order."""
    given = dict(zip(scores["id"], scores["score"], strict=True))

    def as_given(table: pd.DataFrame) -> np.ndarray:
        return np.isclose(_numbers(table["score"]), table["id"].map(given), rtol=0, atol=0, equal_nan=True)

    rules = (*_CHOICE, Rule("score", "the score that the policy was given", as_given))
    chosen = _floats(_checked(table, SELECTION, 1, [(image,) for image in scores["id"]], rules, who), "score")
    chosen = _floats(chosen, "rank") if chosen["rank"].dtype == object else chosen
    ranked = chosen.dropna(subset="rank").sort_values("rank", kind="stable", ignore_index=True)
    for place in np.flatnonzero(ranked["rank"] != ranked.index + 1):
        fault = f"is {ranked['rank'].iloc[place]}"
        _fail(who, "rank", (ranked["id"].iloc[place],), fault, f"1 to {len(ranked)}, each rank once, or missing")
    return chosen.astype({"kept": bool, "copies": np.int64})


def embedded(result: Embedded, samples: Samples, who: str) -> Embedded:
    """An embedder's vectors as float32, and its noise indices with the images' ids."""
    images = list(samples.table["id"])
    if not isinstance(result, Embedded):
        _refuse(who, f"returned {type(result).__name__}, not contracts.Embedded")
    vectors, noise = result
    if not (vectors.ndim == 2 and vectors.dtype.kind == "f" and len(vectors) == len(images)):
        given = f"{vectors.dtype} of shape {vectors.shape}"
        _refuse(who, f"vectors: {given}; wanted: floats, a row for each of the {len(images)} images")
    for place in np.flatnonzero(~np.isfinite(vectors).all(axis=1)):
        _refuse(who, f"vectors: that of image {images[place]} is not finite")
    if len(noise) != len(images) or "id" in noise:
        _refuse(who, f"noise: {len(noise)} rows; wanted: one for each of the {len(images)} images, of indices alone")
    noise = noise.assign(id=images)
    _check_values(noise[["id", *result.noise]], [_number(str(index)) for index in result.noise], 1, who)
    return Embedded(vectors.astype(np.float32), noise)


def _floats(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    return table.assign(**{name: _numbers(table[name]) for name in names})


def _numbers(column: pd.Series) -> np.ndarray:
    """As float64, with NaN for missing values of any kind."""
    return column.to_numpy(dtype=float, na_value=np.nan)


# ---- how a table is checked --------------------------------------------------------------------------


def _checked(
    table: pd.DataFrame, names: Sequence[str], key: int, wanted: Sequence[Key], rules: Iterable[Rule], who: str
) -> pd.DataFrame:
    """The checked table, with its columns in the order of `names` and its rows in that of `wanted`. key: number of
    leading columns that identify a row."""
    if not isinstance(table, pd.DataFrame):
        _refuse(who, f"returned {type(table).__name__}, not a table")
    faults = [f"has no column {name!r}" for name in names if name not in table]
    faults += [f"has a column {name!r}" for name in table if name not in names]
    if faults or len(table.columns) > len(names):
        _refuse(who, f"{' and '.join(faults) or 'has a column twice'}; wanted: {', '.join(names)}")
    table = table[list(names)]
    _check_values(table, [_text(name) for name in names[:key]], key, who)
    keys: list[Key] = list(zip(*(table[name].tolist() for name in names[:key]), strict=True))
    if keys != list(wanted):
        table = table.iloc[_positions(keys, wanted, who)]
    table = table.reset_index(drop=True)
    _check_values(table, rules, key, who)
    return table


def _positions(keys: Sequence[Key], wanted: Sequence[Key], who: str) -> list[int]:
    """The position in `keys` of each wanted key. Raises EntropyLoopError for missing, double and other keys."""
    positions: dict[Key, int] = {}
    known = set(wanted)
    for position, row in enumerate(keys):
        if row not in known:
            _fail(who, "id", row, "was not requested", "nothing else")
        if row in positions:
            _fail(who, "id", row, "occurs twice", "every row once")
        positions[row] = position
    for row in wanted:
        if row not in positions:
            _fail(who, "id", row, "is missing", f"every one of the {len(wanted)} requested rows")
    return [positions[row] for row in wanted]


def _check_values(table: pd.DataFrame, rules: Iterable[Rule], key: int, who: str) -> None:
    """Raises EntropyLoopError for the first row that breaks a rule."""
    for rule in rules:
        for place in np.flatnonzero(~rule.keeps(table)):
            row = tuple(str(table[name].iloc[place]) for name in table.columns[:key])
            value = table[rule.column].iloc[place]
            _fail(who, rule.column, row, f"is {value.item() if isinstance(value, np.generic) else value!r}", rule.wants)


def _fail(who: str, column: str, row: Key, fault: str, wants: str) -> Never:
    _refuse(who, f"column {column!r}, row {', '.join(row)}: {fault}; wanted: {wants}")


def _refuse(who: str, fault: str) -> Never:
    raise EntropyLoopError(f"{who}: {fault}. Nothing was recorded.")
