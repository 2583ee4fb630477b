"""The null model of an arm: what chance alone does to its pools if its model copies perfectly."""

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
    """No drift: all pools are drawn from the same model."""

    why: str = "nothing is fed back"


@dataclass(frozen=True)
class Unknown:
    """No null: the config does not fix how many images are fed back, or the real images have not been judged."""

    why: str


NullModel = Drift | Still | Unknown


def null_model(config: Config, images: int, real: float | np.ndarray | None, fed_back: bool = True) -> NullModel:
    """The null of an arm's pools.

    images: number of counted images per pool; the number of kept images is scaled alike. real: rate of the real images
    in the diet, or their shares (values,) of an attribute; None if none was judged; ignored without real images in the
    diet. fed_back: whether the pools are trained on.
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
    """The rate of real images; None if none was judged. rows: of rates.csv."""
    judged = int(rows["n"].sum())
    return float(rows["hits"].sum() / judged) if judged else None


def judged_images(judged: Iterable[int], images: int, people: bool) -> int | None:
    """Number of judged images per pool, the smallest if pools differ; None if a model judged the whole pools.

    judged: number per pool. images: pool size. people: whether people judged; their answers vary even on a whole pool.
    """
    counts = list(judged)
    if not counts or (min(counts) >= images and not people):
        return None
    return int(min(counts))
