"""Rows of changes.csv: c from pool to pool within one chain, with its interval and both null bands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pandas as pd

from entropy_loop import seeds
from entropy_loop.config import Config
from entropy_loop.data import POOL, REAL
from entropy_loop.metrics.change import change_interval, change_rate
from entropy_loop.metrics.nulls import Diet, drift_band, sampling_band
from entropy_loop.plan import Run
from entropy_loop.regimes import neutral_diet
from entropy_loop.report.people import PEOPLE


def changes(run: Run, rates: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """c between consecutive generations and from 0 to the last one there is; `rates` as in rates.csv."""
    mine, by = rates[rates["run"] == run.name], ["prompt", "role", "concept", "judge"]
    real = dict(iter(mine[mine["set"] == REAL].groupby(by)))
    for key, rows in mine[mine["set"] == POOL].groupby(by, sort=False):
        rows = rows.set_index("generation").sort_index()
        steps = list(pairwise(rows.index))
        if len(rows) > 2:
            steps.append((rows.index[0], rows.index[-1]))
        what = {"run": run.name, "arm": run.arm, "seed": run.config.seed, **dict(zip(by, key, strict=True))}
        diet = neutral(run.config, real.get(key)) if what["role"] == "target" else None
        for start, end in steps:
            yield what | {"from_generation": start, "to_generation": end} | _change(run.config, rows, start, end, diet)


def neutral(config: Config, real: pd.DataFrame | None) -> Diet | None:
    """The arm's regime as the drift null sees it, real images at the rate at which they were recognised; None
    where nothing is trained, where how much is kept is not known beforehand, and where the real images have not been
    judged."""
    regime, policy = config.regime_plugin(), config.policy_plugin()
    judged = 0 if real is None else int(real["n"].sum())
    if config.train.method == "none" or config.size_unknown() or (regime.real_fraction and not judged):
        return None
    rate = None if real is None else int(real["hits"].sum()) / judged
    return neutral_diet(regime, policy.most_kept(config.images), rate)


def _change(config: Config, rows: pd.DataFrame, start: int, end: int, diet: Diet | None) -> dict[str, Any]:
    # People's hits are sums of shares: the nearest whole number of images stands for them.
    hits, n = (dict(zip(rows.index, rows[name].round().astype(int), strict=True)) for name in ("hits", "n"))
    pools = hits[start], n[start], hits[end], n[end]
    change = change_rate(*pools)
    values = {"v1": rows.at[start, "rate"], "v2": rows.at[end, "rate"], "change_rate": change}
    if change is None:
        return values | {"reason": "undefined: V1 = 0" if n[start] and n[end] else "undefined: nothing was judged"}
    seed = seeds.seed(config.seed, "null bands", start, 0, end)
    bands = {"": change_interval(*pools), "sampling_": sampling_band(hits[start], n[start], n[end], seed)}
    if diet:
        # A pool with unjudged images is a smaller one: its share of hits is what drifts.
        seen = [round(hits[g] * config.images / n[g]) for g in rows.index if g <= start and n[g]]
        policy = config.policy_plugin()
        kept = policy.most_kept(config.images)
        looked = min(config.images, n[start], n[end])
        judged = None if looked == config.images and rows["judge"].iloc[0] != PEOPLE else looked
        bands["drift_"] = drift_band(seen, config.images, kept, diet, end - start, seed, policy.repeats, judged)
    for prefix, band in bands.items():
        values |= {f"{prefix}low": band.low, f"{prefix}high": band.high} if band else {}
    why = config.size_unknown() or "nothing is fed back"
    return values | {"reason": "" if diet else f"{why}: no drift band"}
