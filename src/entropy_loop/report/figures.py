"""Figures as SVG text: recognition over generations, and the change rate of each step before its null bands.

The text of a figure is a function of the tables: fixed salt, no date. `inline` makes the copy that stands in
the page, whose colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from entropy_loop.data import ALL
from entropy_loop.report.view import PALETTE, Chain, Subject, View, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1d2328", "#66707a", "#e3e6e8", "#ffffff"
DRIFT, SAMPLING = "#e4e8ec", "#bcc5ce"
SCHEME = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper", DRIFT: "drift", SAMPLING: "sampling"}
SCHEME |= {colour: f"arm{i}" for i, colour in enumerate(PALETTE)}
COLUMNS, LABELS = 4, 5  # panels in a row; labels of steps that a panel has room for
FLOOR = -2.0  # the axis of c is cut here: one almost empty pool would flatten everything else
RC: Any = {
    "svg.hashsalt": "entropy-loop", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9.0,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlelocation": "left", "axes.titlesize": 10.0, "axes.titlecolor": INK, "axes.linewidth": 0.7,
    "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "grid.color": GRID, "grid.linewidth": 0.7, "axes.axisbelow": True, "legend.frameon": False,
    "text.parse_math": False,  # an arm's name may hold a $
}  # fmt: skip


def recognition(view: View, subject: Subject, concepts: Sequence[str], width: float, height: float) -> str:
    """V over generations, one panel per concept; `width` and `height` of one in inches. Several get a legend."""
    import matplotlib

    with matplotlib.rc_context(RC):
        figure, axes = _figure(len(concepts), width, height)
        for i, (ax, concept) in enumerate(zip(axes, concepts, strict=True)):
            _recognition(ax, view, subject, concept)
            ax.set_title(concept if concept != ALL else "all concepts in one image", fontweight="bold")
            ax.set_xlabel("generation")
            if i % COLUMNS == 0:
                ax.set_ylabel("V, share of the pool")
        if len(concepts) > 1:
            _legend(figure, view.chains_of(subject))
        return _svg(figure)


def _recognition(ax: Axes, view: View, subject: Subject, concept: str) -> None:
    chains = view.chains_of(subject)
    last = max(chain.last for chain in chains)
    ax.set(xlim=(-0.35, last + 0.35), ylim=(-0.02, 1.02), yticks=np.linspace(0, 1, 5))
    ax.set_xticks(range(0, last + 1, max(1, -(-last // 10))))
    ax.grid(axis="y")
    if null := null_band(view, subject, concept):
        ax.axhspan(*null, color=SAMPLING, linewidth=0, zorder=0.5)
    dodge = min(0.08, 0.5 / len(view.arms))
    for chain in chains:
        rows = [view.rate(chain, subject, concept, g) for g in range(chain.last + 1)]
        v, low, high = (np.array([_float(row, name) for row in rows]) for name in ("rate", "low", "high"))
        x = np.arange(len(rows)) + dodge * (chain.style.index - (len(view.arms) - 1) / 2)
        if chain.only:
            ax.vlines(x, low, high, color=chain.style.colour, linewidth=1.0, alpha=0.55)
        ax.plot(
            x, v, color=chain.style.colour, marker=chain.style.marker, markersize=5.5 if chain.only else 4,
            linewidth=1.5 if chain.only else 0.8, markeredgecolor=PAPER, markeredgewidth=0.6,
        )  # fmt: skip


def null_band(view: View, subject: Subject, concept: str) -> tuple[float, float] | None:
    """Where V would lie without any change: the sampling band of c(0 -> last) in units of V, V0 (1 - c). None
    where the chains do not share generation 0, for then there is no one band."""
    bands, chains = set(), view.chains_of(subject)
    for chain in chains:
        row = view.change(chain, subject, concept, 0, chain.reached) if chain.reached else None
        if row is not None and not pd.isna(row.sampling_low):
            bands.add((row.v1, row.sampling_low, row.sampling_high))
    if len(bands) != 1 or len({chain.run.config.seed for chain in chains}) != 1:
        return None
    v1, low, high = bands.pop()
    return max(0.0, v1 * (1 - high)), min(1.0, v1 * (1 - low))


def change(view: View, subject: Subject, chains: Sequence[Chain], width: float, height: float) -> str:
    """c of all concepts together per step, one panel per chain, one axis for all chains of the subject."""
    import matplotlib

    with matplotlib.rc_context(RC):
        figure, axes = _figure(len(chains), width, height)
        limits = _limits(view, subject)
        for i, (ax, chain) in enumerate(zip(axes, chains, strict=True)):
            _change(ax, view, subject, chain)
            ax.set_ylim(limits)
            ax.set_title(chain.name, fontweight="bold")
            ax.set_xlabel("feedback step (this chain only)")
            if i % COLUMNS == 0:
                ax.set_ylabel("c of all concepts")
        return _svg(figure)


def _change(ax: Axes, view: View, subject: Subject, chain: Chain) -> None:
    steps, apart = chain.steps(), 0.6
    places = [i + (apart if i >= chain.last else 0.0) for i in range(len(steps))]
    ax.axhline(0, color=MUTED, linewidth=0.7)
    ax.grid(axis="y")
    if len(steps) > chain.last:
        ax.axvline(chain.last - 0.5 + apart / 2, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)))
    for x, (start, end) in zip(places, steps, strict=True):
        row = view.change(chain, subject, ALL, start, end)
        if row is None or pd.isna(row.change_rate):
            why, at = "not made yet" if row is None else "undefined", ax.get_xaxis_transform()
            ax.text(x, 0.04, why, transform=at, ha="center", va="bottom", rotation=90, color=MUTED)
            continue
        for name, colour, half in (("drift", DRIFT, 0.38), ("sampling", SAMPLING, 0.22)):
            low, high = _float(row, f"{name}_low"), _float(row, f"{name}_high")
            ax.bar(x, high - low, bottom=low, width=2 * half, color=colour, linewidth=0, zorder=1)
        ax.vlines(x, _float(row, "low"), _float(row, "high"), color=chain.style.colour, linewidth=1.3, zorder=3)
        ax.plot(
            [x], [row.change_rate], color=chain.style.colour, marker=chain.style.marker, markersize=5.5,
            markeredgecolor=PAPER, markeredgewidth=0.6, zorder=4,
        )  # fmt: skip
    rows = [view.change(chain, subject, ALL, *step) for step in steps]
    if all(row is None or pd.isna(row.change_rate) for row in rows):
        reason = next((str(row.reason) for row in rows if row is not None), "not made yet")
        ax.text(0.5, 0.62, reason, transform=ax.transAxes, ha="center", color=MUTED)
    every = -(-chain.last // LABELS)
    texts = [f"{start}\u2192{end}" if i >= chain.last or i % every == 0 else "" for i, (start, end) in enumerate(steps)]
    ax.set_xticks(places, texts)
    ax.set_xlim(-0.6, places[-1] + 0.6)


def _limits(view: View, subject: Subject) -> tuple[float, float]:
    names = ("change_rate", "low", "high", "sampling_low", "sampling_high", "drift_low", "drift_high")
    rows = [view.change(chain, subject, ALL, *step) for chain in view.chains_of(subject) for step in chain.steps()]
    values = [v for row in rows for name in names if not np.isnan(v := _float(row, name))]
    low, high = max(FLOOR, min([-0.25, *values])), max([0.25, *values])
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def is_cut(view: View, subject: Subject) -> bool:
    """Whether something lies below the axis of `change`."""
    rows = [view.change(chain, subject, ALL, *step) for chain in view.chains_of(subject) for step in chain.steps()]
    return any(_float(row, name) < FLOOR for row in rows for name in ("change_rate", "low", "drift_low"))


# ---- matplotlib without global state -----------------------------------------------------------------


def _figure(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Panels of this size in inches, a few in a row."""
    from matplotlib.figure import Figure

    columns = min(panels, COLUMNS)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def _legend(figure: Figure, chains: Sequence[Chain]) -> None:
    """In as many columns as the width holds, at about .08 inches per letter and .7 for a mark."""
    from matplotlib.lines import Line2D

    styles = {chain.arm: chain.style for chain in chains}
    lines = [Line2D([], [], color=s.colour, marker=s.marker, label=spoken(arm)) for arm, s in styles.items()]
    columns = int(figure.get_figwidth() / (0.7 + 0.08 * max(len(spoken(arm)) for arm in styles)))
    figure.legend(handles=lines, loc="outside lower center", ncols=min(max(1, columns), len(lines)))


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _float(row: Any, name: str) -> float:
    return float("nan") if row is None or pd.isna(getattr(row, name)) else float(getattr(row, name))


def inline(svg: str, name: str, alt: str) -> str:
    """The <svg> element for the page: `name` makes its ids unique, colours become CSS variables; `alt` must be
    safe to stand in an attribute."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    for colour, variable in SCHEME.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)
