"""Rows of verdicts.csv and instruments.csv: what became of every arm, and the tests behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from entropy_loop.analysis.formatting import number, some, span
from entropy_loop.analysis.rows import ClaimRow, Row, read
from entropy_loop.data import ALL, REAL
from entropy_loop.measuring.null_model import Still, Unknown, null_model
from entropy_loop.metrics.chains import LEAST_CHAINS, Description
from entropy_loop.metrics.rates import Interval
from entropy_loop.metrics.verdicts import (
    MARGIN,
    Instrument,
    Shown,
    Verdict,
    distance,
    drift_variance,
    recognition,
    relative,
    simulated,
    verdict,
)
from entropy_loop.plan import Chain, Plan

DIVERSITY, DISTANCES = ("vendi", "mean_pairwise_distance"), ("kid", "cmmd")
LEGIBLE = 0.5  # the share of a pool that must be read before its tails are judged


@dataclass(frozen=True)
class _Arm:
    """The chains of an arm, and the measures of one prompt's pools: metric -> run -> its rows by generation."""

    name: str
    chains: list[Chain]
    last: int

    def values(self, rows: pd.DataFrame, generation: int, column: str = "value") -> np.ndarray:
        """(chains,) of a metric's rows in one generation, NaN where missing."""
        found = rows[rows["generation"] == generation].set_index("run")[column]
        return np.array([found.get(chain.name, np.nan) for chain in self.chains], dtype=float)

    def null(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (chains,) of the last value without any change."""
        return self.values(rows, self.last, "null_mean"), self.values(rows, self.last, "null_sd")

    def spans(self, rows: pd.DataFrame, generation: int, prefix: str = "") -> list[Interval | None]:
        ends = (self.values(rows, generation, f"{prefix}{end}") for end in ("low", "high"))
        return [None if np.isnan([low, high]).any() else Interval(low, high) for low, high in zip(*ends, strict=True)]


def verdicts(plan: Plan, summary: pd.DataFrame, measured: pd.DataFrame) -> tuple[list[Row], list[Row]]:
    """(rows of verdicts.csv, rows of instruments.csv), per arm, target prompt and judge.

    summary: as in summary.csv. measured: the rows of all measure stages, with run, generation and `table`.
    """
    told, tests = [], []
    claims = summary[(summary["statistic"] == "change_rate") & (summary["against"] == "") & (summary["concept"] == ALL)]
    for claim in read(claims[claims["role"] == "target"], ClaimRow):
        arm = _arm(plan, claim.arm)
        mine = measured[measured["prompt"] == claim.prompt]
        found = verdict(list(_instruments(arm, claim, mine)), arm.chains[0].config.policy_plugin().selects)
        where = {"arm": arm.name, "prompt": claim.prompt, "judge": claim.judge}
        told.append(where | _row(found, claim))
        tests += [where | _test(shown) for shown in found.shown]
    return told, tests


def _arm(plan: Plan, name: str) -> _Arm:
    chains = next(list(runs) for arm, runs in groupby(plan.chains, key=lambda chain: chain.arm) if arm == name)
    return _Arm(name, chains, chains[0].config.generations)


def _instruments(arm: _Arm, claim: ClaimRow, measured: pd.DataFrame) -> Iterator[Instrument]:
    low, high = some(claim.null_low), some(claim.null_high)
    null = None if low is None or high is None else Interval(low, high)
    told = Description(claim.chains, some(claim.mean), some(claim.low), some(claim.high))
    yield recognition("V(all)", told, null, some(claim.p))
    drift = _drift_variance(arm)
    pools = measured[measured["reference"] != REAL].assign(item=lambda rows: rows["item"].astype("string").fillna(""))
    for (table, metric, item), rows in pools.groupby(["table", "metric", "item"], sort=False):
        first, last = arm.values(rows, 0), arm.values(rows, arm.last)
        if np.isnan(last).all():
            continue
        if metric in DISTANCES:
            yield distance(str(metric), last, arm.spans(rows, arm.last, "null_"))
        elif table == "noise":
            known = [one or Interval(np.nan, np.nan) for one in arm.spans(rows, 0)]
            yield relative("noise", str(metric), first, last, known, arm.chains[0].config.images, drift)
        elif metric in DIVERSITY:
            yield simulated("diversity", str(metric), first, last, *arm.null(rows))
        elif table == "tails" and item == "entropy":
            # Of a pool in which hardly an image can be read, the rest is no sample of it.
            legible = arm.values(rows, arm.last, "n") >= LEGIBLE * arm.chains[0].config.images
            yield simulated("tails", f"entropy of {metric}", first, np.where(legible, last, np.nan), *arm.null(rows))


def _drift_variance(arm: _Arm) -> float | None:
    """None where the config does not tell how much is fed back."""
    config = arm.chains[0].config
    null = null_model(config, config.images, real=0.5)  # as generation 0's images: the null of no change
    if isinstance(null, Unknown):
        return None
    return drift_variance(config.images, None if isinstance(null, Still) else null, arm.last)


def _row(found: Verdict, claim: ClaimRow) -> Row:
    reasons = [_said(shown.instrument, shown.state, shown.p_adjusted) for shown in found.shown]
    few = [f"{claim.chains} chains, a claim needs {LEAST_CHAINS}"] if claim.chains < LEAST_CHAINS else []
    missing = [f"{family}: not measured" for family, state in found.states.items() if state == "not measured"]
    return {
        "verdict": found.verdict,
        "margin": MARGIN,
        **found.states,
        "subcutaneous": found.subcutaneous,
        "chains": claim.chains,
        "reason": "; ".join([*few, *missing, *reasons]),
    }


def _said(one: Instrument, state: str, p: float | None) -> str:
    if one.change.mean is None:
        return f"{one.family} {one.name}: missing"
    digits = span(one.change.low, one.change.high)
    sure = (
        ""
        if p is None or state == "equivalent"
        else f", p (Holm) {'< .001' if p < 0.001 else '= ' + number(p, 3).removeprefix('0')}"
    )
    return f"{one.family} {one.name}: {number(one.change.mean)} {digits}{sure}, {state}".replace("  ", " ")


def _test(shown: Shown) -> Row:
    one = shown.instrument
    return {
        "instrument": one.family,
        "metric": one.name,
        **asdict(one.change),
        "p": one.p,
        "p_adjusted": shown.p_adjusted,
        "state": shown.state,
    }
