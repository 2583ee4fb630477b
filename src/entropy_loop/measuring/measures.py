"""Diversity, noise and tails of a pool, compared with generation 0 and real images.

Rows have no chain, because all arms with the same pool share one measure stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from entropy_loop import seeds
from entropy_loop.data import MEASURES, Tick, columns
from entropy_loop.measuring.inputs import Inputs, Observations
from entropy_loop.measuring.null_model import NullModel, Still, Unknown, null_model
from entropy_loop.metrics import tails
from entropy_loop.metrics.copying import copied
from entropy_loop.metrics.coverage import SHARES, coverage
from entropy_loop.metrics.distance import distance
from entropy_loop.metrics.diversity import diversity
from entropy_loop.metrics.rates import Interval
from entropy_loop.metrics.resample import Family, Set, another_pool, interval, means, same_model, standard_error
from entropy_loop.study.config import Config

NONE, FIRST, REAL, DIET = "none", "generation0", "real", "diet"  # values of the column `reference`
TABLES = ("diversity", "noise", "tails")
DRIFTED = 200  # replicates of drift for diversity
COMPARISONS: tuple[tuple[Family, tuple[str, ...]], ...] = ((distance, ()), (coverage, SHARES))
"""Families of numbers on two sets, and the names of those that are shares of images."""
Row = dict[str, object]
"""Column -> cell of measures.parquet."""
Numbers = dict[str, float]
"""The columns of an interval or of a null."""


def measure(config: Config, g: int, inputs: Inputs, out: Path, tick: Tick) -> None:
    """Write measures.parquet (`data.MEASURES`).

    The column `reference` says what the number or its band compares the pool with: generation 0's pool, held-out real
    images, or the diet of its model (`copied`, see `metrics.copying`). Numbers of one set alone (Vendi score, noise,
    attributes) have `generation0` or `none`. In generation 0 their rows with `real` are numbers of the real images
    themselves, with the band of another set of the same size: where a pool lies that has lost nothing.
    """
    rows = []
    prompts = config.pool_prompts()
    for index, prompt in enumerate(prompts):
        own, withheld = inputs.of(prompt.text), inputs.withheld.get(prompt.text, "")
        if own.pool.table.empty:
            continue  # a safety checker withheld every image
        seed = seeds.seed(config.seed, "measure", g, index)
        steps = g if prompt.role == "target" else 0
        tables = {
            "diversity": [*_diversity(config, steps, own, withheld, seed), *(_copying(own, withheld) if g else ())],
            "noise": _noise(own),
            "tails": _tails(config, steps, own, withheld, seed),
        }
        rows += [{"table": name, "prompt": prompt.text} | row for name in TABLES for row in tables[name]]
        tick((index + 1) / len(prompts))
    columns(pd.DataFrame(rows), MEASURES).to_parquet(out / "measures.parquet", index=False)


def _diversity(config: Config, steps: int, inputs: Inputs, withheld: str, seed: int) -> Iterator[Row]:
    """withheld: why real images are missing that the pool should be compared with; empty if none are missing."""
    pool, first, real = (
        observed.embeddings if observed else None for observed in (inputs.pool, inputs.first, inputs.held_out)
    )
    if pool is None:
        return
    yield from _alone(diversity, pool, first, real, _drifted(config, steps, first, seed))
    for reference, other in ((FIRST, first), (REAL, real)):
        for family, shares in COMPARISONS:
            if other is not None:
                null = {name: _ends("null_", band) for name, band in same_model(family, pool, other, seed).items()}
                yield from _rows(reference, family, shares, null, pool, other)
            elif reference == REAL and withheld:
                missing = {"reference": reference, "n": len(pool), "reason": withheld}
                yield from ({"metric": name} | missing for name in family(pool, pool))


def _copying(inputs: Inputs, withheld: str) -> Iterator[Row]:
    """The share of pool images that are nearer to their diet than 95 % of the held-out real images."""
    pool, diet, real = (
        observed.embeddings if observed else None for observed in (inputs.pool, inputs.diet, inputs.held_out)
    )
    if pool is None:
        return
    row = {"reference": DIET, "metric": "copied", "n": len(pool)}
    if diet is None or len(diet) == 0:
        yield row | {"reason": "no image of this prompt was trained on"}
    elif real is None:
        yield row | {"reason": withheld or "no real images: the config has no `real`"}
    elif share := copied(pool, diet, real):
        yield row | {"value": share.hits / share.n} | _ends("", share.interval) | _ends("null_", share.null)
    else:
        yield row | {"reason": "too few images"}


def _noise(inputs: Inputs) -> Iterator[Row]:
    pool, first, real = (
        observed.noise if observed else None for observed in (inputs.pool, inputs.first, inputs.held_out)
    )
    if pool is not None:
        yield from _alone(means, pool, first, real, None if first is None else _same(means, first))


def _alone(
    family: Family, pool: Set, first: Set | None, real: Set | None, null: dict[str, Numbers] | None
) -> Iterator[Row]:
    """Numbers of the pool alone, with their null. In generation 0 (no `first`) also those of the real images."""
    yield from _rows(NONE, family, (), null or {}, pool)
    if first is None and real is not None:
        yield from _rows(REAL, family, (), _same(family, real), real)


def _same(family: Family, images: Set) -> dict[str, Numbers]:
    """The null's columns: the numbers in another set of the same size from the same model."""
    values, n = family(images), len(images)
    return {
        name: _ends("null_", band) | {"null_mean": values[name], "null_sd": standard_error(band, n)}
        for name, band in another_pool(family, images).items()
    }


def _drifted(config: Config, steps: int, first: np.ndarray | None, seed: int) -> dict[str, Numbers] | None:
    """The null of diversity after neutral drift, in which each image of generation 0 is copied or lost by chance.

    The band's upper end is at least that of another pool of generation 0's model, because a model that does not repeat
    images to the pixel is more diverse than one that does.
    """
    if first is None:
        return None
    still, counts = _same(diversity, first), np.ones(len(first), int)
    null = _null(config, counts, steps)
    if isinstance(null, Still):
        return still
    if isinstance(null, Unknown):
        return {}
    pools = tails.drift([counts], null, steps, seed, DRIFTED)[-1]
    replicates = [diversity(np.repeat(first, copies, axis=0)) for copies in pools]
    drifted = {name: _spread(np.array([numbers[name] for numbers in replicates])) for name in still}
    return {name: row | {"null_high": max(row["null_high"], still[name]["null_high"])} for name, row in drifted.items()}


def _rows(
    reference: str, family: Family, shares: Collection[str], null: Mapping[str, Numbers], *sets: Set
) -> Iterator[Row]:
    """One row per number of a family. null: name of the number -> the null's columns."""
    spans = interval(family, *sets, shares=shares)
    for name, value in family(*sets).items():
        row = {"reference": reference, "metric": name, "n": len(sets[0]), "value": value}
        reason = {"reason": "undefined for these images"} if math.isnan(value) else {}
        yield row | _ends("", spans[name]) | null.get(name, {}) | reason


def _ends(prefix: str, span: Interval | None) -> Numbers:
    return {f"{prefix}low": span.low, f"{prefix}high": span.high} if span else {}


@dataclass(frozen=True)
class _Attribute:
    """An attribute, all values that its reader knows, and those that the config names."""

    name: str
    values: list[str]
    wanted: tuple[str, ...]

    def labels(self, observed: Observations) -> pd.Series[str]:
        read = observed.attributes
        labels = pd.Series(dtype=str) if read is None else read.loc[read["attribute"] == self.name, "value"]
        return labels.reset_index(drop=True)

    def counts(self, observed: Observations | None) -> np.ndarray:
        return np.zeros(len(self.values), int) if observed is None else tails.count(self.labels(observed), self.values)


class _Counts(NamedTuple):
    """The null's counts (replicates, values), or why there are none."""

    counts: np.ndarray | None
    why: str = ""

    def band(self, number: Callable[[np.ndarray], np.ndarray]) -> Numbers:
        return {} if self.counts is None else _spread(number(self.counts))


def _tails(config: Config, steps: int, inputs: Inputs, withheld: str, seed: int) -> Iterator[Row]:
    """The rows of every attribute. The null is the drift of a perfect copier from generation 0."""
    if inputs.pool.attributes is None:
        return
    known = config.reader_plugin().attributes()
    for name, wanted in config.attributes.items():
        attribute = _Attribute(name, known[name]["values"], wanted)
        clean, decoded = (np.array(known[name]["confusion"][version]) for version in ("clean", "round_trip"))
        null = _drift(config, attribute.counts(inputs.first), steps, seed)
        for row in _shares(attribute, inputs.pool, decoded, null, seed):
            yield {"reference": FIRST if inputs.first else NONE, "metric": name} | row
        if inputs.first is None and inputs.held_out:
            null = _another(attribute.counts(inputs.held_out), seed)
            for row in _shares(attribute, inputs.held_out, clean, null, seed):
                yield {"reference": REAL, "metric": name} | row
        elif inputs.first is None and withheld:
            yield {"reference": REAL, "metric": name, "n": 0, "reason": withheld}


def _shares(
    attribute: _Attribute, observed: Observations, confusion: np.ndarray, null: _Counts, seed: int
) -> Iterator[Row]:
    """The entropy of an attribute in an image set, the number of wanted values that occur in it (as read, without
    interval: see `resample.interval`), and the share of each wanted value, corrected for misreading."""
    values, counts = attribute.values, attribute.counts(observed)
    row = {"n": int(counts.sum())}
    if not counts.any():
        yield row | {"reason": "no image could be read"}
        return
    span = interval(partial(tails.variety, values=values), attribute.labels(observed))["entropy"]
    entropy = {"item": "entropy", "value": float(tails.entropy(counts)), "reason": null.why}
    yield row | entropy | _ends("", span) | null.band(tails.entropy)
    alive = partial(tails.survivors, among=np.isin(values, attribute.wanted))
    yield row | {"item": "survivors", "value": int(alive(counts)), "reason": null.why} | null.band(alive)
    shares = tails.corrected_shares(counts, confusion[: len(values), : len(values)], seed)
    for place, value in enumerate(values):
        if value in attribute.wanted:
            share = shares.iloc[place]
            estimate = {"item": value, "value": share["share"], "low": share["low"], "high": share["high"]}
            reasons = "; ".join(filter(None, (share["reason"], null.why)))
            yield row | estimate | null.band(partial(_share, place)) | {"reason": reasons}


def _share(place: int, counts: np.ndarray) -> np.ndarray:
    return counts[:, place] / counts.sum(axis=1)


def _drift(config: Config, first: np.ndarray, steps: int, seed: int) -> _Counts:
    """Counts after `steps` of neutral drift from generation 0's, with the arm's policy and regime."""
    null = _null(config, first, steps)
    if isinstance(null, Still):
        return _another(first, seed)
    if isinstance(null, Unknown):
        return _Counts(None, f"no drift band: {null.why}")
    return _Counts(tails.drift([first], null, steps, seed)[-1])


def _null(config: Config, first: np.ndarray, steps: int) -> NullModel:
    """The null model, with real images like generation 0's: the effect of other real images is change, not drift."""
    n = int(first.sum())
    return null_model(config, n, first / n, fed_back=steps > 0) if n else Still()


def _another(counts: np.ndarray, seed: int) -> _Counts:
    """Counts of other pools from the same model; none without images."""
    return _Counts(tails.other_pools(counts, seed) if counts.any() else None)


def _spread(values: np.ndarray) -> Numbers:
    """The null's columns from replicates (replicates,) of a number."""
    low, high = np.quantile(values, (0.025, 0.975)).tolist()
    return _ends("null_", Interval(low, high)) | {"null_mean": float(values.mean()), "null_sd": float(values.std())}
