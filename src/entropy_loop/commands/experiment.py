"""An experiment from its config to its report: what the commands `run`, `plan` and `report` do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from entropy_loop import loop
from entropy_loop.analysis.tables import Tables, tables
from entropy_loop.commands import costs, fetch, results_folder, tracking
from entropy_loop.commands.tracking import Tracking
from entropy_loop.data import HELD_OUT, RATES
from entropy_loop.engines.local import Local
from entropy_loop.errors import ConfigError, Waiting
from entropy_loop.machine import device, distributed, threads
from entropy_loop.plan import Chain, Plan
from entropy_loop.plan import plan as plan_of
from entropy_loop.report.page import page
from entropy_loop.report.text import final_message
from entropy_loop.report.text.final_message import FinalMessage
from entropy_loop.stages import KEY_FORM
from entropy_loop.storage import reading
from entropy_loop.storage.disk import write_text
from entropy_loop.storage.provenance import provenance
from entropy_loop.storage.store import Listener, Store
from entropy_loop.study import study
from entropy_loop.study.settings import settings

REPORT_EVERY = 60.0  # least seconds between two reports of an unfinished run
WORK = 20.0  # the pause is at least so many times what the last report took (some 20 s for 16 chains)


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 0) of `count`: every count-th chain."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """'2/8' is the second of eight. Raises ConfigError for anything else."""
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise ConfigError(f"--shard {text}: takes the form i/n with i from 1 to n, for example --shard 2/8.")
        return cls(int(number) - 1, int(count))


@dataclass(frozen=True)
class Finished:
    """The tables and the report of a results folder."""

    tables: Tables
    report: Path

    @property
    def ending(self) -> FinalMessage:
        return final_message.final_message(self.tables, self.report)


def prepare(config: Path | Mapping[str, object], overrides: tuple[str, ...] = (), check_models: bool = True) -> Plan:
    """The plan of a config: a YAML file, or its content as a mapping. With check_models, raises ConfigError when a
    model is not here: a run should fail before its first costly stage."""
    experiment = study.load(config, overrides) if isinstance(config, Path) else study.given(config, overrides)
    planned = plan_of(experiment)
    if check_models:
        check_ready(planned)
    return planned


def finished(planned: Plan, root: Path) -> bool:
    """Whether every stage is finished in this results folder."""
    store = Store(root)
    return all(store.finished(stage) for stage in planned.stages().values())


def previous_ending(planned: Plan, root: Path, shard: Shard | None = None) -> FinalMessage | None:
    """The final message of a finished run; None when a stage or the message must be made anew. Raises Locked while
    another process works in the folder."""
    if not finished(planned, root):
        return None
    with Store(root, several=shard is not None).lock():
        return final_message.load(planned, root)


def check_ready(planned: Plan) -> None:
    """Raises ConfigError when a model or plug-in that the plan names is not here or cannot do its work."""
    planned.study.config.engine_plugin().ready(costs.needs(planned))
    tracking.check_installed(planned.study.config.report_to)
    for download in fetch.wanted(planned.study):
        download.check_downloaded()
    for chain in planned.chains:
        device.use(chain.config.device)
        concepts = chain.config.judged_concepts()
        prompts, checks = (
            tuple(prompt.text for prompt in named)
            for named in (chain.config.pool_prompts(), chain.config.check_prompts())
        )
        chain.config.generator_plugin().ready((*prompts, *checks), chain.config.train)
        for judge in chain.config.judge_plugins():
            judge.ready(concepts)
        if chain.config.policy_plugin().reads_scores:
            chain.config.scorer_plugin().ready(prompts)
        if chain.config.regime_plugin().real_fraction or chain.config.reteach:
            chain.config.real_plugin().ready()
        if again := chain.config.reteach:
            lessons = chain.config.generations // again.every
            chain.config.real_plugin().ready_to_teach(again.concepts, lessons * again.images, prompts)
        if HELD_OUT in chain.generations[0].observed:
            chain.config.held_out_plugin().ready()
        if chain.config.measures.embedder:
            chain.config.embedder_plugin().ready()
        if chain.config.measures.reader:
            chain.config.reader_plugin().ready(chain.config.attributes)


def carry_out(planned: Plan, root: Path, listen: Listener, shard: Shard | None = None) -> Finished | None:
    """Make every missing stage, then the tables and the report, which are also written from time to time on the way.
    Raises ConfigError when the folder holds another experiment, Waiting when a chain waits for people.

    shard: carry only this part of the chains, while other processes carry the rest in the same folder. The process
    that finishes the last stage writes tables and report; the others return None.
    """
    results_folder.check_same_experiment(planned, root)
    tracked = Tracking(planned, root, listen)
    store = Store(root, provenance(), tracked, several=shard is not None)
    with store.lock(), results_folder.enough_space(planned, store):
        final_message.delete(root)
        _write_inputs(planned, store)
        carry_chain = _CarryChain()
        if shard is None:
            planned.study.config.engine_plugin().carry(
                planned.chains, store, carry_chain, _PeriodicReport(planned, store), costs.needs(planned)
            )
            distributed.dismiss()
            results = _write_outputs(planned, store)
            if not carry_chain.waiting:
                store.tidy()
            carry_chain.raise_waiting(root)
            tracked.finish(results.tables.rates)
            return results
        shard_chains = planned.chains[shard.index :: shard.count]
        Local(workers=1).carry(shard_chains, store, carry_chain, lambda: None, costs.needs(planned))
        distributed.dismiss()
        last = _write_outputs(planned, store) if finished(planned, store.root) else None
        tracked.finish(last.tables.rates if last else pd.DataFrame(columns=list(RATES)))
        carry_chain.raise_waiting(root)
        return last


@dataclass(frozen=True)
class _CarryChain:
    """An engine calls it for every chain. A chain that waits for people is noted, so that the others go on."""

    waiting: list[str] = field(default_factory=list)

    def __call__(self, chain: Chain, store: Store) -> None:
        threads.use(chain.config.threads)
        device.use(chain.config.device)
        try:
            loop.carry(chain, store)
        except Waiting as error:
            self.waiting.append(f"{chain.name}: {error}")

    def raise_waiting(self, root: Path) -> None:
        """Raises Waiting when a chain waits for people."""
        if self.waiting:
            lines = "\n".join(f"  {line}" for line in sorted(self.waiting))
            raise Waiting(
                f"{root}: waits for people; what is finished is kept:\n{lines}\n`entropy-loop rate {root}` opens the "
                "page on which they pick; then the same command continues."
            )


class _PeriodicReport:
    """Writes the tables and the report of an unfinished run, unless the last ones are recent."""

    def __init__(self, planned: Plan, store: Store) -> None:
        self.planned, self.store = planned, store
        self.written, self.took = time.monotonic(), 0.0

    def __call__(self) -> None:
        began = time.monotonic()
        if began - self.written >= max(REPORT_EVERY, WORK * self.took):
            _write_outputs(self.planned, self.store)
            self.written = time.monotonic()
            self.took = self.written - began


def leads() -> bool:
    """Whether this process runs the experiment: under `accelerate launch` the first one does."""
    return distributed.leads()


def join_trainings(planned: Plan) -> None:
    """Under `accelerate launch`, in every process but the first: join the trainings of the first."""
    config = planned.study.config
    threads.use(config.threads)
    device.use(config.device)
    distributed.follow()


def report(root: Path) -> Finished:
    """Write tables and report of a results folder anew, finished or not. Raises ConfigError if it is no results folder,
    or if its stages are not those of its config: the tables would be empty."""
    planned, store = _open(root)
    with store.lock():
        return _write_outputs(planned, store)


def read(root: Path) -> tuple[Plan, Tables]:
    """The plan and the current tables of a results folder. Takes no lock and writes nothing. Raises ConfigError as
    `report` does."""
    planned, store = _open(root)
    return planned, tables(planned, store)


def _open(root: Path) -> tuple[Plan, Store]:
    planned, store = results_folder.planned(root), Store(root, provenance())
    _check_stages(planned, store)
    return planned, store


def _check_stages(planned: Plan, store: Store) -> None:
    results_folder.check_key_form(store.root)
    stages = planned.stages().values()
    if not any(store.finished(stage) for stage in stages):
        raise ConfigError(
            f"{store.root}: {store.stages.name}/ has no stage of its config.yaml (results are often passed on "
            "without it), so there is nothing to report; tables and report stay as they are."
        )
    if not (store.root / results_folder.PLAN).is_file():
        return
    chains = reading.parsed(store.root / results_folder.PLAN)["runs"]
    listed = {name for generations in chains.values() for g in generations for name in g["stages"]}
    if any((store.stages / name).is_dir() for name in listed - {stage.folder for stage in stages}):
        raise ConfigError(
            f"{store.root}: made by another version of entropy-loop, which gave its stages other names; use that "
            "version, or `entropy-loop run` to make them anew. Tables and report stay as they are."
        )


@dataclass(frozen=True)
class Forecast:
    """What a run would do and cost. stages: by name, their number (`stages`), how many are finished (`done`), and the
    values of their `costs.Work`. estimates: one per known device."""

    name: str
    chains: list[str]
    stages: dict[str, dict[str, float]]
    estimates: list[costs.Outlook]

    def values(self) -> dict[str, object]:
        """Plain values for JSON."""
        estimates = [outlook.values() for outlook in self.estimates]
        return {"name": self.name, "runs": self.chains, "stages": self.stages, "estimates": estimates}


def forecast(planned: Plan, root: Path) -> Forecast:
    """What a run would do, how much of it is done, and what it would cost."""
    store, work = Store(root), costs.work(planned)
    stages: dict[str, dict[str, float]] = {}
    for stage in planned.stages().values():
        row = stages.setdefault(stage.name, {"stages": 0, "done": 0} | work[stage.name].values())
        row["stages"] += 1
        row["done"] += store.finished(stage) is not None
    chains = [chain.name for chain in planned.chains]
    return Forecast(planned.study.config.name, chains, stages, list(costs.outlooks(planned)))


def _write_inputs(planned: Plan, store: Store) -> None:
    """Write config.yaml, plan.json and, unless every stage is finished, provenance.json: it describes the machine and
    code that made the stages."""
    stages = {
        chain.name: [{"generation": g.number, "stages": [s.folder for s in g.stages()]} for g in chain.generations]
        for chain in planned.chains
    }
    write_text(store.root / "config.yaml", settings(planned.study))
    write_text(store.root / results_folder.PLAN, json.dumps({"key_form": KEY_FORM, "runs": stages}, indent=1))
    if not finished(planned, store.root):
        write_text(store.root / "provenance.json", json.dumps(store.provenance, indent=1))


def _write_outputs(planned: Plan, store: Store) -> Finished:
    # The report shows where the results were made, not where they are read.
    first = store.root / "provenance.json"
    store = replace(store, provenance=reading.parsed(first)) if first.is_file() else store
    results = tables(planned, store)
    results.write(store.root)
    written = Finished(results, page.write(planned, store, results))
    if finished(planned, store.root):
        final_message.save(written.ending, planned, store.root)
    return written
