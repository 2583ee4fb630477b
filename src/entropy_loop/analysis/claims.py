"""Rows of summary.csv: what holds across chains, and what can be claimed against drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from entropy_loop.analysis.people import PEOPLE
from entropy_loop.analysis.rows import Row
from entropy_loop.data import ALL, POOL, REAL
from entropy_loop.measuring.null_model import Still, Unknown, judged_images, null_model, real_rate
from entropy_loop.metrics.chains import Claim, change_rates, claim, describe, drift_null, holm, slopes
from entropy_loop.metrics.nulls import Drift, pooled
from entropy_loop.plan import Plan
from entropy_loop.study.arms import random_control
from entropy_loop.study.config import Config

UNKNOWN = "no claim: how much is fed back is known only when it runs, or real images are not judged yet"
# The primary outcome comes first: c from 0 to last (of `all`, the first concept of every prompt).
STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"change_rate": change_rates, "slope": slopes}


@dataclass(frozen=True)
class _Arm:
    """An arm with the rates of one prompt, concept and judge, float (chains, generations + 1), NaN where missing."""

    name: str
    config: Config
    rates: np.ndarray


@dataclass(frozen=True)
class _Group:
    """Arms that start from one generation 0, with rates (replicates, chains, generations + 1) of neutral chains.

    drift: by arm, of a perfect copier under its regime, where the config tells how much is kept. sampling: of all of
    them, regenerated from one model.
    """

    arms: list[_Arm]
    drift: dict[str, np.ndarray]
    sampling: np.ndarray


def claims(plan: Plan, rates: pd.DataFrame) -> Iterator[Row]:
    """Per prompt and judge: every statistic of every arm and of every pair, Holm-adjusted over the concepts, then the
    rates themselves. `rates` as in rates.csv.

    The bands of a rate are where the mean V over the chains would lie: V of generation 0 times 1 - c, over the band
    of c from 0 to that generation.
    """
    for (prompt, role, judge), rows in rates.groupby(["prompt", "role", "judge"], sort=False):
        where = {"prompt": prompt, "role": role, "judge": judge}
        concepts = sorted(rows["concept"].unique(), key=lambda name: name != ALL)
        groups = {c: list(_groups(plan, rows[rows["concept"] == c], role == "target")) for c in concepts}
        found = [row | {"concept": c} for c in concepts for group in groups[c] for row in _claims_of(group)]
        yield from (where | row for row in _adjusted(found))
        for concept in concepts:
            yield from (where | row | {"concept": concept} for group in groups[concept] for row in _rates_of(group))


def _arms(plan: Plan, rows: pd.DataFrame) -> list[_Arm]:
    pools = rows[rows["set"] == POOL].set_index(["run", "generation"])["rate"]
    found = []
    for name, runs in groupby(plan.chains, key=lambda chain: chain.arm):
        chains = list(runs)
        values = [[pools.get((chain.name, g.number), np.nan) for g in chain.generations] for chain in chains]
        found.append(_Arm(name, chains[0].config, np.array(values, dtype=float)))
    return [arm for arm in found if not np.isnan(arm.rates).all()]


def _groups(plan: Plan, rows: pd.DataFrame, fed_back: bool) -> Iterator[_Group]:
    """The arms that have rates, by the generation 0 that they share, with their nulls."""
    for _, members in groupby(sorted(_arms(plan, rows), key=_start), key=_start):
        group = list(members)
        first, images, steps = group[0].rates[:, 0], _images(group[0], fed_back), group[0].config.generations
        drifts = {arm.name: drift for arm in group if (drift := _drift(arm, rows, fed_back))}
        still, judged = {"": _still(group[0], images)}, _judged(rows, images)
        sampling = drift_null(first, images, still, steps, seed=0, judged=judged)[""]
        yield _Group(group, drift_null(first, images, drifts, steps, seed=0, judged=judged), sampling)


def _claims_of(group: _Group) -> Iterator[Row]:
    """The claims on one concept: arms that start from one generation 0 are compared with each other."""
    for statistic, of in STATISTICS.items():
        for arm in group.arms:
            told = {"arm": arm.name, "generation": arm.config.generations, "statistic": statistic}
            values, null = of(arm.rates), group.drift.get(arm.name)
            by_chance = claim(values, of(group.sampling))
            bands = {"sampling_low": by_chance.null_low, "sampling_high": by_chance.null_high}
            yield told | {"against": ""} | _tell(values, None if null is None else of(null)) | bands
            for other in _against(arm, group.arms):
                theirs = group.drift.get(other.name)
                difference = None if null is None or theirs is None else of(null) - of(theirs)
                yield told | {"against": other.name} | _tell(values - of(other.rates), difference)


def _rates_of(group: _Group) -> Iterator[Row]:
    for arm in group.arms:
        for g, values in enumerate(arm.rates.T):
            told = {"arm": arm.name, "against": "", "generation": g, "statistic": "rate", "reason": ""}
            bands = {"sampling": group.sampling}
            bands |= {"null": group.drift[arm.name]} if arm.name in group.drift else {}
            upto = {name: _in_units_of_v(arm.rates[:, : g + 1], null[..., : g + 1]) for name, null in bands.items()}
            ends = {f"{name}_{end}": value for name, band in upto.items() for end, value in band.items()}
            yield told | asdict(describe(values)) | ends


def _in_units_of_v(rates: np.ndarray, null: np.ndarray) -> dict[str, float | None]:
    """The band of c from the first to the last of these generations as one of V, in [0, 1]."""
    values = change_rates(rates)
    band = claim(values, change_rates(null))
    if band.null_low is None or band.null_high is None:
        return {"low": None, "high": None}
    first = rates[~np.isnan(values), 0].mean()
    return {"low": float(max(0.0, first * (1 - band.null_high))), "high": float(min(1.0, first * (1 - band.null_low)))}


def _start(arm: _Arm) -> str:
    """What arms must have in common to be compared seed by seed."""
    config = arm.config
    sizes = config.images, config.measured_images, config.generations
    return repr((config.generator, config.pool_prompts(), sizes, config.judges, config.concepts, arm.rates.shape))


def _tell(values: np.ndarray, null: np.ndarray | None) -> Row:
    unknown = Claim(None, None, None, UNKNOWN)
    return asdict(describe(values)) | asdict(unknown if null is None else claim(values, null))


def _against(arm: _Arm, group: list[_Arm]) -> list[_Arm]:
    """The study's first arm, and for an arm that selects its random control: the partners of a paired claim."""
    control = random_control(arm.config)
    partners = [o for o in group if o is group[0] or (control and o.config == control)]
    return [other for other in partners if other is not arm]


def _drift(arm: _Arm, rows: pd.DataFrame, fed_back: bool) -> Drift | None:
    """How the arm's rates drift when the model copies perfectly; where nothing is fed back, the rate stays. None where
    the config does not tell how much is fed back, or its real images have not been judged."""
    real = rows[(rows["set"] == REAL) & (rows["arm"] == arm.name)]
    null = null_model(arm.config, arm.config.images, real_rate(real), fed_back)
    if isinstance(null, Still):
        return _still(arm, _images(arm, fed_back))
    return None if isinstance(null, Unknown) else null


def _still(arm: _Arm, images: int) -> Drift:
    """No drift: every pool is drawn at the rate of generation 0."""
    judged = arm.rates[np.isfinite(arm.rates[:, 0]), 0]
    rate = pooled(float(judged.sum()) * images, len(judged) * images)
    return Drift(images, lambda kept, rng: np.full(len(kept[-1]), rate))


def _judged(rows: pd.DataFrame, images: int) -> int | None:
    """Of how many images of a pool the answers are, over all chains and generations of the arms."""
    pools = rows.loc[(rows["set"] == POOL) & (rows["n"] > 0), "n"]
    return judged_images(pools, images, people=rows["judge"].iloc[0] == PEOPLE)


def _images(arm: _Arm, fed_back: bool) -> int:
    return arm.config.images if fed_back else arm.config.measured_images


def _adjusted(rows: list[Row]) -> Iterator[Row]:
    """Holm over the concepts of one arm, partner and statistic; claims on different statistics stand alone."""
    families: dict[tuple[object, ...], list[float | None]] = {}
    for row in rows:
        p = row["p"]
        families.setdefault(_family(row), []).append(p if isinstance(p, float) else None)
    # Once per family: statsmodels collects garbage, of the whole process, in every call.
    adjusted = {family: iter(holm(ps)) for family, ps in families.items()}
    for row in rows:
        yield row | {"p_adjusted": next(adjusted[_family(row)])}


def _family(row: Row) -> tuple[object, ...]:
    return row["arm"], row["against"], row["statistic"]
