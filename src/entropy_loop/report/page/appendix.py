"""The report's appendix: settings, where the results come from, what the judges are worth, what took how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from entropy_loop.analysis.formatting import Value
from entropy_loop.analysis.rates import UNCALIBRATED, Known, calibration
from entropy_loop.contracts import Judge
from entropy_loop.data import ALL, Concept
from entropy_loop.plan import Plan
from entropy_loop.storage.receipts import Receipt
from entropy_loop.storage.receipts import read as read_receipt
from entropy_loop.storage.store import Store
from entropy_loop.study.checks import curator_measures
from entropy_loop.study.config import Config

OWN_TEXTS = "the judge is not calibrated for the texts of the config"


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
    return curator_measures(config.scorer_plugin(), config.judge_plugins()) is not None


# ---- judges ------------------------------------------------------------------------------------------


def judges(plan: Plan) -> dict[str, list[Calibration]]:
    """Label -> one line per concept and one per conjunction that a prompt asks for."""
    found: dict[str, list[Calibration]] = {}
    for chain in plan.chains:
        for judge in chain.config.judge_plugins():
            if judge.label not in found:
                found[judge.label] = _lines(judge, chain.config)
    return found


def _lines(judge: Judge, config: Config) -> list[Calibration]:
    concepts = {concept.name: concept for concept in config.concept_nouns()}
    singles: dict[str, Calibration] = {}
    joints: dict[str, Calibration] = {}
    for prompt in config.prompt_nouns():
        known, every = calibration(judge, config, prompt), f"{ALL}: {', '.join(prompt.concepts)}"
        singles |= {name: _line(concepts[name], known) for name in prompt.concepts}
        if len(prompt.concepts) > 1:
            joints[every] = _measured(every, known.entries.get(ALL), known.why, has_threshold=False)
    return [*singles.values(), *joints.values()]


def _line(concept: Concept, known: Known) -> Calibration:
    entry = known.entries.get(concept.name)
    if concept.yes and entry is None and known.why == UNCALIBRATED:
        unknown = Value(reason=OWN_TEXTS)
        return Calibration(concept.name, Value(0.0), unknown, unknown, "", "asked with the config's own texts")
    return _measured(concept.name, entry, known.why)


def _measured(name: str, entry: Mapping[str, Any] | None, why: str, has_threshold: bool = True) -> Calibration:
    no_threshold = Value(reason="each concept has its own")
    if entry is None:
        unknown = Value(reason=why)
        return Calibration(name, unknown if has_threshold else no_threshold, unknown, unknown, "")
    sensitivity, specificity = _share(entry, "sensitivity", "positives"), _share(entry, "specificity", "negatives")
    junk = f"{entry['junk_false_positives']} of {entry['junk']}" if "junk_false_positives" in entry else ""
    threshold = Value(entry["threshold"]) if has_threshold else no_threshold
    return Calibration(name, threshold, sensitivity, specificity, junk)


def _share(entry: Mapping[str, Any], what: str, n: str) -> Value:
    """A calibration that only has texts and thresholds has measured nothing."""
    if what not in entry:
        return Value(reason=entry.get("reason", "not measured"))
    return Value(entry[what], entry.get(f"{what}_low"), entry.get(f"{what}_high"), counts=f"n = {entry[n]}")


# ---- receipts ----------------------------------------------------------------------------------------


def receipts(plan: Plan, store: Store) -> dict[str, Receipt]:
    """The receipts of the finished stages, by the stage's key."""
    finished = ((key, store.finished(stage)) for key, stage in plan.stages().items())
    return {key: read_receipt(folder) for key, folder in finished if folder}


def timings(plan: Plan, receipts: Mapping[str, Receipt]) -> list[Timing]:
    """Per verb, in the order in which verbs first come."""
    rows: dict[str, Timing] = {}
    for key, stage in plan.stages().items():
        row = rows.get(stage.name, Timing(stage.name, 0, 0, 0.0))
        seconds = float(receipts[key]["seconds"]) if key in receipts else 0.0
        rows[stage.name] = Timing(stage.name, row.planned + 1, row.made + (key in receipts), row.seconds + seconds)
    return list(rows.values())


def provenance(folder: Mapping[str, object], receipts: Mapping[str, Receipt]) -> list[tuple[str, str]]:
    """(what, value): of the results folder (its own, where it is known), else of its first stage that tells."""
    told = [r["provenance"] for r in receipts.values() if r.get("provenance")]
    facts = list(_flat(folder or (told[0] if told else {})))
    revisions = sorted({str(p.get("revision")) for p in told})
    if len(revisions) > 1:
        facts.append(("revisions of the stages", ", ".join(revisions)))
    started = sorted(str(r["started"]) for r in receipts.values())
    return [*facts, ("stages made", f"{started[0]} to {started[-1]}")] if started else facts


def _flat(facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield name, ", ".join(f"{k} {v}" for k, v in value.items() if v is not None)
        else:
            yield name, "not known" if value is None else str(value)
