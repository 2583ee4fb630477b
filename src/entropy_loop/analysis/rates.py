"""Rows of rates.csv: V of every generation, set, prompt, concept and judge, with its n, raw and corrected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from entropy_loop.analysis.rows import Row
from entropy_loop.contracts import Judge
from entropy_loop.data import ALL, Prompt
from entropy_loop.errors import EntropyLoopError
from entropy_loop.metrics.corrected import corrected
from entropy_loop.metrics.rates import answers, wilson
from entropy_loop.study.config import Config

UNCALIBRATED = "the judge is not calibrated for it"


class Known(NamedTuple):
    """What a judge's calibration says of a prompt's concepts as the config asks for them, and as `all` of all of them
    in one image. why: what to say of a concept that is not there."""

    entries: Mapping[str, Mapping[str, Any]]
    why: str


def rates(judgements: pd.DataFrame, prompt: Prompt, known: Known) -> Iterator[Row]:
    """One row per concept of the prompt and one for `all`, from the judgements of its images."""
    answered = answers(judgements, prompt.concepts)
    for concept in (*prompt.concepts, ALL):
        column = answered[concept].dropna()
        n, hits, missing = len(column), int(column.sum()), len(answered) - len(column)
        row = {"prompt": prompt.text, "role": prompt.role, "concept": concept, "n": n, "hits": hits}
        if n == 0:
            yield row | {"reason": f"none of the {missing} images could be judged"}
            continue
        low, high = wilson(hits, n)
        told, why = _corrected(hits, n, known.entries.get(concept, {}), known.why)
        reasons = [f"{missing} images could not be judged"] if missing else []
        yield row | {"rate": hits / n, "low": low, "high": high, **told, "reason": "; ".join([*reasons, *why])}


def _corrected(hits: int, n: int, entry: Mapping[str, Any], why: str) -> tuple[dict[str, Any], list[str]]:
    """The corrected rate's columns, and why it is missing or clipped."""
    if not entry.get("positives") or not entry.get("negatives"):
        return {}, [f"not corrected: {entry.get('reason', why)}"]
    told = corrected(hits, n, _counts(entry, "sensitivity", "positives"), _counts(entry, "specificity", "negatives"))
    columns = {"corrected": told.rate, "corrected_low": told.low, "corrected_high": told.high}
    return columns, [told.reason] if told.reason else []


def _counts(entry: Mapping[str, Any], share: str, number: str) -> tuple[int, int]:
    return round(entry[share] * entry[number]), entry[number]


def calibration(judge: Judge, config: Config, prompt: Prompt) -> Known:
    """What is known of a judge on a prompt's concepts; nothing where it has no calibration, or where its model or its
    calibration file is not on this machine."""
    try:
        entries = judge.measured(tuple(c for c in config.judged_concepts() if c.name in prompt.concepts))
    except EntropyLoopError as error:
        return Known({}, str(error))
    return Known({}, "this kind of judge has no calibration") if entries is None else Known(entries, UNCALIBRATED)
