"""A calibration as text and as a figure: the ROC of every concept, and sensitivity and specificity over the
degradations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from entropy_loop.analysis.formatting import DASH, number
from entropy_loop.metrics.calibration import AXES, CLEAN, Fit, Performance
from entropy_loop.report.figures.drawing import COLUMNS, MUTED, PAPER, Drawing, Panel, drawing, marks
from entropy_loop.report.view import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATES = ("sensitivity", "specificity")
ZOOMS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Sides of the part of the unit square that an ROC panel may show, from the corner (0, 1) of a good judge."""
WIDTH, HEIGHT = 2.9, 2.2  # inches, of a panel


def text(fit: Fit) -> str:
    """Two tables: thresholds with their rates, and sensitivity / specificity at each level of degradation."""
    missing = "".join(
        f"\n{name}: not measured, for of the half that is measured {why}." for name, why in fit.too_few.items()
    )
    return f"{_aligned(_lines(fit))}{missing}\n\n{_aligned(_degraded_lines(fit))}"


def _lines(fit: Fit) -> Iterator[tuple[str, ...]]:
    yield "concept", "threshold", "with it", "sensitivity", "without it", "specificity", "junk recognised"
    for name, rates in fit.clean.items():
        threshold = number(fit.thresholds[name], 3) if name in fit.thresholds else DASH
        cells = [f"{_rate(rates, r)} [{_rate(rates, f'{r}_low')}, {_rate(rates, f'{r}_high')}]" for r in RATES]
        junk = f"{fit.junk[name]} of {fit.refused}"
        yield name, threshold, str(rates.positives), cells[0], str(rates.negatives), cells[1], junk


def _degraded_lines(fit: Fit) -> Iterator[tuple[str, ...]]:
    yield "degradation", "level", *fit.clean
    for kind, level in dict.fromkeys((m.kind, m.level) for m in fit.measured):
        measured = [m.rates for m in fit.measured if (m.kind, m.level) == (kind, level)]
        yield kind, f"{level:g}", *(" / ".join(_rate(rates, name) for name in RATES) for rates in measured)


def _aligned(lines: Iterable[tuple[str, ...]]) -> str:
    """Lines with every column as wide as its widest cell."""
    rows = list(lines)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in cells)


def _rate(rates: Performance, name: str) -> str:
    value = vars(rates)[name]
    return DASH if value is None else number(value, 3)


def figure(fit: Fit) -> Drawing:
    """Rows of ROC curves, a row of sensitivity and one of specificity, with a panel per kind of degradation. Bars and
    crosses are 95 % Wilson intervals."""
    kinds = [kind for kind in dict.fromkeys(m.kind for m in fit.measured) if kind != CLEAN]
    styles = {name: Style(i) for i, name in enumerate(fit.clean)}
    columns = max(COLUMNS, len(kinds))
    curves: list[Panel] = [partial(_roc, fit=fit, name=name, style=style) for name, style in styles.items()]
    curves += [_empty] * (-len(curves) % columns)
    panels = [*curves]
    for rate in RATES:
        panels += [partial(_levels, fit=fit, kind=kind, rate=rate, styles=styles) for kind in kinds]
        panels += [_empty] * (columns - len(kinds))
    ylabels = ["sensitivity"] * (len(curves) // columns) + list(RATES)
    return drawing(panels, WIDTH, HEIGHT, ylabels, columns=columns, legend=marks(styles))


def _empty(ax: Axes) -> None:
    """An empty panel."""
    ax.set_axis_off()


def _roc(ax: Axes, fit: Fit, name: str, style: Style) -> None:
    """A concept's curve with the point of its threshold; a conjunction has a point alone."""
    curve, rates = fit.roc[fit.roc["concept"] == name], _floats(fit.clean[name])
    ax.plot(curve[AXES[0]], curve[AXES[1]], color=MUTED, linewidth=1.2)
    x, y = 1 - rates["specificity"], rates["sensitivity"]
    ax.hlines(y, 1 - rates["specificity_high"], 1 - rates["specificity_low"], color=style.colour, linewidth=1.2)
    ax.vlines(x, rates["sensitivity_low"], rates["sensitivity_high"], color=style.colour, linewidth=1.2)
    ax.plot([x], [y], color=style.colour, marker=style.marker, markersize=6, markeredgecolor=PAPER, zorder=4)
    furthest = max(1 - _floats(clean)[f"{rate}_low"] for clean in fit.clean.values() for rate in RATES)
    side = next(zoom for zoom in ZOOMS if zoom >= min(furthest, 1.0))
    margin = 0.04 * side
    ax.set(xlim=(-margin, side + margin), ylim=(1 - side - margin, 1 + margin), xlabel="1 - specificity")
    ax.set_title(name)
    ax.grid()


def _levels(ax: Axes, fit: Fit, kind: str, rate: str, styles: Mapping[str, Style]) -> None:
    """A line per concept and conjunction over the levels, evenly spaced, from the clean images on."""
    levels = [(m.kind, m.level) for m in fit.measured if m.kind in (CLEAN, kind)]
    ticks = ["as is" if kind_ == CLEAN else f"{level:g}" for kind_, level in dict.fromkeys(levels)]
    for i, (name, style) in enumerate(styles.items()):
        measured = [_floats(m.rates) for m in fit.measured if m.concept == name and m.kind in (CLEAN, kind)]
        x = np.arange(len(measured)) + 0.09 * (i - (len(styles) - 1) / 2)
        y, low, high = ([rates[f"{rate}{end}"] for rates in measured] for end in ("", "_low", "_high"))
        ax.vlines(x, low, high, color=style.colour, linewidth=0.9, alpha=0.55)
        ax.plot(x, y, color=style.colour, marker=style.marker, markersize=4, linewidth=0.9, markeredgecolor=PAPER)
    lowest = np.nanmin([_floats(m.rates)[f"{name}_low"] for m in fit.measured for name in RATES])
    bottom = float(np.floor(10 * lowest) / 10)
    ax.set(ylim=(bottom, 1 + 0.03 * (1 - bottom)), title=kind.replace("_", " "))
    ax.set_xticks(range(len(ticks)), ticks)
    ax.grid(axis="y")


def _floats(rates: Performance) -> dict[str, float]:
    """The rates as floats; missing ones as NaN, which matplotlib leaves out."""
    return {name: float("nan") if value is None else float(value) for name, value in vars(rates).items()}
