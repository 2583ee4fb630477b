"""Rows of rates.csv: V by generation, set, prompt, concept and judge, raw and corrected, with its n."""

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
NO_CALIBRATION = "this kind of judge has no calibration"


class PromptCalibration(NamedTuple):
    """A judge's calibration for one prompt. entries: concept, or `all` for the conjunction, -> its entry of the
    calibration file. missing_reason: why a concept has no entry."""

    entries: Mapping[str, Mapping[str, Any]]
    missing_reason: str


def rates(judgements: pd.DataFrame, prompt: Prompt, calibrated: PromptCalibration) -> Iterator[Row]:
    """One row per concept of the prompt and one for `all`; `judgements`: of the images of the prompt."""
    answered = answers(judgements, prompt.concepts)
    for concept in (*prompt.concepts, ALL):
        column = answered[concept].dropna()
        n, hits, missing = len(column), int(column.sum()), len(answered) - len(column)
        row = {"prompt": prompt.text, "role": prompt.role, "concept": concept, "n": n, "hits": hits}
        if n == 0:
            yield row | {"reason": f"none of the {missing} images could be judged"}
            continue
        low, high = wilson(hits, n)
        entry = calibrated.entries.get(concept, {})
        columns, reasons = _corrected(hits, n, entry, calibrated.missing_reason)
        if missing:
            reasons = [f"{missing} images could not be judged", *reasons]
        yield row | {"rate": hits / n, "low": low, "high": high, **columns, "reason": "; ".join(reasons)}


def _corrected(hits: int, n: int, entry: Mapping[str, Any], missing_reason: str) -> tuple[dict[str, Any], list[str]]:
    """The columns of the corrected rate, and the reasons why it is missing or clipped."""
    if not entry.get("positives") or not entry.get("negatives"):
        return {}, [f"not corrected: {entry.get('reason', missing_reason)}"]
    sensitivity, specificity = _counts(entry, "sensitivity", "positives"), _counts(entry, "specificity", "negatives")
    estimate = corrected(hits, n, sensitivity, specificity)
    columns = {"corrected": estimate.rate, "corrected_low": estimate.low, "corrected_high": estimate.high}
    return columns, [estimate.reason] if estimate.reason else []


def _counts(entry: Mapping[str, Any], share: str, number: str) -> tuple[int, int]:
    return round(entry[share] * entry[number]), entry[number]


def calibration(judge: Judge, config: Config, prompt: Prompt) -> PromptCalibration:
    """A judge's calibration for a prompt; without entries where the judge has none, or where its model or its
    calibration file is not on this machine."""
    try:
        entries = judge.measured(tuple(c for c in config.judged_concepts() if c.name in prompt.concepts))
    except EntropyLoopError as error:
        return PromptCalibration({}, str(error))
    if entries is None:
        return PromptCalibration({}, NO_CALIBRATION)
    return PromptCalibration(entries, UNCALIBRATED)
