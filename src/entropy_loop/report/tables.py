"""The tables of a results folder, from the stages that are finished. A run that is not finished yet has
the rows that it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from entropy_loop import data, seeds
from entropy_loop.data import ALL, EVALUATION, POOL, Prompt
from entropy_loop.metrics.change import change_interval, change_rate
from entropy_loop.metrics.nulls import drift_band, sampling_band
from entropy_loop.metrics.rates import answers, wilson
from entropy_loop.plan import Generation, Plan, Run
from entropy_loop.store import Store, write_bytes, write_text


@dataclass(frozen=True)
class Tables:
    """rates, changes, images, judgements: columns as in `data`."""

    rates: pd.DataFrame
    changes: pd.DataFrame
    images: pd.DataFrame
    judgements: pd.DataFrame

    def write(self, root: Path) -> None:
        """CSV for what people read, Parquet for what comes by the thousand."""
        for name, table in (("rates", self.rates), ("changes", self.changes)):
            text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
            write_text(root / f"{name}.csv", text)
        for name, table in (("images", self.images), ("judgements", self.judgements)):
            write_bytes(root / f"{name}.parquet", table.to_parquet(index=False))


def tables(plan: Plan, store: Store) -> Tables:
    """Everything that the finished stages say."""
    rates = [row for run in plan.runs for row in _rates(run, store)]
    rate_table = data.columns(pd.DataFrame(rates), data.RATES)
    changes = [row for run in plan.runs for row in _changes(run, rate_table)]
    return Tables(
        rate_table,
        data.columns(pd.DataFrame(changes), data.CHANGES),
        _joined([_images(run, g, stream, store) for run, g, stream in _sets(plan)], data.IMAGES),
        _joined([_judged(run, g, stream, store) for run, g, stream in _sets(plan)], data.RUN_JUDGEMENTS),
    )


def _sets(plan: Plan) -> Iterator[tuple[Run, Generation, str]]:
    return ((run, g, stream) for run in plan.runs for g in run.generations for stream in (POOL, EVALUATION))


def _joined(parts: list[pd.DataFrame], names: tuple[str, ...]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    return data.columns(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), names)


# ---- images and judgements ---------------------------------------------------------------------------


def _images(run: Run, g: Generation, stream: str, store: Store) -> pd.DataFrame:
    """One row per image; `file` is relative to the results folder. Score, rank and kept are missing where
    the image was not scored, not ranked, not a candidate."""
    folder = store.finished(g.pool if stream == POOL else g.evaluation)
    if folder is None:
        return pd.DataFrame()
    table = pd.read_parquet(folder / "samples.parquet")
    table["file"] = [str((folder / f).relative_to(store.root)) if f else "" for f in table["file"]]
    if stream == POOL and g.curate and (selection := store.finished(g.curate)):
        table = table.merge(pd.read_parquet(selection / "selection.parquet"), on="id", how="left")
    return table.assign(run=run.name, arm=run.arm, seed=run.config.seed, generation=g.number, set=stream)


def _judged(run: Run, g: Generation, stream: str, store: Store) -> pd.DataFrame:
    parts = [
        judgements.assign(run=run.name, generation=g.number, set=stream, judge=judge)
        for judge, judgements in _judgements(run, g, stream, store)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _judgements(run: Run, g: Generation, stream: str, store: Store) -> Iterator[tuple[str, pd.DataFrame]]:
    """(label of the judge, its judgements), one for each judge that has answered."""
    labels = [judge.label for judge in run.config.judge_plugins()]
    for (index, name), stage in g.judged.items():
        if name == stream and (folder := store.finished(stage)):
            yield labels[index], pd.read_parquet(folder / "judgements.parquet")


# ---- rates -------------------------------------------------------------------------------------------


def _rates(run: Run, store: Store) -> Iterator[dict[str, Any]]:
    """V of every generation, set, prompt, concept and judge, and of `all`, each with its n."""
    for g in run.generations:
        for stream in (POOL, EVALUATION):
            where = {"run": run.name, "arm": run.arm, "seed": run.config.seed, "generation": g.number, "set": stream}
            for judge, judgements in _judgements(run, g, stream, store):
                prompt_of = _images(run, g, stream, store).set_index("id")["prompt"]
                for prompt in run.config.prompt_nouns():
                    asked = judgements[judgements["id"].map(prompt_of) == prompt.text]
                    if len(asked):
                        yield from (where | {"judge": judge} | row for row in _rates_of(prompt, asked))


def _rates_of(prompt: Prompt, judgements: pd.DataFrame) -> Iterator[dict[str, Any]]:
    answered = answers(judgements, prompt.concepts)
    for concept in (*prompt.concepts, ALL):
        column = answered[concept].dropna()
        n, hits = len(column), int(column.sum())
        row = {"prompt": prompt.text, "role": prompt.role, "concept": concept, "n": n, "hits": hits}
        missing = len(answered) - n
        if n == 0:
            yield row | {"reason": f"none of the {missing} images could be judged"}
            continue
        low, high = wilson(hits, n)
        reason = f"{missing} images could not be judged" if missing else ""
        yield row | {"rate": hits / n, "low": low, "high": high, "reason": reason}


# ---- changes -----------------------------------------------------------------------------------------


def _changes(run: Run, rates: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """c between consecutive generations and from 0 to the last one there is, on pools, this chain only."""
    mine = rates[(rates["run"] == run.name) & (rates["set"] == POOL)]
    for (prompt, role, concept, judge), rows in mine.groupby(["prompt", "role", "concept", "judge"], sort=False):
        rows = rows.set_index("generation").sort_index()
        steps = list(pairwise(rows.index))
        if len(rows) > 2:
            steps.append((rows.index[0], rows.index[-1]))
        for start, end in steps:
            what = {"run": run.name, "arm": run.arm, "seed": run.config.seed, "prompt": prompt, "role": role}
            what |= {"concept": concept, "judge": judge, "from_generation": start, "to_generation": end}
            yield what | _change(run, rows, start, end, fed_back=role == "target")


def _change(run: Run, rows: pd.DataFrame, start: int, end: int, fed_back: bool) -> dict[str, Any]:
    hits, n = (dict(zip(rows.index, rows[name].astype(int), strict=True)) for name in ("hits", "n"))
    pools = hits[start], n[start], hits[end], n[end]
    change = change_rate(*pools)
    values = {"v1": rows.at[start, "rate"], "v2": rows.at[end, "rate"], "change_rate": change}
    if change is None:
        return values | {"reason": "undefined: V1 = 0" if n[start] and n[end] else "undefined: nothing was judged"}
    seed = seeds.seed(run.config.seed, "null bands", start, 0, end)
    bands = {"": change_interval(*pools), "sampling_": sampling_band(hits[start], n[start], n[end], seed)}
    if fed_back:
        images, seen = run.config.images, [hits[g] for g in rows.index if g <= start]
        kept = getattr(run.config.policy_plugin(), "k", images)
        # A pool with unjudged images is a smaller one: its share of hits is what drifts.
        seen = [round(h * images / n[g]) for g, h in zip(rows.index, seen, strict=False) if n[g]]
        bands["drift_"] = drift_band(seen, images, kept, run.config.regime_plugin(), end - start, seed)
    for prefix, band in bands.items():
        values |= {f"{prefix}low": band.low, f"{prefix}high": band.high} if band else {}
    return values | {"reason": "" if fed_back else "not fed back: no drift band"}
