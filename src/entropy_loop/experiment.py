"""An experiment from its config to its report: what the commands `run`, `plan` and `report` do."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from entropy_loop import config, loop
from entropy_loop.errors import ConfigError
from entropy_loop.plan import Plan
from entropy_loop.plan import plan as plan_of
from entropy_loop.provenance import provenance
from entropy_loop.report import page
from entropy_loop.report.tables import Tables, tables
from entropy_loop.store import Listener, Store, write_text


@dataclass(frozen=True)
class Finished:
    """What lies in a results folder now."""

    tables: Tables
    report: Path


def prepare(path: Path, overrides: tuple[str, ...] = (), check_models: bool = True) -> Plan:
    """The plan of a config. With check_models, raises ConfigError when a model it names is not here: the
    cheap thing that can fail comes before the costly thing that cannot."""
    planned = plan_of(config.load(path, overrides))
    if check_models:
        _models_are_here(planned)
    return planned


def _models_are_here(planned: Plan) -> None:
    for run in planned.runs:
        concepts = run.config.concept_nouns()
        run.config.generator_plugin().ready()
        for judge in run.config.judge_plugins():
            judge.ready(concepts)
        if run.config.policy_plugin().reads_scores:
            run.config.scorer_plugin().ready(concepts)


def carry_out(planned: Plan, root: Path, listen: Listener) -> Finished:
    """Make every stage that is not made yet, then the tables and the report."""
    store = Store(root, provenance(), listen)
    with store.lock():
        _record(planned, store)
        for run in planned.runs:
            use_threads(run.config.threads)
            loop.carry(run, store)
        return _write(planned, store)


def report(root: Path) -> Finished:
    """Tables and report anew from a results folder, finished or not. Raises ConfigError if it is none."""
    if not (root / "config.yaml").is_file():
        raise ConfigError(f"{root}: no results folder (it has no config.yaml); `entropy-loop run` makes one.")
    store = Store(root, provenance())
    with store.lock():
        return _write(plan_of(config.load(root / "config.yaml")), store)


def outlook(planned: Plan, root: Path) -> dict[str, Any]:
    """What a run would do, and how much of it lies in the results folder already: plain values for JSON."""
    store = Store(root)
    verbs: dict[str, dict[str, float]] = {}
    for stage in planned.stages().values():
        row = verbs.setdefault(stage.verb, {"stages": 0, "done": 0, "images": 0, "evaluations": 0.0})
        row["stages"] += 1
        row["done"] += store.finished(stage) is not None
        row["images"] += sum(count for *_, count in stage.reads["prompts"]) if stage.verb.startswith("generate") else 0
        row["evaluations"] += stage.cost
    return {"name": planned.experiment.config.name, "runs": [run.name for run in planned.runs], "stages": verbs}


def use_threads(threads: int) -> None:
    """Fix the number of threads of torch, loaded or not: another number may round differently."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def _record(planned: Plan, store: Store) -> None:
    """config.yaml, plan.json, provenance.json. A finished run that is started again keeps the provenance of
    the machine and code that made it."""
    resolved = yaml.safe_dump(planned.experiment.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    stages = {
        run.name: [{"generation": g.number, "stages": [s.folder for s in g.stages()]} for g in run.generations]
        for run in planned.runs
    }
    write_text(store.root / "config.yaml", resolved)
    write_text(store.root / "plan.json", json.dumps(stages, indent=1))
    if not all(store.finished(stage) for stage in planned.stages().values()):
        write_text(store.root / "provenance.json", json.dumps(store.provenance, indent=1))


def _write(planned: Plan, store: Store) -> Finished:
    # The report tells where the results were made, not where they are read.
    made = store.root / "provenance.json"
    store = replace(store, provenance=json.loads(made.read_text(encoding="utf-8"))) if made.is_file() else store
    found = tables(planned, store)
    found.write(store.root)
    return Finished(found, page.write(planned, store, found))
