"""How a judge's sensitivity falls on degraded images, and what that alone would do to c."""

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
    """One degradation of the calibration images. shares: (sensitivity, specificity) per concept of the series.

    c: 1 - Se(level) / Se(clean) of the last concept, the change rate that would be seen if nothing but the judge's
    sensitivity had changed; exact where nothing is taken for the concept by mistake (docs/laws.md, C2).
    """

    name: str
    shares: list[tuple[Value, Value]]
    c: Value


@dataclass(frozen=True)
class Series:
    """Degradations of one judge's calibration images, clean ones first. images: of each level."""

    concepts: list[str]
    images: int
    levels: list[Level]

    @property
    def worst(self) -> str:
        """The largest c that falling sensitivity alone would make, in words."""
        known = [(level.c.value, level.name) for level in self.levels if level.c.value is not None]
        if not known:
            return ""
        c, name = max(known)
        return (
            f"If only this judge\u2019s sensitivity fell, and the images still showed everything, c of "
            f"{self.concepts[-1]} would reach {number(c)} on this series ({name}): c = 1 \u2212 Se(degraded)/Se(clean)."
        )


def degraded(plan: Plan) -> dict[str, Series]:
    """By judge; without those whose calibration has no graded series of the study's concepts."""
    found: dict[str, Series] = {}
    for chain in plan.chains:
        for judge in chain.config.judge_plugins():
            if judge.label not in found and (series := _series(judge, chain.config)):
                found[judge.label] = series
    return found


def _series(judge: Judge, config: Config) -> Series | None:
    try:
        known = judge.calibration_in_force()
    except EntropyLoopError:
        return None
    if known is None:
        return None
    there = {row["concept"] for row in known.degradations}
    concepts = [name for name in dict.fromkeys(_asked(judge, known.joint, config)) if name in there]
    if not concepts:
        return None
    by_level: dict[str, dict[str, Degradation]] = {}
    for row in known.degradations:
        by_level.setdefault(_name(row), {})[row["concept"]] = row
    clean = by_level["clean"][concepts[-1]]["sensitivity"] if concepts[-1] in by_level.get("clean", {}) else None
    levels = [_level(name, [of.get(concept) for concept in concepts], clean) for name, of in by_level.items()]
    return Series(concepts, int(known.degradations[0]["n"]), levels)


def _asked(judge: Judge, joints: Mapping[str, Entry], config: Config) -> Iterator[str]:
    """Concepts that were calibrated as the config asks for them, then conjunctions by their names in the file."""
    prompts = [(prompt.concepts, calibration(judge, config, prompt).entries) for prompt in config.pool_prompts()]
    yield from (name for concepts, entries in prompts for name in concepts if name in entries)
    for name, joint in joints.items():
        if any(ALL in found and sorted(joint["concepts"]) == sorted(concepts) for concepts, found in prompts):
            yield name


def _name(row: Degradation) -> str:
    return "clean" if row["kind"] == "none" else f"{row['kind'].replace('_', ' ')} {row['level']:g}"


def _level(name: str, rows: list[Degradation | None], clean: float | None) -> Level:
    shares = [(_share(row, "sensitivity"), _share(row, "specificity")) for row in rows]
    last = rows[-1]
    sensitivity = last and last["sensitivity"]
    if not clean or sensitivity is None:
        return Level(name, shares, Value(reason="not measured"))
    return Level(name, shares, Value(1 - sensitivity / clean))


def _share(row: Mapping[str, Any] | None, what: str) -> Value:
    if row is None or row.get(what) is None:
        return Value(reason="not measured")
    return Value(row[what])
