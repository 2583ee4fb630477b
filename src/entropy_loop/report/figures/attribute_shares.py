"""The tails: stacked bars of the shares of an attribute's values by generation, and their entropy below.

Bars are means over an arm's chains. The hatched rest of a bar is what a chain could not measure, and values that the
config does not name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from entropy_loop.data import Prompt
from entropy_loop.report.figures.drawing import DRIFT, MUTED, PAPER, Drawing, drawing
from entropy_loop.report.view import Style, View, arm_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REAL, ENTROPY = "real", "entropy"
FIRST, LAST = 0.12, 0.95  # the part of the colour map that shows on light and dark paper
REFERENCE = -1.6  # x of the bar of the real images


@dataclass(frozen=True)
class Attribute:
    """One attribute of one prompt. rows: of tails.csv. colours: value -> colour, the commonest value first."""

    name: str
    rows: pd.DataFrame
    colours: dict[str, str]

    @property
    def of_real(self) -> pd.DataFrame:
        return self.rows[self.rows["reference"] == REAL]

    def of_pools(self, arm: str) -> pd.DataFrame:
        """The rows of an arm's pools."""
        return self.rows[(self.rows["arm"] == arm) & (self.rows["reference"] != REAL)]


def attributes(view: View, prompt: Prompt) -> list[Attribute]:
    """The attributes that were read, in the order of the config."""
    table = view.tables.tails[view.tables.tails["prompt"] == prompt.text]
    named: dict[str, tuple[str, ...]] = {}
    for chain in view.plan.chains:
        named |= chain.config.attributes
    groups = ((name, values, table[table["attribute"] == name]) for name, values in named.items())
    return [
        Attribute(name, rows, _colours(rows, values)) for name, values, rows in groups if rows["item"].notna().any()
    ]


def _colours(rows: pd.DataFrame, values: Sequence[str]) -> dict[str, str]:
    """From dark for the commonest value to bright for the rarest, in the real images if there are any, else in
    generation 0."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    real = rows[rows["reference"] == REAL]
    common = (real if len(real) else rows[rows["generation"] == 0]).groupby("item")["value"].mean()
    ordered = sorted(values, key=lambda value: -common.reindex([value]).fillna(0).iloc[0])
    places = np.linspace(FIRST, LAST, len(values))
    return {v: to_hex(colormaps["viridis"](p)) for v, p in zip(ordered, places, strict=True)}


def tails(view: View, attribute: Attribute, arms: Sequence[str], width: float, height: float) -> Drawing:
    """A column per arm, `width` by `height` inches each; several columns get a legend."""
    from matplotlib.patches import Patch

    bars = [partial(_bars, view=view, attribute=attribute, arm=arm) for arm in arms]
    lines = [partial(_entropy, view=view, attribute=attribute, arm=arm) for arm in arms]
    legend = [Patch(color=colour, label=value) for value, colour in attribute.colours.items()]
    return drawing(
        [*bars, *lines], width, height / 2, [f"share of {attribute.name}", "bits"], len(arms),
        legend=legend if len(arms) > 1 else (), heights=(2.4, 1),
    )  # fmt: skip


def mean_shares(rows: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """Generations by values: means over the chains, in which an unmeasurable share counts as 0."""
    shares = rows[rows["item"].isin(values)]
    by_chain = shares.groupby(["generation", "run", "item"])["value"].mean().unstack("item")
    return by_chain.reindex(columns=list(values)).fillna(0.0).groupby("generation").mean()


def _bars(ax: Axes, view: View, attribute: Attribute, arm: str) -> None:
    pools, real = attribute.of_pools(arm), attribute.of_real
    _stack(ax, mean_shares(pools, list(attribute.colours)), attribute.colours)
    _stack(ax, mean_shares(real.assign(generation=REFERENCE), list(attribute.colours)), attribute.colours)
    _generations(ax, view, attribute, arm)
    ax.set(ylim=(0, 1), yticks=(0, 0.5, 1), title=arm_label(arm))


def _generations(ax: Axes, view: View, attribute: Attribute, arm: str) -> None:
    last, has_real = view.last(arm), attribute.of_real["item"].notna().any()
    ticks = range(0, last + 1, max(1, -(-last // 10)))
    ax.set_xticks([REFERENCE] * bool(has_real) + list(ticks), ["real"] * bool(has_real) + [str(g) for g in ticks])
    ax.set_xlim((REFERENCE if has_real else 0) - 0.6, last + 0.6)


def _stack(ax: Axes, shares: pd.DataFrame, colours: dict[str, str]) -> None:
    """One bar per row, filled up to 1 with the hatched rest."""
    x, top = shares.index.to_numpy(float), np.zeros(len(shares))
    for value, colour in colours.items():
        share = shares[value].to_numpy(float)
        ax.bar(x, share, 0.86, top, color=colour, edgecolor=PAPER, linewidth=0.4)
        top = top + share
    ax.bar(x, np.maximum(0, 1 - top), 0.86, top, color=PAPER, edgecolor=MUTED, hatch="/////", linewidth=0)


def _entropy(ax: Axes, view: View, attribute: Attribute, arm: str) -> None:
    """The mean over the chains, single chains as thin lines, and the drift band of one chain with its ends averaged."""
    rows = attribute.of_pools(arm)
    rows = rows[rows["item"] == ENTROPY]
    style = Style(view.arms.index(arm))
    by_chain = rows.pivot(index="generation", columns="run", values="value").astype(float)
    band = rows.groupby("generation")[["null_low", "null_high"]].mean()
    ax.fill_between(band.index, band["null_low"], band["null_high"], color=DRIFT, linewidth=0, zorder=0.5)
    for chain in by_chain.columns if len(by_chain.columns) > 1 else ():
        ax.plot(by_chain.index, by_chain[chain], color=style.colour, linewidth=0.6, alpha=0.55)
    mean = by_chain.mean(axis="columns")
    ax.plot(mean.index, mean, color=style.colour, marker=style.marker, markersize=3.5, linewidth=1.4)
    _generations(ax, view, attribute, arm)
    ax.set_xlabel("generation")
    ax.set_ylim(bottom=0)
    ax.grid(axis="y")
