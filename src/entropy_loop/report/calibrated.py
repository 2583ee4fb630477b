"""A calibration as people read it: lines of text, and a figure with the ROC of every concept and with sensitivity and
specificity over the degradations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_loop.metrics.calibration import AXES, CLEAN, Fit, Measured, Performance
from entropy_loop.report.figures import MUTED, PAPER, RC, svg_text
from entropy_loop.report.numbers import DASH, number
from entropy_loop.report.view import MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATES = ("sensitivity", "specificity")
ZOOMS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""How much of the unit square the ROC panel may show, from its corner (0, 1), where the curve of a good judge lies."""
WIDTH, HEIGHT = 2.3, 2.4  # of a panel of levels, inches


def text(fit: Fit) -> str:
    """Two tables: what was fitted and measured, and sensitivity / specificity at each level of degradation."""
    missing = "".join(
        f"\n{name}: not measured, for of the half that is measured {why}." for name, why in fit.too_few.items()
    )
    return f"{_aligned(_lines(fit))}{missing}\n\n{_aligned(_degraded_lines(fit))}"


def _lines(fit: Fit) -> Iterator[tuple[str, ...]]:
    yield "concept", "threshold", "with it", "sensitivity", "without it", "specificity", "junk taken for it"
    for name, rates in fit.clean.items():
        cut = number(fit.thresholds[name], 3) if name in fit.thresholds else DASH
        shares = [f"{_rate(rates, w)} [{_rate(rates, f'{w}_low')}, {_rate(rates, f'{w}_high')}]" for w in RATES]
        taken = f"{fit.junk[name]} of {fit.refused}"
        yield name, cut, str(rates.positives), shares[0], str(rates.negatives), shares[1], taken


def _degraded_lines(fit: Fit) -> Iterator[tuple[str, ...]]:
    yield "degradation", "level", *fit.clean
    for kind, level in dict.fromkeys((m.kind, m.level) for m in fit.measured):
        found = [m.rates for m in fit.measured if (m.kind, m.level) == (kind, level)]
        yield kind, f"{level:g}", *(" / ".join(_rate(rates, what) for what in RATES) for rates in found)


def _aligned(lines: Iterable[tuple[str, ...]]) -> str:
    """Cells in columns that are as wide as their widest cell."""
    rows = list(lines)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in cells)


def _rate(rates: Performance, name: str) -> str:
    value = getattr(rates, name)
    return DASH if value is None else number(value, 3)


def figure(fit: Fit) -> str:
    """SVG text. Bars and crosses are 95 % Wilson intervals."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    kinds = [kind for kind in dict.fromkeys(m.kind for m in fit.measured) if kind != CLEAN]
    with matplotlib.rc_context(RC):
        drawn = Figure(figsize=(WIDTH * (2 + len(kinds)), 2 * HEIGHT), layout="constrained")
        grid = drawn.add_gridspec(2, 2 + len(kinds))
        _roc(drawn.add_subplot(grid[:, :2]), fit)
        bottom = _bottom(fit)
        for i, what in enumerate(RATES):
            for j, kind in enumerate(kinds):
                ax = drawn.add_subplot(grid[i, 2 + j])
                _levels(ax, [m for m in fit.measured if m.kind in (CLEAN, kind)], what, _styles(fit))
                ax.set_ylim(bottom, 1 + 0.03 * (1 - bottom))
                ax.set_title(kind.replace("_", " ") if i == 0 else "")
                ax.set_ylabel(what if j == 0 else "")
                ax.tick_params(labelleft=j == 0)
        styles = _styles(fit).items()
        marks = [Line2D([], [], color=colour, marker=marker, label=name) for name, (colour, marker) in styles]
        drawn.legend(handles=marks, loc="outside lower center", ncols=min(len(marks), 6))
        return svg_text(drawn)


def _styles(fit: Fit) -> dict[str, tuple[str, str]]:
    """(colour, marker) of each concept and conjunction."""
    return {name: (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(fit.clean)}


def _roc(ax: Axes, fit: Fit) -> None:
    """Each concept's curve, and where its threshold lies on it; of a conjunction, which has no curve, the place. Later
    ones are drawn thinner, so that none hides another that runs with it."""
    for i, (name, (colour, marker)) in enumerate(_styles(fit).items()):
        curve, rates = fit.roc[fit.roc["concept"] == name], _floats(fit.clean[name])
        over = len(fit.clean) - 1 - i
        ax.plot(curve[AXES[0]], curve[AXES[1]], color=colour, linewidth=1.2 + 1.2 * over)
        x, y = 1 - rates["specificity"], rates["sensitivity"]
        ax.hlines(y, 1 - rates["specificity_high"], 1 - rates["specificity_low"], color=colour, linewidth=0.9)
        ax.vlines(x, rates["sensitivity_low"], rates["sensitivity_high"], color=colour, linewidth=0.9)
        ax.plot([x], [y], color=colour, marker=marker, markersize=5.5 + 2.5 * over, markeredgecolor=PAPER, zorder=4)
    furthest = max(1 - _floats(rates)[f"{what}_low"] for rates in fit.clean.values() for what in RATES)
    side = next(zoom for zoom in ZOOMS if zoom >= min(furthest, 1.0))
    margin = 0.03 * side
    ax.set(xlim=(-margin, side + margin), ylim=(1 - side - margin, 1 + margin))
    ax.set(xlabel="false positive rate (1 - specificity)", ylabel="sensitivity")
    ax.set_title("ROC" if side == 1 else f"ROC, the corner of {side:g}")
    ax.grid()


def _floats(rates: Performance) -> dict[str, float]:
    """Missing rates as NaN, which matplotlib leaves out."""
    return {name: float("nan") if value is None else float(value) for name, value in vars(rates).items()}


def _bottom(fit: Fit) -> float:
    """All panels of levels go from here to 1: a tenth, low enough for every interval."""
    ends = [_floats(m.rates)[f"{what}_low"] for m in fit.measured for what in RATES]
    return float(np.floor(10 * np.nanmin(ends)) / 10)


def _levels(ax: Axes, measured: list[Measured], what: str, styles: dict[str, Any]) -> None:
    """A line per concept and conjunction over the levels, evenly spaced, beginning with the images as they are."""
    levels = list(dict.fromkeys((m.kind, m.level) for m in measured))
    for i, (name, (colour, marker)) in enumerate(styles.items()):
        mine = [_floats(m.rates) for m in measured if m.concept == name]
        x = np.arange(len(mine)) + 0.09 * (i - (len(styles) - 1) / 2)
        y, low, high = ([rates[f"{what}{end}"] for rates in mine] for end in ("", "_low", "_high"))
        ax.vlines(x, low, high, color=colour, linewidth=0.9, alpha=0.55)
        ax.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=0.9, markeredgecolor=PAPER)
    ax.set_xticks(range(len(levels)), ["as is" if kind == CLEAN else f"{level:g}" for kind, level in levels])
    ax.axhline(1, color=MUTED, linewidth=0.5)
    ax.grid(axis="y")
