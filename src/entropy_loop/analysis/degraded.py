"""How a judge's sensitivity falls on degraded images, and the c that this alone would cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from entropy_loop.analysis.formatting import Value, number
from entropy_loop.analysis.rates import calibration
from entropy_loop.contracts import Degradation, Entry, Judge
from entropy_loop.data import ALL
from entropy_loop.errors import EntropyLoopError
from entropy_loop.plan import Plan
from entropy_loop.study.config import Config


@dataclass(frozen=True)
class Level:
    """One degradation of the calibration images. rates: (sensitivity, specificity) per concept of the series.

    c: 1 - Se(level) / Se(clean) of the last concept, the change rate if only the judge's sensitivity changed; exact
    where the specificity is 1 (docs/laws.md, C2).
    """

    name: str
    rates: list[tuple[Value, Value]]
    c: Value


@dataclass(frozen=True)
class DegradationSeries:
    """Degradations of one judge's calibration images, clean ones first. images: the number at each level."""

    concepts: list[str]
    images: int
    levels: list[Level]

    @property
    def worst(self) -> str:
        """A sentence with the largest c that falling sensitivity alone would cause."""
        known = [(level.c.value, level.name) for level in self.levels if level.c.value is not None]
        if not known:
            return ""
        c, name = max(known)
        return (
            f"If only this judge\u2019s sensitivity fell, and the images still showed everything, c of "
            f"{self.concepts[-1]} would reach {number(c)} on this series ({name}): c = 1 \u2212 Se(degraded)/Se(clean)."
        )


def degradation_series(plan: Plan) -> dict[str, DegradationSeries]:
    """Label of a judge -> its series; without judges whose calibration has none for the study's concepts."""
    by_judge: dict[str, DegradationSeries] = {}
    for chain in plan.chains:
        for judge in chain.config.judge_plugins():
            if judge.label not in by_judge and (series := _series(judge, chain.config)):
                by_judge[judge.label] = series
    return by_judge


def _series(judge: Judge, config: Config) -> DegradationSeries | None:
    try:
        calibrated = judge.calibration_in_force()
    except EntropyLoopError:
        return None
    if calibrated is None:
        return None
    measured = {row["concept"] for row in calibrated.degradations}
    concepts = [name for name in dict.fromkeys(_asked(judge, calibrated.joint, config)) if name in measured]
    if not concepts:
        return None
    by_level: dict[str, dict[str, Degradation]] = {}
    for row in calibrated.degradations:
        by_level.setdefault(_name(row), {})[row["concept"]] = row
    clean = by_level["clean"][concepts[-1]]["sensitivity"] if concepts[-1] in by_level.get("clean", {}) else None
    levels = [_level(name, [rows.get(concept) for concept in concepts], clean) for name, rows in by_level.items()]
    return DegradationSeries(concepts, int(calibrated.degradations[0]["n"]), levels)


def _asked(judge: Judge, joints: Mapping[str, Entry], config: Config) -> Iterator[str]:
    """The config's calibrated concepts, then the conjunctions of its prompts by their names in the calibration file."""
    prompts = [(prompt.concepts, calibration(judge, config, prompt).entries) for prompt in config.pool_prompts()]
    yield from (name for concepts, entries in prompts for name in concepts if name in entries)
    for name, joint in joints.items():
        if any(ALL in entries and sorted(joint["concepts"]) == sorted(concepts) for concepts, entries in prompts):
            yield name


def _name(row: Degradation) -> str:
    return "clean" if row["kind"] == "none" else f"{row['kind'].replace('_', ' ')} {row['level']:g}"


def _level(name: str, rows: list[Degradation | None], clean: float | None) -> Level:
    rates = [(_rate(row, "sensitivity"), _rate(row, "specificity")) for row in rows]
    last = rows[-1]
    sensitivity = last and last["sensitivity"]
    if not clean or sensitivity is None:
        return Level(name, rates, Value(reason="not measured"))
    return Level(name, rates, Value(1 - sensitivity / clean))


def _rate(row: Mapping[str, Any] | None, name: str) -> Value:
    value = None if row is None else row.get(name)
    return Value(value, reason="not measured" if value is None else "")
