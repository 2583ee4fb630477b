"""The tables of a results folder, from its finished stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from entropy_loop import data
from entropy_loop.analysis import suspect_images
from entropy_loop.analysis.changes import changes
from entropy_loop.analysis.checks import alarm_warnings, checks
from entropy_loop.analysis.claims import claims
from entropy_loop.analysis.ledgers import ledgers
from entropy_loop.analysis.people import People
from entropy_loop.analysis.rates import calibration
from entropy_loop.analysis.rates import rates as rate_rows
from entropy_loop.analysis.rows import Row
from entropy_loop.analysis.verdicts import verdicts
from entropy_loop.data import CHECK, GENERATED, MOVED, POOL
from entropy_loop.dictionary import PARQUET, TABLES
from entropy_loop.people import book
from entropy_loop.plan import Chain, Generation, Plan
from entropy_loop.storage.disk import write_bytes, write_text
from entropy_loop.storage.reading import Reader
from entropy_loop.storage.store import Store

CSV = tuple(name for name in TABLES if name not in PARQUET)
MEASURED = ("run", "arm", "seed", "generation", *data.MEASURES)
DIETS = ("run", "generation", *data.DIET)


@dataclass(frozen=True)
class Tables:
    """The tables of a results folder by name; columns as in `data`."""

    rates: pd.DataFrame
    changes: pd.DataFrame
    summary: pd.DataFrame
    ledger: pd.DataFrame
    checks: pd.DataFrame
    diversity: pd.DataFrame
    noise: pd.DataFrame
    tails: pd.DataFrame
    verdicts: pd.DataFrame
    instruments: pd.DataFrame
    agreement: pd.DataFrame
    images: pd.DataFrame
    withheld: pd.DataFrame
    judgements: pd.DataFrame
    diets: pd.DataFrame

    @property
    def warnings(self) -> list[str]:
        """Sentences that the reader must see before any number."""
        return [*suspect_images.warnings(self.images, self.withheld), *alarm_warnings(self.checks)]

    def write(self, root: Path) -> None:
        """Writes the tables: CSV for people to read, Parquet for one row per image."""
        for name in CSV:
            text = getattr(self, name).to_csv(index=False, float_format="%.6g", lineterminator="\n")
            write_text(root / f"{name}.csv", text)
        for name in PARQUET:
            write_bytes(root / f"{name}.parquet", getattr(self, name).to_parquet(index=False))


def tables(plan: Plan, store: Store) -> Tables:
    """The tables of the finished stages."""
    reader = Reader(store)
    images = _joined([_images(chain, g, name, reader) for chain, g, name in _sets(plan)], data.IMAGES)
    people = People(book.answers(store.root), images)
    rates = _table([r for chain in plan.chains for r in (*_rates(chain, reader), *people.rates(chain))], data.RATES)
    measured = _joined([_measured(chain, g, reader) for chain in plan.chains for g in chain.generations], MEASURED)
    # The ledger leaves people out: they see a part of a pool.
    models = _joined([_judged(chain, g, name, reader) for chain, g, name in _sets(plan)], data.RUN_JUDGEMENTS)
    judgements = _joined([models, people.judgements()], data.RUN_JUDGEMENTS)
    summary = _table(list(claims(plan, rates)), data.SUMMARY)
    verdict_rows, instrument_rows = verdicts(plan, summary, measured)
    return Tables(
        rates,
        changes=_table(
            [row for chain in plan.chains for row in people.changes(chain, [*changes(chain, rates)])], data.CHANGES
        ),
        summary=summary,
        ledger=_table([row for chain in plan.chains for row in ledgers(chain, models, reader)], data.LEDGER),
        checks=_table([row for chain in plan.chains for row in checks(chain, models, reader)], data.CHECKS),
        diversity=measured.loc[measured["table"] == "diversity", list(data.MEASURED)],
        noise=measured.loc[measured["table"] == "noise", list(data.MEASURED)],
        tails=measured[measured["table"] == "tails"].rename(columns={"metric": "attribute"})[list(data.TAILS)],
        verdicts=_table(verdict_rows, data.VERDICTS),
        instruments=_table(instrument_rows, data.INSTRUMENTS),
        agreement=_table([*people.agreement(judgements)], data.AGREEMENT).astype({"generation": "Int64"}),
        images=images,
        withheld=_table([*_withheld(plan, reader)], data.WITHHELD),
        judgements=judgements,
        diets=_joined([_diet(chain, g, reader) for chain in plan.chains for g in chain.generations], DIETS),
    )


def _table(rows: list[Row], names: tuple[str, ...]) -> pd.DataFrame:
    return data.columns(pd.DataFrame(rows), names)


def _sets(plan: Plan) -> Iterator[tuple[Chain, Generation, str]]:
    return ((chain, g, name) for chain in plan.chains for g in chain.generations for name in g.sets)


def _joined(parts: list[pd.DataFrame], names: tuple[str, ...]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    return data.columns(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), names)


# ---- images and judgements ---------------------------------------------------------------------------


def _images(chain: Chain, g: Generation, name: str, reader: Reader) -> pd.DataFrame:
    """One row per image of a set. file: relative to the results folder. score, rank, kept: missing where the image was
    not scored, not ranked, not a candidate. flagged: missing without a safety checker."""
    store = reader.store
    folder = store.finished(g.sets[name])
    if folder is None:
        return pd.DataFrame()
    table = reader.table(folder / "samples.parquet")
    table["file"] = [str((folder / f).relative_to(store.root)) if f else "" for f in table["file"]]
    if name == POOL and g.curate and (selection := store.finished(g.curate)):
        table = table.merge(reader.table(selection / "selection.parquet"), on="id", how="left")
    table = table.assign(run=chain.name, arm=chain.arm, seed=chain.config.seed, generation=g.number, set=name)
    return table[[column for column in table if column in data.IMAGES]]  # without the generator's own columns


def _withheld(plan: Plan, reader: Reader) -> Iterator[Row]:
    """One row per set of a generator with a safety checker; withheld: images that have no row in images.parquet."""
    for chain, g, name in _sets(plan):
        folder = reader.store.finished(g.sets[name])
        if folder and name in GENERATED and chain.config.generator_plugin().withholds:
            asked, made = g.sets[name].images, len(reader.table(folder / "samples.parquet"))
            place = {"run": chain.name, "generation": g.number, "set": name}
            yield place | {"asked": asked, "withheld": asked - made}


def _judged(chain: Chain, g: Generation, name: str, reader: Reader) -> pd.DataFrame:
    parts = [
        judgements.assign(run=chain.name, generation=g.number, set=name, judge=judge)
        for judge, judgements in _judgements(chain, g, name, reader)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _judgements(chain: Chain, g: Generation, name: str, reader: Reader) -> Iterator[tuple[str, pd.DataFrame]]:
    """(label, judgements of the set) of each judge whose stage is finished."""
    for judge, stage in zip(chain.config.judge_plugins(), g.judged[name], strict=True):
        if folder := reader.store.finished(stage):
            yield judge.label, reader.table(folder / "judgements.parquet")


def _measured(chain: Chain, g: Generation, reader: Reader) -> pd.DataFrame:
    folder = reader.store.finished(g.measure) if g.measure else None
    if folder is None:
        return pd.DataFrame()
    table = reader.table(folder / "measures.parquet")
    return table.assign(run=chain.name, arm=chain.arm, seed=chain.config.seed, generation=g.number)


def _diet(chain: Chain, g: Generation, reader: Reader) -> pd.DataFrame:
    """What a generation was trained on, one row per training image."""
    folder = reader.store.finished(g.model) if g.model.verb == "train" else None
    if folder is None:
        return pd.DataFrame()
    return reader.table(folder / "diet.parquet").assign(run=chain.name, generation=g.number)


# ---- rates -------------------------------------------------------------------------------------------


def _rates(chain: Chain, reader: Reader) -> Iterator[Row]:
    """The rates of every set, generation, judge and prompt; without the sets that check the judge."""
    judges = {judge.label: judge for judge in chain.config.judge_plugins()}
    prompts = chain.config.pool_prompts()
    calibrated = {(j, p.text): calibration(judge, chain.config, p) for j, judge in judges.items() for p in prompts}
    for g in chain.generations:
        for name in [name for name in g.sets if name not in (CHECK, MOVED)]:
            place = {"run": chain.name, "arm": chain.arm, "seed": chain.config.seed, "generation": g.number}
            for judge, judgements in _judgements(chain, g, name, reader):
                prompt_of = _images(chain, g, name, reader).set_index("id")["prompt"]
                for prompt in prompts:
                    of_prompt = judgements[judgements["id"].map(prompt_of) == prompt.text]
                    if len(of_prompt):
                        rows = rate_rows(of_prompt, prompt, calibrated[judge, prompt.text])
                        yield from (place | {"set": name, "judge": judge} | row for row in rows)
