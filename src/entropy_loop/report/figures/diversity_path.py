"""Diversity against recognition, a point per generation: noise and banalisation move in different directions.

Points of an arm are means over its chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from entropy_loop.data import ALL
from entropy_loop.report.figures.drawing import INK, MUTED, PAPER, SAMPLING, Drawing, cell, drawing, marks
from entropy_loop.report.view import StyledChain, Subject, View, arm_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = {
    ("none", "vendi"): "Vendi score",
    ("generation0", "cmmd"): "CMMD to generation 0",
    ("real", "cmmd"): "CMMD to real images",
}
"""(reference, metric) in diversity.csv -> title of its panel, in the order of the panels."""
FEW_CHAINS = 6  # up to this many chains in all, each has a path of its own


def available(view: View, subject: Subject) -> list[tuple[str, str]]:
    """The keys of METRICS that were measured."""
    table = view.tables.diversity
    table = table[(table["prompt"] == subject.prompt.text) & table["value"].notna()]
    measured = set(zip(table["reference"], table["metric"], strict=True))
    return [metric for metric in METRICS if metric in measured]


def draw(view: View, subject: Subject, metrics: Sequence[tuple[str, str]], width: float, height: float) -> Drawing:
    """A panel per key of METRICS, `width` by `height` inches each; several panels get a legend."""
    panels = [partial(_panel, view=view, subject=subject, metric=metric) for metric in metrics]
    styles = {arm_label(arm): chains[0].style for arm, chains in view.arms_of(subject).items()}
    return drawing(panels, width, height, [""], legend=marks(styles) if len(metrics) > 1 else ())


def _panel(ax: Axes, view: View, subject: Subject, metric: tuple[str, str]) -> None:
    values, low, high = (_by_chain(view, subject, metric, name) for name in ("value", "null_low", "null_high"))
    ax.set(
        xlim=(-0.02, 1.02), xticks=np.linspace(0, 1, 5), xlabel="V, all concepts in one image", title=METRICS[metric]
    )
    ax.grid()
    if low.notna().any(axis=None):
        ax.axhspan(float(np.nanmean(low)), float(np.nanmean(high)), color=SAMPLING, alpha=0.5, linewidth=0, zorder=0.5)
    real = _by_chain(view, subject, ("real", metric[1]), "value") if metric[0] == "none" else values.head(0)
    if real.notna().any(axis=None):
        ax.axhline(float(np.nanmean(real)), color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
    for arm, chains in view.arms_of(subject).items():
        if len(chains) > 1 and len(view.chains_of(subject)) <= FEW_CHAINS:
            for chain in chains:
                _path(ax, _v(view, subject, chain), values.reindex([chain.planned.name]).mean(), chain, alone=False)
        v = [cell(view.mean_rate(arm, subject, ALL, g), "mean") for g in range(chains[0].last + 1)]
        _path(ax, v, values.reindex([chain.planned.name for chain in chains]).mean(), chains[0], alone=True)


def _by_chain(view: View, subject: Subject, metric: tuple[str, str], column: str) -> pd.DataFrame:
    """Chains by generations."""
    table = view.tables.diversity
    is_metric = (table["reference"] == metric[0]) & (table["metric"] == metric[1])
    table = table[is_metric & (table["prompt"] == subject.prompt.text)]
    return table.pivot(index="run", columns="generation", values=column).astype(float)


def _v(view: View, subject: Subject, chain: StyledChain) -> list[float]:
    return [cell(view.rate(chain, subject, ALL, g), "rate") for g in range(chain.last + 1)]


def _path(ax: Axes, v: Sequence[float], values: pd.Series[float], chain: StyledChain, alone: bool) -> None:
    """A line through the generations. alone: the arm's path, with markers and the numbers of its first and last
    generation; else one of its chains, as a thin line."""
    y = values.reindex(range(len(v))).to_numpy(float)
    known = np.flatnonzero(~np.isnan(y) & ~np.isnan(v))
    if not len(known):
        return
    x, y, style = np.array(v)[known], y[known], chain.style
    if not alone:
        ax.plot(x, y, color=style.colour, linewidth=0.6, alpha=0.55)
        return
    ax.plot(
        x, y, color=style.colour, marker=style.marker, markersize=4.5, linewidth=1.4, markeredgecolor=PAPER,
        markeredgewidth=0.5, zorder=3,
    )  # fmt: skip
    if known[0] == 0:
        ax.plot(x[:1], y[:1], marker="o", markersize=9, color=INK, markerfacecolor="none", linewidth=0, zorder=4)
    for place in dict.fromkeys((0, len(known) - 1)):
        ax.annotate(
            str(known[place]), (x[place], y[place]), (6, 4), textcoords="offset points", fontsize=8,
            color=INK if known[place] == 0 else style.colour,
        )  # fmt: skip
