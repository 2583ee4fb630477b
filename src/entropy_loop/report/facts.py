"""The report's appendix: settings, where the results come from, what the judges are worth, what took how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from entropy_loop.config import Config
from entropy_loop.data import Concept
from entropy_loop.errors import EntropyLoopError
from entropy_loop.plan import Plan
from entropy_loop.report import reading
from entropy_loop.report.numbers import Value
from entropy_loop.store import Store

OWN_TEXTS = "texts of the config are not calibrated"


@dataclass(frozen=True)
class Calibration:
    """What is known of a judge on one concept; `note` says what is not."""

    concept: str
    threshold: Value
    sensitivity: Value
    specificity: Value
    junk: str
    note: str = ""


@dataclass(frozen=True)
class Timing:
    """Stages of one verb: planned, made, and the seconds that those took."""

    verb: str
    planned: int
    made: int
    seconds: float


def command(plan: Plan) -> str:
    """The command that repeats the experiment from its results folder."""
    name = plan.study.config.name
    return f"entropy-loop run config.yaml --out {name}-again"


def curator_judges(config: Config) -> bool:
    """Whether the weights that select in this arm are among those that measure it."""
    if config.train.method == "none" or not config.policy_plugin().reads_scores:
        return False
    curator, *judges = (
        (getattr(plugin, "model", None), getattr(plugin, "pretrained", None))
        for plugin in (config.scorer_plugin(), *config.judge_plugins())
    )
    return curator[0] is not None and curator in judges


# ---- judges ------------------------------------------------------------------------------------------


def judges(plan: Plan) -> dict[str, list[Calibration]]:
    """Label -> one line per concept and one per joint concept that the calibration knows."""
    found: dict[str, list[Calibration]] = {}
    for run in plan.runs:
        for judge in run.config.judge_plugins():
            if judge.label not in found:
                known, why = _calibration(judge)
                lines = [_line(concept, known, why) for concept in run.config.concept_nouns()]
                joints = dict.fromkeys(p.concepts for p in run.config.prompts if len(p.concepts) > 1)
                own = set(run.config.concepts)
                found[judge.label] = [*lines, *(_joint(parts, known, why, own) for parts in joints)]
    return found


def _calibration(judge: Any) -> tuple[dict[str, Any], str]:
    """(calibration file, why it says nothing)."""
    if not hasattr(judge, "calibration"):
        return {}, "this kind of judge has no calibration"
    try:
        known: dict[str, Any] = judge.calibration()
    except EntropyLoopError:
        return {}, "the judge's model is not found from the current folder"
    return known, "the judge has no calibration for it"


def _line(concept: Concept, known: dict[str, Any], why: str) -> Calibration:
    if concept.yes:
        unknown = Value(reason=OWN_TEXTS)
        return Calibration(concept.name, Value(0.0), unknown, unknown, "", "asked with the config's own texts")
    return _measured(concept.name, known.get("concepts", {}).get(concept.name), why)


def _joint(parts: tuple[str, ...], known: dict[str, Any], why: str, own: set[str]) -> Calibration:
    """`own`: concepts that the config asks for with its own texts, which no calibration covers."""
    if own & set(parts):
        return _measured("all: " + ", ".join(parts), None, OWN_TEXTS, has_threshold=False)
    entries = known.get("joint", {}).values()
    entry = next((e for e in entries if sorted(e.get("concepts", ())) == sorted(parts)), None)
    return _measured("all: " + ", ".join(parts), entry, why, has_threshold=False)


def _measured(name: str, entry: dict[str, Any] | None, why: str, has_threshold: bool = True) -> Calibration:
    no_threshold = Value(reason="each concept has its own")
    if entry is None:
        unknown = Value(reason=why)
        return Calibration(name, unknown if has_threshold else no_threshold, unknown, unknown, "")
    sensitivity, specificity = _share(entry, "sensitivity", "positives"), _share(entry, "specificity", "negatives")
    junk = f"{entry['junk_false_positives']} of {entry['junk']}" if "junk_false_positives" in entry else ""
    threshold = Value(entry["threshold"]) if has_threshold else no_threshold
    return Calibration(name, threshold, sensitivity, specificity, junk)


def _share(entry: dict[str, Any], what: str, n: str) -> Value:
    """A calibration that only has texts and thresholds has measured nothing."""
    if what not in entry:
        return Value(reason="not measured")
    return Value(entry[what], entry.get(f"{what}_low"), entry.get(f"{what}_high"), counts=f"n = {entry[n]}")


# ---- receipts ----------------------------------------------------------------------------------------


def timings(plan: Plan, store: Store) -> list[Timing]:
    """Per verb, in the order in which verbs first come."""
    rows: dict[str, Timing] = {}
    for stage in plan.stages().values():
        row = rows.get(stage.verb, Timing(stage.verb, 0, 0, 0.0))
        folder = store.finished(stage)
        seconds = float(reading.receipt(folder)["seconds"]) if folder else 0.0
        rows[stage.verb] = Timing(stage.verb, row.planned + 1, row.made + bool(folder), row.seconds + seconds)
    return list(rows.values())


def provenance(plan: Plan, store: Store) -> list[tuple[str, str]]:
    """(what, value): of the results folder, else of its first stage that tells."""
    receipts = [reading.receipt(folder) for stage in plan.stages().values() if (folder := store.finished(stage))]
    told = [r["provenance"] for r in receipts if r.get("provenance")]
    facts = list(_flat(store.provenance or (told[0] if told else {})))
    revisions = sorted({str(p.get("revision")) for p in told})
    if len(revisions) > 1:
        facts.append(("revisions of the stages", ", ".join(revisions)))
    started = sorted(str(r["started"]) for r in receipts)
    return [*facts, ("stages made", f"{started[0]} to {started[-1]}")] if started else facts


def _flat(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield name, ", ".join(f"{k} {v}" for k, v in value.items() if v is not None)
        else:
            yield name, "not known" if value is None else str(value)
