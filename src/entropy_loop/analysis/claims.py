"""Rows of summary.csv: statistics over the chains of an arm, and their tests against drift."""

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
# The primary outcome comes first: c from generation 0 to the last.
STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"change_rate": change_rates, "slope": slopes}


@dataclass(frozen=True)
class _Arm:
    """An arm. rates: of one prompt, concept and judge, float (chains, generations + 1), NaN where missing."""

    name: str
    config: Config
    rates: np.ndarray


@dataclass(frozen=True)
class _Group:
    """Arms that share generation 0, with simulated rates (replicates, chains, generations + 1).

    drift: arm -> rates of a perfect copier under its regime; only arms whose config fixes how much is kept. sampling:
    rates if every pool came from one model.
    """

    arms: list[_Arm]
    drift: dict[str, np.ndarray]
    sampling: np.ndarray


def claims(plan: Plan, rates: pd.DataFrame) -> Iterator[Row]:
    """Per prompt and judge: every statistic of every arm and pair of arms, Holm-adjusted over the concepts, then the
    mean rates. `rates` as in rates.csv.

    The band of a mean rate is V of generation 0 times 1 - c, with c at the ends of its band from 0 to that generation.
    """
    for (prompt, role, judge), rows in rates.groupby(["prompt", "role", "judge"], sort=False):
        place = {"prompt": prompt, "role": role, "judge": judge}
        concepts = sorted(rows["concept"].unique(), key=lambda name: name != ALL)
        groups = {c: list(_groups(plan, rows[rows["concept"] == c], role == "target")) for c in concepts}
        claim_rows = [row | {"concept": c} for c in concepts for group in groups[c] for row in _claim_rows(group)]
        yield from (place | row for row in _adjusted(claim_rows))
        for concept in concepts:
            yield from (place | row | {"concept": concept} for group in groups[concept] for row in _rate_rows(group))


def _arms(plan: Plan, rows: pd.DataFrame) -> list[_Arm]:
    pools = rows[rows["set"] == POOL].set_index(["run", "generation"])["rate"]
    arms = []
    for name, group in groupby(plan.chains, key=lambda chain: chain.arm):
        chains = list(group)
        values = [[pools.get((chain.name, g.number), np.nan) for g in chain.generations] for chain in chains]
        arms.append(_Arm(name, chains[0].config, np.array(values, dtype=float)))
    return [arm for arm in arms if not np.isnan(arm.rates).all()]


def _groups(plan: Plan, rows: pd.DataFrame, fed_back: bool) -> Iterator[_Group]:
    """The arms that have rates, grouped by the generation 0 that they share, with their nulls."""
    for _, members in groupby(sorted(_arms(plan, rows), key=_comparable), key=_comparable):
        group = list(members)
        first, images, steps = group[0].rates[:, 0], _images(group[0], fed_back), group[0].config.generations
        drifts = {arm.name: drift for arm in group if (drift := _drift(arm, rows, fed_back))}
        still, judged = {"": _still(group[0], images)}, _judged(rows, images)
        sampling = drift_null(first, images, still, steps, seed=0, judged=judged)[""]
        yield _Group(group, drift_null(first, images, drifts, steps, seed=0, judged=judged), sampling)


def _claim_rows(group: _Group) -> Iterator[Row]:
    """The claims on one concept: of every arm, and of every arm against its partners."""
    for statistic, compute in STATISTICS.items():
        for arm in group.arms:
            place = {"arm": arm.name, "generation": arm.config.generations, "statistic": statistic}
            values, null = compute(arm.rates), group.drift.get(arm.name)
            by_chance = claim(values, compute(group.sampling))
            bands = {"sampling_low": by_chance.null_low, "sampling_high": by_chance.null_high}
            yield place | {"against": ""} | _claim(values, None if null is None else compute(null)) | bands
            for partner in _partners(arm, group.arms):
                other_null = group.drift.get(partner.name)
                difference = None if null is None or other_null is None else compute(null) - compute(other_null)
                yield place | {"against": partner.name} | _claim(values - compute(partner.rates), difference)


def _rate_rows(group: _Group) -> Iterator[Row]:
    for arm in group.arms:
        for g, values in enumerate(arm.rates.T):
            place = {"arm": arm.name, "against": "", "generation": g, "statistic": "rate", "reason": ""}
            row: Row = place | asdict(describe(values))
            nulls = {"sampling": group.sampling, "null": group.drift.get(arm.name)}
            for name, null in nulls.items():
                if null is not None:
                    band = _band_of_v(arm.rates[:, : g + 1], null[..., : g + 1])
                    row |= {f"{name}_{end}": value for end, value in band.items()}
            yield row


def _band_of_v(rates: np.ndarray, null: np.ndarray) -> dict[str, float | None]:
    """The band of V, within [0, 1], from the band of c between the first and the last of these generations."""
    values = change_rates(rates)
    band = claim(values, change_rates(null))
    if band.null_low is None or band.null_high is None:
        return {"low": None, "high": None}
    first = rates[~np.isnan(values), 0].mean()
    return {"low": float(max(0.0, first * (1 - band.null_high))), "high": float(min(1.0, first * (1 - band.null_low)))}


def _comparable(arm: _Arm) -> str:
    """Equal for arms that can be compared seed by seed."""
    config = arm.config
    sizes = config.images, config.measured_images, config.generations
    return repr((config.generator, config.pool_prompts(), sizes, config.judges, config.concepts, arm.rates.shape))


def _claim(values: np.ndarray, null: np.ndarray | None) -> Row:
    unknown = Claim(None, None, None, UNKNOWN)
    return asdict(describe(values)) | asdict(unknown if null is None else claim(values, null))


def _partners(arm: _Arm, group: list[_Arm]) -> list[_Arm]:
    """The arms to compare with: the study's first arm, and the random control of an arm that selects."""
    control = random_control(arm.config)
    partners = [other for other in group if other is group[0] or (control and other.config == control)]
    return [other for other in partners if other is not arm]


def _drift(arm: _Arm, rows: pd.DataFrame, fed_back: bool) -> Drift | None:
    """How the arm's rates drift if the model copies perfectly; without feedback they stay. None where the config does
    not fix how much is fed back, or where the real images are not judged yet."""
    real = rows[(rows["set"] == REAL) & (rows["arm"] == arm.name)]
    null = null_model(arm.config, arm.config.images, real_rate(real), fed_back)
    if isinstance(null, Still):
        return _still(arm, _images(arm, fed_back))
    return None if isinstance(null, Unknown) else null


def _still(arm: _Arm, images: int) -> Drift:
    """No drift: every pool has the rate of generation 0."""
    judged = arm.rates[np.isfinite(arm.rates[:, 0]), 0]
    rate = pooled(float(judged.sum()) * images, len(judged) * images)
    return Drift(images, lambda kept, rng: np.full(len(kept[-1]), rate))


def _judged(rows: pd.DataFrame, images: int) -> int | None:
    """How many images of a pool were judged, over all chains and generations."""
    pools = rows.loc[(rows["set"] == POOL) & (rows["n"] > 0), "n"]
    return judged_images(pools, images, people=rows["judge"].iloc[0] == PEOPLE)


def _images(arm: _Arm, fed_back: bool) -> int:
    return arm.config.images if fed_back else arm.config.measured_images


def _adjusted(rows: list[Row]) -> Iterator[Row]:
    """The rows with p adjusted by Holm over the concepts of one arm, partner and statistic."""
    families: dict[tuple[object, ...], list[float | None]] = {}
    for row in rows:
        p = row["p"]
        families.setdefault(_family(row), []).append(p if isinstance(p, float) else None)
    # Once per family: statsmodels runs the garbage collector of the whole process in every call.
    adjusted = {family: iter(holm(ps)) for family, ps in families.items()}
    for row in rows:
        yield row | {"p_adjusted": next(adjusted[_family(row)])}


def _family(row: Row) -> tuple[object, ...]:
    return row["arm"], row["against"], row["statistic"]
