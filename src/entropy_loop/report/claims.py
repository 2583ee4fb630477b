"""Rows of summary.csv: what holds across chains, and what can be claimed against drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from entropy_loop.arms import random_control
from entropy_loop.config import Config
from entropy_loop.data import ALL, POOL, REAL
from entropy_loop.metrics.chains import Drift, change_rates, claim, describe, drift_null, holm, slopes
from entropy_loop.metrics.nulls import pooled
from entropy_loop.plan import Plan
from entropy_loop.regimes import neutral_diet

# The primary outcome comes first: c from 0 to last (of `all`, the first concept of every prompt).
STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"change_rate": change_rates, "slope": slopes}


@dataclass(frozen=True)
class _Arm:
    """An arm with the rates of one prompt, concept and judge, float (chains, generations + 1), NaN where missing."""

    name: str
    config: Config
    rates: np.ndarray


def claims(plan: Plan, rates: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Per prompt and judge: every statistic of every arm and of every pair, Holm-adjusted over the concepts, then the
    rates themselves. `rates` as in rates.csv."""
    for (prompt, role, judge), rows in rates.groupby(["prompt", "role", "judge"], sort=False):
        where = {"prompt": prompt, "role": role, "judge": judge}
        fed_back = role == "target"
        concepts = sorted(rows["concept"].unique(), key=lambda name: name != ALL)
        tables = {c: rows[rows["concept"] == c] for c in concepts}
        found = [row | {"concept": c} for c in concepts for row in _claims_of(plan, tables[c], fed_back)]
        yield from (where | row for row in _adjusted(found))
        for concept in concepts:
            for arm in _arms(plan, tables[concept]):
                for g, values in enumerate(arm.rates.T):
                    told = {"arm": arm.name, "against": "", "generation": g, "concept": concept, "statistic": "rate"}
                    yield where | told | asdict(describe(values)) | {"reason": ""}


def _arms(plan: Plan, rows: pd.DataFrame) -> list[_Arm]:
    pools = rows[rows["set"] == POOL].set_index(["run", "generation"])["rate"]
    found = []
    for name, runs in groupby(plan.runs, key=lambda run: run.arm):
        chains = list(runs)
        values = [[pools.get((run.name, g.number), np.nan) for g in run.generations] for run in chains]
        found.append(_Arm(name, chains[0].config, np.array(values, dtype=float)))
    return [arm for arm in found if not np.isnan(arm.rates).all()]


def _claims_of(plan: Plan, rows: pd.DataFrame, fed_back: bool) -> Iterator[dict[str, Any]]:
    """The claims on one concept: arms that start from one generation 0 are compared with each other."""
    for _, members in groupby(sorted(_arms(plan, rows), key=_start), key=_start):
        group = list(members)
        first = group[0]
        null = drift_null(
            first.rates[:, 0], _images(first, fed_back), {arm.name: _drift(arm, rows, fed_back) for arm in group},
            steps=first.config.generations, seed=0,
        )  # fmt: skip
        for statistic, of in STATISTICS.items():
            for arm in group:
                told = {"arm": arm.name, "generation": arm.config.generations, "statistic": statistic}
                yield told | {"against": ""} | _tell(of(arm.rates), of(null[arm.name]))
                for other in _against(arm, group):
                    values = of(arm.rates) - of(other.rates)
                    yield told | {"against": other.name} | _tell(values, of(null[arm.name]) - of(null[other.name]))


def _start(arm: _Arm) -> str:
    """What arms must have in common to be compared seed by seed."""
    config = arm.config
    return repr((config.generator, config.images, config.generations, arm.rates.shape))


def _tell(values: np.ndarray, null: np.ndarray) -> dict[str, Any]:
    return asdict(describe(values)) | asdict(claim(values, null))


def _against(arm: _Arm, group: list[_Arm]) -> list[_Arm]:
    """The study's first arm, and for an arm that selects its random control: the partners of a paired claim."""
    control = random_control(arm.config)
    partners = [o for o in group if o is group[0] or (control and o.config == control)]
    return [other for other in partners if other is not arm]


def _drift(arm: _Arm, rows: pd.DataFrame, fed_back: bool) -> Drift:
    """How the arm's rates drift when the model copies perfectly; where nothing is fed back, the rate stays."""
    config, images = arm.config, _images(arm, fed_back)
    if config.train.method == "none" or not fed_back:
        judged = arm.rates[np.isfinite(arm.rates[:, 0]), 0]
        still = pooled(float(judged.sum()) * images, len(judged) * images)
        return Drift(images, lambda kept, rng: np.full(len(kept[-1]), still))
    real = rows[(rows["set"] == REAL) & (rows["arm"] == arm.name)]
    kept, n = config.policy_plugin().most_kept(images), int(real["n"].sum())
    return Drift(kept, neutral_diet(config.regime_plugin(), kept, real["hits"].sum() / n if n else None))


def _images(arm: _Arm, fed_back: bool) -> int:
    return arm.config.images if fed_back else arm.config.measured_images


def _adjusted(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Holm over the concepts of one arm, partner and statistic; claims on different statistics stand alone."""
    for row in rows:
        same = [other for other in rows if all(other[k] == row[k] for k in ("arm", "against", "statistic"))]
        yield row | {"p_adjusted": holm([other["p"] for other in same])[same.index(row)]}
