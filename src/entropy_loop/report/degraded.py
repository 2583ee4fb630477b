"""How a judge's sensitivity falls on degraded images, and what that alone would do to c."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from entropy_loop.config import Config
from entropy_loop.errors import EntropyLoopError
from entropy_loop.plan import Plan
from entropy_loop.report.numbers import Value, number


@dataclass(frozen=True)
class Level:
    """One degradation of the calibration images. shares: (sensitivity, specificity) per concept of the series.

    c: 1 - Se(level) / Se(clean) of the last concept, the change rate that would be seen if nothing but the judge's
    sensitivity had changed; exact where nothing is taken for the concept by mistake (LAWS 2).
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
    for run in plan.runs:
        for judge in run.config.judge_plugins():
            if judge.label not in found and (series := _series(judge, run.config)):
                found[judge.label] = series
    return found


def _series(judge: Any, config: Config) -> Series | None:
    try:
        known = judge.calibration() if hasattr(judge, "calibration") else {}
    except EntropyLoopError:
        return None
    rows = known.get("degradations", [])
    there = {row["concept"] for row in rows}
    concepts = [name for name in dict.fromkeys(_asked(config, known)) if name in there]
    if not concepts:
        return None
    by_level: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_level.setdefault(_name(row), {})[row["concept"]] = row
    clean = by_level.get("clean", {}).get(concepts[-1], {}).get("sensitivity")
    levels = [_level(name, [of.get(concept) for concept in concepts], clean) for name, of in by_level.items()]
    return Series(concepts, int(rows[0]["n"]), levels)


def _asked(config: Config, known: dict[str, Any]) -> Iterator[str]:
    """Concepts that the judge's own calibration covers, then the joint ones by their names in it."""
    prompts = [prompt.concepts for prompt in config.prompts]
    yield from (name for concepts in prompts for name in concepts if name not in config.concepts)
    for name, joint in known.get("joint", {}).items():
        if any(sorted(joint.get("concepts", ())) == sorted(c) and not set(c) & set(config.concepts) for c in prompts):
            yield name


def _name(row: dict[str, Any]) -> str:
    return "clean" if row["kind"] == "none" else f"{row['kind'].replace('_', ' ')} {row['level']:g}"


def _level(name: str, rows: list[dict[str, Any] | None], clean: float | None) -> Level:
    shares = [(_share(row, "sensitivity"), _share(row, "specificity")) for row in rows]
    last = rows[-1]
    if not clean or last is None or last.get("sensitivity") is None:
        return Level(name, shares, Value(reason="not measured"))
    return Level(name, shares, Value(1 - last["sensitivity"] / clean))


def _share(row: dict[str, Any] | None, what: str) -> Value:
    if row is None or row.get(what) is None:
        return Value(reason="not measured")
    return Value(row[what])
