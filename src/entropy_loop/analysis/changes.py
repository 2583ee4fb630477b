"""Rows of changes.csv: c between two pools of one chain, with its interval and both null bands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pandas as pd

from entropy_loop import seeds
from entropy_loop.analysis.people import PEOPLE
from entropy_loop.analysis.rows import Row
from entropy_loop.data import POOL, REAL
from entropy_loop.measuring.null_model import NullModel, judged_images, null_model, real_rate
from entropy_loop.metrics.change import change_interval, change_rate
from entropy_loop.metrics.nulls import Drift, drift_band, sampling_band
from entropy_loop.plan import Chain
from entropy_loop.study.config import Config


def changes(chain: Chain, rates: pd.DataFrame) -> Iterator[Row]:
    """c between consecutive generations, and from generation 0 to the last one; `rates` as in rates.csv."""
    rates, by = rates[rates["run"] == chain.name], ["prompt", "role", "concept", "judge"]
    real = dict(iter(rates[rates["set"] == REAL].groupby(by)))
    for key, rows in rates[rates["set"] == POOL].groupby(by, sort=False):
        rows = rows.set_index("generation").sort_index()
        steps = list(pairwise(rows.index))
        if len(rows) > 2:
            steps.append((rows.index[0], rows.index[-1]))
        place = {"run": chain.name, "arm": chain.arm, "seed": chain.config.seed, **dict(zip(by, key, strict=True))}
        rate = real_rate(real.get(key, rates.head(0)))
        null = null_model(chain.config, chain.config.images, rate, fed_back=place["role"] == "target")
        for start, end in steps:
            step = {"from_generation": start, "to_generation": end}
            yield place | step | _change(chain.config, rows, start, end, null)


def _change(config: Config, rows: pd.DataFrame, start: int, end: int, null: NullModel) -> Row:
    # The hits of people are sums of shares, rounded here to whole images.
    hits, n = (dict(zip(rows.index, rows[name].round().astype(int), strict=True)) for name in ("hits", "n"))
    pools = hits[start], n[start], hits[end], n[end]
    change = change_rate(*pools)
    row: Row = {"v1": rows.at[start, "rate"], "v2": rows.at[end, "rate"], "change_rate": change}
    if change is None:
        return row | {"reason": "undefined: V1 = 0" if n[start] and n[end] else "undefined: nothing was judged"}
    seed = seeds.seed(config.seed, "null bands", start, 0, end)
    bands = {"": change_interval(*pools), "sampling_": sampling_band(hits[start], n[start], n[end], seed)}
    if isinstance(null, Drift):
        # Where some images of a pool were not judged, the share among the judged ones stands for the whole pool.
        history = [round(hits[g] * config.images / n[g]) for g in rows.index if g <= start and n[g]]
        judged = judged_images((n[start], n[end]), config.images, people=rows["judge"].iloc[0] == PEOPLE)
        bands["drift_"] = drift_band(history, config.images, null, end - start, seed, judged)
    for prefix, band in bands.items():
        row |= {f"{prefix}low": band.low, f"{prefix}high": band.high} if band else {}
    return row | {"reason": "" if isinstance(null, Drift) else f"{null.why}: no drift band"}
