"""Diversity against recognition: a point per generation, so that noise and banalisation go different ways.

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
from entropy_loop.report.view import StyledChain, Subject, View, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUMBERS = {
    ("none", "vendi"): "Vendi score",
    ("generation0", "cmmd"): "CMMD to generation 0",
    ("real", "cmmd"): "CMMD to real images",
}
"""(reference, metric) in diversity.csv: what is drawn, in this order."""
FEW = 6  # chains of a study up to which each has a path of its own


def measured(view: View, subject: Subject) -> list[tuple[str, str]]:
    """The numbers that there are, as keys of NUMBERS."""
    table = view.tables.diversity
    mine = table[(table["prompt"] == subject.prompt.text) & table["value"].notna()]
    there = set(zip(mine["reference"], mine["metric"], strict=True))
    return [number for number in NUMBERS if number in there]


def paths(view: View, subject: Subject, numbers: Sequence[tuple[str, str]], width: float, height: float) -> Drawing:
    """One panel per number; `width` and `height` of one in inches. Several get a legend."""
    panels = [partial(_panel, view=view, subject=subject, number=number) for number in numbers]
    styles = {spoken(arm): chains[0].style for arm, chains in view.arms_of(subject).items()}
    return drawing(panels, width, height, [""], legend=marks(styles) if len(numbers) > 1 else ())


def _panel(ax: Axes, view: View, subject: Subject, number: tuple[str, str]) -> None:
    values, low, high = (_by_chain(view, subject, number, name) for name in ("value", "null_low", "null_high"))
    ax.set(xlim=(-0.02, 1.02), xticks=np.linspace(0, 1, 5), xlabel="V of all concepts", title=NUMBERS[number])
    ax.grid()
    if low.notna().any(axis=None):
        ax.axhspan(float(np.nanmean(low)), float(np.nanmean(high)), color=SAMPLING, alpha=0.5, linewidth=0, zorder=0.5)
    own = _by_chain(view, subject, ("real", number[1]), "value") if number[0] == "none" else values.head(0)
    if own.notna().any(axis=None):
        ax.axhline(float(np.nanmean(own)), color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
    for arm, chains in view.arms_of(subject).items():
        if len(chains) > 1 and len(view.chains_of(subject)) <= FEW:
            for chain in chains:
                _path(ax, _v(view, subject, chain), values.reindex([chain.planned.name]).mean(), chain, alone=False)
        across = [view.across(arm, subject, ALL, g) for g in range(chains[0].last + 1)]
        v = [cell(row, "mean") for row in across]
        _path(ax, v, values.reindex([chain.planned.name for chain in chains]).mean(), chains[0], alone=True)


def _by_chain(view: View, subject: Subject, number: tuple[str, str], column: str) -> pd.DataFrame:
    """Runs by generations."""
    table = view.tables.diversity
    same = (table["reference"] == number[0]) & (table["metric"] == number[1])
    mine = table[same & (table["prompt"] == subject.prompt.text)]
    return mine.pivot(index="run", columns="generation", values=column).astype(float)


def _v(view: View, subject: Subject, chain: StyledChain) -> list[float]:
    return [cell(view.rate(chain, subject, ALL, g), "rate") for g in range(chain.last + 1)]


def _path(ax: Axes, v: Sequence[float], values: pd.Series[float], chain: StyledChain, alone: bool) -> None:
    """From generation to generation, its first and last point with the generation's number. alone: an arm's own
    path; else one of its chains, thin and without marks."""
    y = values.reindex(range(len(v))).to_numpy(float)
    there = np.flatnonzero(~np.isnan(y) & ~np.isnan(v))
    if not len(there):
        return
    x, y, style = np.array(v)[there], y[there], chain.style
    if not alone:
        ax.plot(x, y, color=style.colour, linewidth=0.6, alpha=0.55)
        return
    ax.plot(
        x, y, color=style.colour, marker=style.marker, markersize=4.5, linewidth=1.4, markeredgecolor=PAPER,
        markeredgewidth=0.5, zorder=3,
    )  # fmt: skip
    if there[0] == 0:
        ax.plot(x[:1], y[:1], marker="o", markersize=9, color=INK, markerfacecolor="none", linewidth=0, zorder=4)
    for place in dict.fromkeys((0, len(there) - 1)):
        ax.annotate(
            str(there[place]), (x[place], y[place]), (6, 4), textcoords="offset points", fontsize=8,
            color=INK if there[place] == 0 else style.colour,
        )  # fmt: skip
