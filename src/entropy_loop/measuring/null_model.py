"""Which null an arm is held against: what chance alone makes of its pools when its model copies perfectly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from entropy_loop.metrics.nulls import Drift
from entropy_loop.regimes import neutral_diet
from entropy_loop.study.config import Config


@dataclass(frozen=True)
class Still:
    """No drift: every pool is drawn from one and the same model."""

    why: str = "nothing is fed back"


@dataclass(frozen=True)
class Unknown:
    """No null: the config does not tell how much is fed back, or the real images have not been judged."""

    why: str


NullModel = Drift | Still | Unknown


def null_model(config: Config, images: int, real: float | np.ndarray | None, fed_back: bool = True) -> NullModel:
    """The null of an arm's pools.

    images: how many of a pool are counted; the kept ones are scaled alike. real: the rate of the real images in the
    diet, or their shares (values,) of an attribute; None where none was judged; a diet without real images ignores it.
    fed_back: whether the pools are trained on.
    """
    if config.train.method == "none" or not fed_back:
        return Still()
    if why := config.size_unknown():
        return Unknown(why)
    regime, policy = config.regime_plugin(), config.policy_plugin()
    if regime.real_fraction and real is None:
        return Unknown("its real images have not been judged")
    kept = max(1, round(policy.most_kept(config.images) * images / config.images))
    return Drift(kept, neutral_diet(regime, kept, real if regime.real_fraction else None), policy.repeats)


def real_rate(rows: pd.DataFrame) -> float | None:
    """How often real images were recognised; None where none was judged. rows: of rates.csv."""
    judged = int(rows["n"].sum())
    return float(rows["hits"].sum() / judged) if judged else None


def looked_at(judged: Iterable[int], images: int, people: bool) -> int | None:
    """How many of a pool's `images` were judged, the fewest where pools differ; None where a model judged all of them.
    judged: how many, per pool. people: whether people judged, whose answers vary even on a whole pool."""
    counts = list(judged)
    if not counts or (min(counts) >= images and not people):
        return None
    return int(min(counts))
