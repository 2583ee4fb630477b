"""Rows of rates.csv: V of every generation, set, prompt, concept and judge, with its n, raw and corrected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from entropy_loop.config import Config
from entropy_loop.data import ALL, Prompt
from entropy_loop.errors import EntropyLoopError
from entropy_loop.metrics.corrected import corrected
from entropy_loop.metrics.rates import answers, wilson

Calibration = dict[str, dict[str, Any]]
"""Concept -> what a judge's calibration file says of it; `all` by the prompt's own concepts."""


def rates(judgements: pd.DataFrame, prompt: Prompt, calibration: Calibration) -> Iterator[dict[str, Any]]:
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
        told, why = _corrected(hits, n, calibration.get(concept, {}))
        reasons = [f"{missing} images could not be judged"] if missing else []
        yield row | {"rate": hits / n, "low": low, "high": high, **told, "reason": "; ".join([*reasons, *why])}


def _corrected(hits: int, n: int, known: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The corrected rate's columns, and why it is missing or clipped."""
    if not known.get("positives") or not known.get("negatives"):
        return {}, ["not corrected: the judge is not calibrated for it"]
    told = corrected(hits, n, _counts(known, "sensitivity", "positives"), _counts(known, "specificity", "negatives"))
    columns = {"corrected": told.rate, "corrected_low": told.low, "corrected_high": told.high}
    return columns, [told.reason] if told.reason else []


def _counts(known: dict[str, Any], share: str, number: str) -> tuple[int, int]:
    return round(known[share] * known[number]), known[number]


def calibration(judge: Any, config: Config, prompt: Prompt) -> Calibration:
    """What the judge's calibration says of a prompt's concepts; nothing of those that the config asks for in its
    own words, or where the judge has none or is not on this machine."""
    try:
        known = judge.calibration() if hasattr(judge, "calibration") else {}
    except EntropyLoopError:
        return {}
    found: Calibration = {name: known.get("concepts", {}).get(name, {}) for name in prompt.concepts}
    for joint in known.get("joint", {}).values():
        if sorted(joint.get("concepts", ())) == sorted(prompt.concepts):
            found[ALL] = joint
    if set(config.concepts) & set(prompt.concepts):
        found.pop(ALL, None)
    return {name: entry for name, entry in found.items() if name not in config.concepts}
