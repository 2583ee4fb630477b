"""Rows of verdicts.csv and instruments.csv: the verdict on every arm, and the tests behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from entropy_loop.analysis.formatting import float_or_none, number, span
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
LEGIBLE = 0.5  # share of a pool whose attributes must be readable for its tails to count


@dataclass(frozen=True)
class _Arm:
    """The chains of an arm; last: its last generation."""

    name: str
    chains: list[Chain]
    last: int

    def values(self, rows: pd.DataFrame, generation: int, column: str = "value") -> np.ndarray:
        """One metric in one generation: float (chains,), NaN where missing."""
        by_run = rows[rows["generation"] == generation].set_index("run")[column]
        return np.array([by_run.get(chain.name, np.nan) for chain in self.chains], dtype=float)

    def null(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, each (chains,), of the last generation's value under the null."""
        return self.values(rows, self.last, "null_mean"), self.values(rows, self.last, "null_sd")

    def spans(self, rows: pd.DataFrame, generation: int, prefix: str = "") -> list[Interval | None]:
        """The interval of each chain; prefix: "null_" for the null band."""
        ends = (self.values(rows, generation, f"{prefix}{end}") for end in ("low", "high"))
        return [None if np.isnan([low, high]).any() else Interval(low, high) for low, high in zip(*ends, strict=True)]


def verdicts(plan: Plan, summary: pd.DataFrame, measured: pd.DataFrame) -> tuple[list[Row], list[Row]]:
    """(rows of verdicts.csv, rows of instruments.csv), per arm, target prompt and judge.

    summary: as in summary.csv. measured: `data.MEASURES` of all measure stages, with run and generation.
    """
    verdict_rows, test_rows = [], []
    claims = summary[(summary["statistic"] == "change_rate") & (summary["against"] == "") & (summary["concept"] == ALL)]
    for claim in read(claims[claims["role"] == "target"], ClaimRow):
        arm = _arm(plan, claim.arm)
        instruments = list(_instruments(arm, claim, measured[measured["prompt"] == claim.prompt]))
        decided = verdict(instruments, arm.chains[0].config.policy_plugin().selects)
        place = {"arm": arm.name, "prompt": claim.prompt, "judge": claim.judge}
        verdict_rows.append(place | _verdict_row(decided, claim))
        test_rows += [place | _test_row(shown) for shown in decided.shown]
    return verdict_rows, test_rows


def _arm(plan: Plan, name: str) -> _Arm:
    chains = next(list(runs) for arm, runs in groupby(plan.chains, key=lambda chain: chain.arm) if arm == name)
    return _Arm(name, chains, chains[0].config.generations)


def _instruments(arm: _Arm, claim: ClaimRow, measured: pd.DataFrame) -> Iterator[Instrument]:
    low, high = float_or_none(claim.null_low), float_or_none(claim.null_high)
    null = None if low is None or high is None else Interval(low, high)
    change = Description(claim.chains, float_or_none(claim.mean), float_or_none(claim.low), float_or_none(claim.high))
    yield recognition("V(all)", change, null, float_or_none(claim.p))
    drift = _drift_variance(arm)
    pools = measured[measured["reference"] != REAL].assign(item=lambda rows: rows["item"].astype("string").fillna(""))
    for (table, metric, item), rows in pools.groupby(["table", "metric", "item"], sort=False):
        first, last = arm.values(rows, 0), arm.values(rows, arm.last)
        if np.isnan(last).all():
            continue
        if metric in DISTANCES:
            yield distance(str(metric), last, arm.spans(rows, arm.last, "null_"))
        elif table == "noise":
            intervals = [interval or Interval(np.nan, np.nan) for interval in arm.spans(rows, 0)]
            yield relative("noise", str(metric), first, last, intervals, arm.chains[0].config.images, drift)
        elif metric in DIVERSITY:
            yield simulated("diversity", str(metric), first, last, *arm.null(rows))
        elif table == "tails" and item == "entropy":
            # Where few images of a pool are legible, those are no sample of it.
            legible = arm.values(rows, arm.last, "n") >= LEGIBLE * arm.chains[0].config.images
            yield simulated("tails", f"entropy of {metric}", first, np.where(legible, last, np.nan), *arm.null(rows))


def _drift_variance(arm: _Arm) -> float | None:
    """None where the config does not fix how much is fed back."""
    config = arm.chains[0].config
    null = null_model(config, config.images, real=0.5)  # real images are like those of generation 0
    if isinstance(null, Unknown):
        return None
    return drift_variance(config.images, None if isinstance(null, Still) else null, arm.last)


def _verdict_row(decided: Verdict, claim: ClaimRow) -> Row:
    reasons = [_reason(shown.instrument, shown.state, shown.p_adjusted) for shown in decided.shown]
    few = [f"{claim.chains} chains, a claim needs {LEAST_CHAINS}"] if claim.chains < LEAST_CHAINS else []
    missing = [f"{family}: not measured" for family, state in decided.states.items() if state == "not measured"]
    return {
        "verdict": decided.verdict,
        "margin": MARGIN,
        **decided.states,
        "subcutaneous": decided.subcutaneous,
        "chains": claim.chains,
        "reason": "; ".join([*few, *missing, *reasons]),
    }


def _reason(instrument: Instrument, state: str, p: float | None) -> str:
    name, change = f"{instrument.family} {instrument.name}", instrument.change
    if change.mean is None:
        return f"{name}: missing"
    significance = ""
    if p is not None and state != "equivalent":
        significance = f", p (Holm) {'< .001' if p < 0.001 else '= ' + number(p, 3).removeprefix('0')}"
    return f"{name}: {number(change.mean)} {span(change.low, change.high)}{significance}, {state}".replace("  ", " ")


def _test_row(shown: Shown) -> Row:
    instrument = shown.instrument
    row = {"instrument": instrument.family, "metric": instrument.name, **asdict(instrument.change)}
    return row | {"p": instrument.p, "p_adjusted": shown.p_adjusted, "state": shown.state}
