"""The tables of a results folder, from the stages that are finished. A run that is not finished yet has
the rows that it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from entropy_loop import data
from entropy_loop.analysis import suspect_images
from entropy_loop.analysis.changes import changes
from entropy_loop.analysis.checks import checks, doubts
from entropy_loop.analysis.claims import claims
from entropy_loop.analysis.ledgers import ledgers
from entropy_loop.analysis.people import People
from entropy_loop.analysis.rates import calibration, rates
from entropy_loop.analysis.rows import Row
from entropy_loop.analysis.verdicts import verdicts
from entropy_loop.data import CHECK, GENERATED, MOVED, POOL
from entropy_loop.people import book
from entropy_loop.plan import Chain, Generation, Plan
from entropy_loop.storage.dictionary import PARQUET
from entropy_loop.storage.disk import write_bytes, write_text
from entropy_loop.storage.reading import Reader
from entropy_loop.storage.store import Store

CSV = (
    "rates", "changes", "summary", "ledger", "checks", "diversity", "noise", "tails", "verdicts", "instruments",
    "agreement",
)  # fmt: skip
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
        """What the reader is to know before any number: a sentence each."""
        return [*suspect_images.warnings(self.images, self.withheld), *doubts(self.checks)]

    def write(self, root: Path) -> None:
        """CSV for what people read, Parquet for what comes by the thousand."""
        for name in CSV:
            text = getattr(self, name).to_csv(index=False, float_format="%.6g", lineterminator="\n")
            write_text(root / f"{name}.csv", text)
        for name in PARQUET:
            write_bytes(root / f"{name}.parquet", getattr(self, name).to_parquet(index=False))


def tables(plan: Plan, store: Store) -> Tables:
    """Everything that the finished stages say."""
    reader = Reader(store)
    images = _joined([_images(chain, g, stream, reader) for chain, g, stream in _sets(plan)], data.IMAGES)
    people = People(book.answers(store.root), images)
    rows = [row for chain in plan.chains for row in (*_rates(chain, reader), *people.rates(chain))]
    rated = _table(rows, data.RATES)
    measured = _joined([_measured(chain, g, reader) for chain in plan.chains for g in chain.generations], MEASURED)
    looks = [_judged(chain, g, stream, reader) for chain, g, stream in _sets(plan)]
    models = _joined(looks, data.RUN_JUDGEMENTS)  # people see a part of a pool: too few for a ledger
    judgements = _joined([models, people.judgements()], data.RUN_JUDGEMENTS)
    summary = _table(list(claims(plan, rated)), data.SUMMARY)
    told, tests = verdicts(plan, summary, measured)
    return Tables(
        rated,
        changes=_table(
            [row for chain in plan.chains for row in people.changes(chain, [*changes(chain, rated)])], data.CHANGES
        ),
        summary=summary,
        ledger=_table([row for chain in plan.chains for row in ledgers(chain, models, reader)], data.LEDGER),
        checks=_table([row for chain in plan.chains for row in checks(chain, models, reader)], data.CHECKS),
        diversity=measured.loc[measured["table"] == "diversity", list(data.MEASURED)],
        noise=measured.loc[measured["table"] == "noise", list(data.MEASURED)],
        tails=measured[measured["table"] == "tails"].rename(columns={"metric": "attribute"})[list(data.TAILS)],
        verdicts=_table(told, data.VERDICTS),
        instruments=_table(tests, data.INSTRUMENTS),
        agreement=_table([*people.agreement(judgements)], data.AGREEMENT).astype({"generation": "Int64"}),
        images=images,
        withheld=_table([*_withheld(plan, reader)], data.WITHHELD),
        judgements=judgements,
        diets=_joined([_diet(chain, g, reader) for chain in plan.chains for g in chain.generations], DIETS),
    )


def _table(rows: list[Row], names: tuple[str, ...]) -> pd.DataFrame:
    return data.columns(pd.DataFrame(rows), names)


def _sets(plan: Plan) -> Iterator[tuple[Chain, Generation, str]]:
    return ((chain, g, stream) for chain in plan.chains for g in chain.generations for stream in g.sets)


def _joined(parts: list[pd.DataFrame], names: tuple[str, ...]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    return data.columns(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), names)


# ---- images and judgements ---------------------------------------------------------------------------


def _images(chain: Chain, g: Generation, stream: str, reader: Reader) -> pd.DataFrame:
    """One row per image; `file` is relative to the results folder. Score, rank and kept are missing where
    the image was not scored, not ranked, not a candidate. flagged: whether the safety checker objects to it, missing
    where none was asked."""
    store = reader.store
    folder = store.finished(g.sets[stream])
    if folder is None:
        return pd.DataFrame()
    table = reader.table(folder / "samples.parquet")
    table["file"] = [str((folder / f).relative_to(store.root)) if f else "" for f in table["file"]]
    if stream == POOL and g.curate and (selection := store.finished(g.curate)):
        table = table.merge(reader.table(selection / "selection.parquet"), on="id", how="left")
    table = table.assign(run=chain.name, arm=chain.arm, seed=chain.config.seed, generation=g.number, set=stream)
    return table[[name for name in table if name in data.IMAGES]]  # a generator's own columns stay in the store


def _withheld(plan: Plan, reader: Reader) -> Iterator[Row]:
    """Of every set of a generator whose safety checker may keep images back: how many were asked for, how many it kept
    back. Those have no row among the images."""
    for chain, g, stream in _sets(plan):
        folder = reader.store.finished(g.sets[stream])
        if folder and stream in GENERATED and chain.config.generator_plugin().withholds:
            asked, there = g.sets[stream].images, len(reader.table(folder / "samples.parquet"))
            where = {"run": chain.name, "generation": g.number, "set": stream}
            yield where | {"asked": asked, "withheld": asked - there}


def _judged(chain: Chain, g: Generation, stream: str, reader: Reader) -> pd.DataFrame:
    parts = [
        judgements.assign(run=chain.name, generation=g.number, set=stream, judge=judge)
        for judge, judgements in _judgements(chain, g, stream, reader)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _judgements(chain: Chain, g: Generation, stream: str, reader: Reader) -> Iterator[tuple[str, pd.DataFrame]]:
    """(label of the judge, its judgements), one for each judge that has answered."""
    for judge, stage in zip(chain.config.judge_plugins(), g.judged[stream], strict=True):
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
    """Every set of every generation as each judge saw it, prompt by prompt, but for those that check the judge."""
    judges = {judge.label: judge for judge in chain.config.judge_plugins()}
    prompts = chain.config.pool_prompts()
    known = {(j, p.text): calibration(judge, chain.config, p) for j, judge in judges.items() for p in prompts}
    for g in chain.generations:
        for stream in [name for name in g.sets if name not in (CHECK, MOVED)]:
            where = {
                "run": chain.name,
                "arm": chain.arm,
                "seed": chain.config.seed,
                "generation": g.number,
                "set": stream,
            }
            for judge, judgements in _judgements(chain, g, stream, reader):
                prompt_of = _images(chain, g, stream, reader).set_index("id")["prompt"]
                for prompt in prompts:
                    asked = judgements[judgements["id"].map(prompt_of) == prompt.text]
                    if len(asked):
                        rows = rates(asked, prompt, known[judge, prompt.text])
                        yield from (where | {"judge": judge} | row for row in rows)
