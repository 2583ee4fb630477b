"""The report's appendix: the command, the calibration of the judges, provenance and timings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from entropy_loop.analysis.formatting import Value
from entropy_loop.analysis.rates import NO_CALIBRATION, UNCALIBRATED, PromptCalibration, calibration
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
    """A judge's calibration on one concept, or on a conjunction."""

    concept: str
    threshold: Value
    sensitivity: Value
    specificity: Value
    junk: str
    note: str = ""


@dataclass(frozen=True)
class Timing:
    """The stages of one name: planned, made, and the seconds that the made ones took."""

    stage: str
    planned: int
    made: int
    seconds: float


def command(plan: Plan) -> str:
    """The command that repeats the experiment from its results folder."""
    return f"entropy-loop run config.yaml --out {plan.study.config.name}-again"


def curator_judges(config: Config) -> bool:
    """Whether the model that selects in this arm also judges it."""
    if config.train.method == "none" or not config.policy_plugin().reads_scores:
        return False
    return curator_measures(config.scorer_plugin(), config.judge_plugins()) is not None


# ---- judges ------------------------------------------------------------------------------------------


def judges(plan: Plan) -> dict[str, list[Calibration]]:
    """Label of a judge -> a line per concept and per conjunction of the prompts."""
    by_judge: dict[str, list[Calibration]] = {}
    for chain in plan.chains:
        for judge in chain.config.judge_plugins():
            if judge.label not in by_judge:
                by_judge[judge.label] = _lines(judge, chain.config)
    return by_judge


def uncalibrated(plan: Plan) -> dict[str, str]:
    """Label of a judge that has no calibration -> a sentence in the place of its table."""
    sentences: dict[str, str] = {}
    for config in (chain.config for chain in plan.chains):
        for spec, judge in zip(config.judges, config.judge_plugins(), strict=True):
            if judge.label in sentences:
                continue
            reason = calibration(judge, config, config.pool_prompts()[0]).missing_reason
            exact = "It reads the known truth, so it has no errors to measure." if spec["use"] == "exact" else ""
            unknown = f"Its sensitivity and specificity are not known: {NO_CALIBRATION}."
            sentences[judge.label] = (exact or unknown) if reason == NO_CALIBRATION else ""
    return {label: sentence for label, sentence in sentences.items() if sentence}


def _lines(judge: Judge, config: Config) -> list[Calibration]:
    concepts = {concept.name: concept for concept in config.judged_concepts()}
    singles: dict[str, Calibration] = {}
    joints: dict[str, Calibration] = {}
    for prompt in config.pool_prompts():
        calibrated, joint = calibration(judge, config, prompt), f"{ALL}: {', '.join(prompt.concepts)}"
        singles |= {name: _line(concepts[name], calibrated) for name in prompt.concepts}
        if len(prompt.concepts) > 1:
            entry = calibrated.entries.get(ALL)
            joints[joint] = _measured(joint, entry, calibrated.missing_reason, has_threshold=False)
    return [*singles.values(), *joints.values()]


def _line(concept: Concept, calibrated: PromptCalibration) -> Calibration:
    entry = calibrated.entries.get(concept.name)
    if concept.yes and entry is None and calibrated.missing_reason == UNCALIBRATED:
        unknown = Value(reason=OWN_TEXTS)
        return Calibration(concept.name, Value(0.0), unknown, unknown, "", "asked with the config's own texts")
    return _measured(concept.name, entry, calibrated.missing_reason)


def _measured(
    name: str, entry: Mapping[str, Any] | None, missing_reason: str, has_threshold: bool = True
) -> Calibration:
    no_threshold = Value(reason="each concept has its own")
    if entry is None:
        unknown = Value(reason=missing_reason)
        return Calibration(name, unknown if has_threshold else no_threshold, unknown, unknown, "")
    sensitivity, specificity = _rate(entry, "sensitivity", "positives"), _rate(entry, "specificity", "negatives")
    junk = f"{entry['junk_false_positives']} of {entry['junk']}" if "junk_false_positives" in entry else ""
    threshold = Value(entry["threshold"]) if has_threshold else no_threshold
    return Calibration(name, threshold, sensitivity, specificity, junk)


def _rate(entry: Mapping[str, Any], name: str, n: str) -> Value:
    if name not in entry:  # the calibration has texts and thresholds alone
        return Value(reason=entry.get("reason", "not measured"))
    return Value(entry[name], entry.get(f"{name}_low"), entry.get(f"{name}_high"), counts=f"n = {entry[n]}")


# ---- receipts ----------------------------------------------------------------------------------------


def receipts(plan: Plan, store: Store) -> dict[str, Receipt]:
    """Key of a finished stage -> its receipt."""
    finished = ((key, store.finished(stage)) for key, stage in plan.stages().items())
    return {key: read_receipt(folder) for key, folder in finished if folder}


def timings(plan: Plan, receipts: Mapping[str, Receipt]) -> list[Timing]:
    """Per name of a stage, in the order of the plan."""
    rows: dict[str, Timing] = {}
    for key, stage in plan.stages().items():
        row = rows.get(stage.name, Timing(stage.name, 0, 0, 0.0))
        seconds = float(receipts[key]["seconds"]) if key in receipts else 0.0
        rows[stage.name] = Timing(stage.name, row.planned + 1, row.made + (key in receipts), row.seconds + seconds)
    return list(rows.values())


def provenance(folder: Mapping[str, object], receipts: Mapping[str, Receipt]) -> list[tuple[str, str]]:
    """(name, value): of the results folder, or without any of its first stage that has some."""
    of_stages = [r["provenance"] for r in receipts.values() if r.get("provenance")]
    entries = list(_flat(folder or (of_stages[0] if of_stages else {})))
    revisions = sorted({str(p.get("revision")) for p in of_stages})
    if len(revisions) > 1:
        entries.append(("revisions of the stages", ", ".join(revisions)))
    started = sorted(str(r["started"]) for r in receipts.values())
    return [*entries, ("stages made", f"{started[0]} to {started[-1]}")] if started else entries


def _flat(entries: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in entries.items():
        if isinstance(value, dict):
            yield name, ", ".join(f"{k} {v}" for k, v in value.items() if v is not None)
        else:
            yield name, "not known" if value is None else str(value)
