"""V over generations and c of each feedback step, with their null bands.

Bands of V are those of the thick line: the mean over an arm's chains, or its only chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from entropy_loop.analysis.rows import ChangeRow, ClaimRow, RateRow
from entropy_loop.data import ALL
from entropy_loop.metrics.chains import LEAST_CHAINS
from entropy_loop.report.figures.drawing import DRIFT, MUTED, PAPER, SAMPLING, Drawing, cell, drawing, marks
from entropy_loop.report.view import StyledChain, Subject, View, arm_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = 5  # labels of steps that fit below a panel
FLOOR = -2.0  # the axis of c ends here, or one almost empty pool would flatten everything else
WHOLE = 0.6  # extra distance, in steps, of the change from 0 to the last generation
ENDS = {"null_low": np.fmin, "null_high": np.fmax, "sampling_low": np.fmin, "sampling_high": np.fmax}
Chains = Sequence[StyledChain]
"""The chains of one arm."""

# ---- V -----------------------------------------------------------------------------------------------


def recognition(view: View, subject: Subject, concepts: Sequence[str], width: float, height: float) -> Drawing:
    """V over generations: a panel per concept with all arms, `width` by `height` inches each; several panels get a
    legend. With several arms the bands are the widest of all."""
    arms = view.arms_of(subject)
    groups = list(arms.values())
    draw = partial(_arm, chains=groups[0]) if len(groups) == 1 else partial(_arms, arms=groups)
    panels = [partial(draw, view=view, subject=subject, concept=concept, title=named(concept)) for concept in concepts]
    styles = {arm_label(arm): chains[0].style for arm, chains in arms.items()}
    return drawing(panels, width, height, ["V"], legend=marks(styles) if len(concepts) > 1 else ())


def recognition_by_arm(
    view: View, subject: Subject, arms: Sequence[str], concepts: Sequence[str], width: float, height: float
) -> Drawing:
    """V over generations with both null bands: a row per arm, a column per concept."""
    several = len(concepts) > 1
    panels = [
        partial(
            _arm, view=view, subject=subject, concept=concept, chains=view.arms_of(subject)[arm],
            title=f"{arm_label(arm)}: {concept}" if several else arm_label(arm),
        )
        for arm in arms for concept in concepts
    ]  # fmt: skip
    return drawing(panels, width, height, ["V"], columns=len(concepts))


def named(concept: str) -> str:
    """A concept as the title of a panel."""
    return "all concepts in one image" if concept == ALL else concept


def _arms(ax: Axes, view: View, subject: Subject, concept: str, title: str, arms: Sequence[Chains]) -> None:
    """The thick line of every arm; points of one generation stand side by side."""
    dodge, last = min(0.08, 0.5 / len(view.arms)), max(chains[0].last for chains in arms)
    _axes_of_v(ax, last, title)
    _bands(ax, [[view.mean_rate(chains[0].arm, subject, concept, g) for g in range(last + 1)] for chains in arms])
    for chains in arms:
        _line(ax, view, subject, concept, chains, dodge * (chains[0].style.index - (len(view.arms) - 1) / 2))


def _arm(ax: Axes, view: View, subject: Subject, concept: str, title: str, chains: Chains) -> None:
    """One arm with its bands, its chains as thin lines."""
    x = range(chains[0].last + 1)
    _axes_of_v(ax, chains[0].last, title)
    _bands(ax, [[view.mean_rate(chains[0].arm, subject, concept, g) for g in x]])
    for chain in chains if len(chains) > 1 else ():
        v = [cell(view.rate(chain, subject, concept, g), "rate") for g in x]
        ax.plot(x, v, color=chain.style.colour, linewidth=0.7, alpha=0.55)
    _line(ax, view, subject, concept, chains)


def _bands(ax: Axes, arms: Sequence[Sequence[ClaimRow | None]]) -> None:
    """Both null bands of V; with several arms the widest. arms: rows of summary.csv by generation."""
    x = range(len(arms[0]))
    low, high, *edges = (
        widest.reduce([[cell(row, name) for row in rows] for rows in arms]) for name, widest in ENDS.items()
    )
    ax.fill_between(x, low, high, color=DRIFT, linewidth=0, zorder=0.5)
    for edge in edges:
        ax.plot(x, edge, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)


def _line(ax: Axes, view: View, subject: Subject, concept: str, chains: Chains, shift: float = 0.0) -> None:
    """The arm's only chain with Wilson intervals, or the mean of several, with t intervals from LEAST_CHAINS on."""
    first, generations = chains[0], range(chains[0].last + 1)
    name, rows = "rate", list[RateRow | ClaimRow | None](view.rate(first, subject, concept, g) for g in generations)
    if len(chains) > 1:
        name, rows = "mean", [view.mean_rate(first.arm, subject, concept, g) for g in generations]
    x = np.arange(len(rows)) + shift
    v, low, high = (np.array([cell(row, column) for row in rows]) for column in (name, "low", "high"))
    if len(chains) == 1 or len(chains) >= LEAST_CHAINS:
        ax.vlines(x, low, high, color=first.style.colour, linewidth=1.0, alpha=0.7)
    ax.plot(
        x, v, color=first.style.colour, marker=first.style.marker, markersize=5.5, linewidth=1.6,
        markeredgecolor=PAPER, markeredgewidth=0.6, zorder=3,
    )  # fmt: skip


def _axes_of_v(ax: Axes, last: int, title: str) -> None:
    ax.set(xlim=(-0.35, last + 0.35), ylim=(-0.02, 1.02), yticks=np.linspace(0, 1, 5))
    ax.set_xticks(range(0, last + 1, max(1, -(-last // 10))))
    ax.grid(axis="y")
    ax.set_title(title)
    ax.set_xlabel("generation")


# ---- c -----------------------------------------------------------------------------------------------


def change(view: View, subject: Subject, arms: Sequence[str], width: float, height: float) -> Drawing:
    """c of all concepts in one image per step: a panel per arm, with one y axis for all arms."""
    limits = _limits(view, subject)
    chains = view.arms_of(subject)
    panels = [partial(_change, view=view, subject=subject, chains=chains[arm], limits=limits) for arm in arms]
    return drawing(panels, width, height, ["c, all concepts in one image"])


def _change(ax: Axes, view: View, subject: Subject, chains: Chains, limits: tuple[float, float]) -> None:
    """Within a step the chains stand side by side, each with its own bands."""
    last, whole = chains[0].last, sorted({end for chain in chains for _, end in chain.steps()[chain.last :]})
    places = [*range(last), *([last + WHOLE] if whole else [])]
    ax.axhline(0, color=MUTED, linewidth=0.7)
    ax.grid(axis="y")
    if whole:
        ax.axvline(last - 0.5 + WHOLE / 2, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)))
    for i, x in enumerate(places):
        rows = [view.change(chain, subject, ALL, *chain.steps()[i]) for chain in chains if i < len(chain.steps())]
        if reason := _missing_reason(rows):
            ax.text(
                x, 0.04, reason, transform=ax.get_xaxis_transform(), ha="center", va="bottom", rotation=90, color=MUTED
            )
        half = 0.38 / len(chains)
        for n, row in enumerate(rows):
            _point(ax, row, x + (2 * n + 1 - len(rows)) * half, half, chains[0])
    reasons = [_missing_reason([view.change(chain, subject, ALL, *step)]) for chain in chains for step in chain.steps()]
    if all(reasons):
        row = view.change(chains[0], subject, ALL, 0, 1)
        reason = "not made yet" if row is None else str(row.reason)
        ax.text(0.5, 0.62, reason, transform=ax.transAxes, ha="center", color=MUTED)
    every = -(-last // LABELS)
    ends = str(whole[0]) if len(whole) == 1 else "last"
    texts = [f"{g}\u2192{g + 1}" if g % every == 0 else "" for g in range(last)] + [f"0\u2192{ends}"] * bool(whole)
    ax.set_xticks(places, texts)
    ax.set(xlim=(-0.6, places[-1] + 0.6), ylim=limits, title=arm_label(chains[0].arm), xlabel="feedback step")


def _point(ax: Axes, row: ChangeRow | None, x: float, half: float, chain: StyledChain) -> None:
    """c of one chain with its interval and bands; nothing if it is missing. half: half the width, in steps."""
    if row is None or pd.isna(row.change_rate):
        return
    for name, colour, share in (("drift", DRIFT, 1.0), ("sampling", SAMPLING, 0.58)):
        low, high = cell(row, f"{name}_low"), cell(row, f"{name}_high")
        ax.bar(x, high - low, bottom=low, width=2 * half * share, color=colour, linewidth=0, zorder=1)
    colour, width = chain.style.colour, 1.3 if chain.only else 0.7
    ax.vlines(x, cell(row, "low"), cell(row, "high"), zorder=3, color=colour, linewidth=width)
    size, edge = (5.5, 0.6) if chain.only else (max(1.5, min(3.5, 45 * half)), 0.0)
    ax.plot(
        [x], [row.change_rate], marker=chain.style.marker, markersize=size, markeredgecolor=PAPER, markeredgewidth=edge,
        zorder=4, color=colour, linewidth=width,
    )  # fmt: skip


def _missing_reason(rows: Sequence[ChangeRow | None]) -> str:
    """Why no chain has a c in a step; empty if one has."""
    if any(row is not None and not pd.isna(row.change_rate) for row in rows):
        return ""
    return "undefined" if any(row is not None for row in rows) else "not made yet"


def _rows(view: View, subject: Subject) -> Iterator[ChangeRow | None]:
    return (view.change(chain, subject, ALL, *s) for chain in view.chains_of(subject) for s in chain.steps())


def _limits(view: View, subject: Subject) -> tuple[float, float]:
    names = ("change_rate", "low", "high", "sampling_low", "sampling_high", "drift_low", "drift_high")
    values = [v for row in _rows(view, subject) for name in names if not np.isnan(v := cell(row, name))]
    low, high = max(FLOOR, min([-0.25, *values])), max([0.25, *values])
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def is_cut(view: View, subject: Subject) -> bool:
    """Whether a c, its interval or its band ends below the axis of `change`."""
    return any(cell(row, name) < FLOOR for row in _rows(view, subject) for name in ("change_rate", "low", "drift_low"))
