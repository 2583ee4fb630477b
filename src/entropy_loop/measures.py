"""What else is measured on a pool: diversity, noise and tails, beside those of generation 0.

Rows carry no chain: one measure stage is shared by every arm that made the same pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from entropy_loop import seeds
from entropy_loop.config import Config
from entropy_loop.data import MEASURES, Samples, Tick, columns
from entropy_loop.metrics import tails
from entropy_loop.metrics.coverage import SHARES, coverage
from entropy_loop.metrics.distance import distance
from entropy_loop.metrics.diversity import diversity
from entropy_loop.metrics.rates import Interval
from entropy_loop.metrics.resample import Family, another_pool, interval, means, same_model
from entropy_loop.regimes import neutral_diet

NONE, FIRST = "none", "generation0"  # references of a row
TABLES = ("diversity", "noise", "tails")
Row = dict[str, Any]


@dataclass(frozen=True)
class Look:
    """What was seen on the images of a pool, row by row as its table; None where nobody looked.

    embeddings: float32 (n, d). noise: one column per index. attributes: columns id, attribute, value, reason.
    """

    table: pd.DataFrame
    embeddings: np.ndarray | None
    noise: pd.DataFrame | None
    attributes: pd.DataFrame | None

    def of(self, prompt: str) -> Look:
        """The images of one prompt."""
        mine = (self.table["prompt"] == prompt).to_numpy()
        ids = set(self.table.loc[mine, "id"])
        return Look(
            self.table[mine],
            None if self.embeddings is None else self.embeddings[mine],
            None if self.noise is None else self.noise[mine],
            None if self.attributes is None else self.attributes[self.attributes["id"].isin(ids)],
        )


def look(pool: Samples, embedded: Path | None, read: Path | None) -> Look:
    """A pool with what lies in the folders of its embed and read stages."""
    return Look(
        pool.table[["id", "prompt"]],
        None if embedded is None else np.load(embedded / "embeddings.npy"),
        None if embedded is None else pd.read_parquet(embedded / "noise.parquet").drop(columns="id"),
        None if read is None else pd.read_parquet(read / "attributes.parquet"),
    )


def measure(config: Config, g: int, pool: Look, first: Look | None, out: Path, tick: Tick) -> None:
    """Writes measures.parquet (`data.MEASURES`). first: the look at generation 0, None in generation 0 itself."""
    rows = []
    for index, prompt in enumerate(config.prompts):
        mine, before = pool.of(prompt.text), first.of(prompt.text) if first else None
        seed = seeds.seed(config.seed, "measure", g, index)
        fed_back = prompt.role == "target"
        found = {
            "diversity": _diversity(mine.embeddings, before.embeddings if before else None, seed),
            "noise": _noise(mine.noise, before.noise if before else None),
            "tails": _tails(config, g if fed_back else 0, mine, before, seed),
        }
        rows += [{"table": name, "prompt": prompt.text} | row for name in TABLES for row in found[name]]
        tick((index + 1) / len(config.prompts))
    columns(pd.DataFrame(rows), MEASURES).to_parquet(out / "measures.parquet", index=False)


def _diversity(pool: np.ndarray | None, first: np.ndarray | None, seed: int) -> Iterator[Row]:
    if pool is None:
        return
    yield from _rows(NONE, diversity, (), {} if first is None else another_pool(diversity, first), pool)
    if first is None:
        return
    families: tuple[tuple[Family, tuple[str, ...]], ...] = ((distance, ()), (coverage, SHARES))
    for family, shares in families:
        yield from _rows(FIRST, family, shares, same_model(family, pool, first, seed), pool, first)


def _noise(pool: pd.DataFrame | None, first: pd.DataFrame | None) -> Iterator[Row]:
    if pool is not None:
        yield from _rows(NONE, means, (), {} if first is None else another_pool(means, first), pool)


def _rows(
    reference: str, family: Family, shares: tuple[str, ...], null: dict[str, Interval], *sets: Any
) -> Iterator[Row]:
    """One row per number of a family. null: its band without any change, from generation 0's model."""
    spans = interval(family, *sets, shares=shares)
    for name, value in family(*sets).items():
        row = {"reference": reference, "metric": name, "n": len(sets[0]), "value": value}
        yield row | _ends("", spans[name]) | _ends("null_", null.get(name))


def _ends(prefix: str, span: Interval | None) -> Row:
    return {f"{prefix}low": span.low, f"{prefix}high": span.high} if span else {}


def _tails(config: Config, steps: int, pool: Look, first: Look | None, seed: int) -> Iterator[Row]:
    """Shares of every value, corrected for misreading, and the entropy of every attribute; null: drift of a perfect
    copier from generation 0."""
    if pool.attributes is None:
        return
    known = config.reader_plugin().calibration()["attributes"]
    for name, wanted in config.attributes.items():
        values = known[name]["values"]
        counts, before = (_counts(look, name, values) for look in (pool, first))
        row = {"reference": FIRST if first else NONE, "metric": name, "n": int(counts.sum())}
        if not counts.any():
            yield row | {"reason": "no image could be read"}
            continue
        drawn, why = _drift(config, before, steps, seed)
        span = interval(partial(tails.variety, values=values), _labels(pool, name))["entropy"]
        band = _band(tails.entropy(drawn)) if drawn is not None else None
        told = {"item": "entropy", "value": float(tails.entropy(counts)), "reason": why}
        yield row | told | _ends("", span) | _ends("null_", band)
        confusion = np.array(known[name]["confusion"]["round_trip"])[: len(values), : len(values)]
        shares = tails.corrected_shares(counts, confusion, seed)
        for place, value in enumerate(values):
            if value in wanted:
                share = shares.iloc[place]
                band = _band(drawn[:, place] / drawn.sum(axis=1)) if drawn is not None else None
                told = {"item": value, "value": share["share"], "low": share["low"], "high": share["high"]}
                reasons = "; ".join(filter(None, (share["reason"], why)))
                yield row | told | _ends("null_", band) | {"reason": reasons}


def _labels(look: Look, attribute: str) -> pd.Series:
    read = look.attributes
    return (
        pd.Series(dtype=str)
        if read is None
        else read.loc[read["attribute"] == attribute, "value"].reset_index(drop=True)
    )


def _counts(look: Look | None, attribute: str, values: list[str]) -> np.ndarray:
    return np.zeros(len(values), dtype=int) if look is None else tails.count(_labels(look, attribute), values)


def _drift(config: Config, first: np.ndarray, steps: int, seed: int) -> tuple[np.ndarray | None, str]:
    """(counts (replicates, values) after `steps` of neutral drift from generation 0's counts, why there are none)."""
    regime = config.regime_plugin()
    if not first.any():
        return None, ""
    if config.train.method == "none" or steps == 0:
        return tails.other_pools(first, seed), ""
    if regime.real_fraction or regime.subsamples:
        return None, "no drift band: this regime's null is not simulated for attributes"
    kept = min(config.policy_plugin().most_kept(config.images), int(first.sum()))
    return tails.drift([first], kept, neutral_diet(regime, kept, None), steps, seed)[-1], ""


def _band(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))
