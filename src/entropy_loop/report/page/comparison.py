"""Several results folders on one page: a self-contained HTML file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from entropy_loop.data import ALL
from entropy_loop.report.figures.drawing import PAPER, drawing, inline
from entropy_loop.report.page.template import render
from entropy_loop.report.text.compare import HEADS, lines
from entropy_loop.report.view import Style, arm_label
from entropy_loop.storage.disk import write_text
from entropy_loop.storage.reading import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class _Panel:
    """One results folder, target prompt and judge. rates: rows of summary.csv on V of `all`."""

    title: str
    about: str
    rates: pd.DataFrame


def write(folders: list[Path], comparison: pd.DataFrame, path: Path) -> None:
    """Writes the page; `comparison` as from `compare.compare`. Raises ConfigError or StorageError for unreadable
    tables."""
    panels = [panel for folder in folders for panel in _panels(folder)]
    styles = {arm: Style(i) for i, arm in enumerate(dict.fromkeys(comparison["arm"]))}
    # All panels have one x axis, so that they can be compared by eye.
    last = max((int(panel.rates["generation"].max()) for panel in panels), default=0)
    drawings = []
    for i, panel in enumerate(panels):
        figure = drawing(
            [partial(_draw, panel=panel, styles=styles, last=last)], 4.2, 3.1, ["V, all concepts in one image"]
        )
        alt = escape(f"V of all concepts in one image over generations: {panel.about}")
        drawings.append((panel.about, inline(figure, f"r{i}", alt)))
    reports = [(folder.name, os.path.relpath(folder / "report.html", path.parent)) for folder in folders]
    text = render(
        "compare.html.jinja", heads=HEADS, rows=list(lines(comparison)), drawings=drawings, reports=reports,
        styles=[(arm_label(arm), style) for arm, style in styles.items()],
    )  # fmt: skip
    write_text(path, text)


def _panels(folder: Path) -> Iterator[_Panel]:
    summary = written(folder / "summary.csv")
    rates = summary[(summary["statistic"] == "rate") & (summary["concept"] == ALL) & (summary["role"] == "target")]
    for (prompt, judge), group in rates.groupby(["prompt", "judge"], sort=False):
        yield _Panel(folder.name, f"\u201c{prompt}\u201d, judged by {judge}", group)


def _draw(ax: Axes, panel: _Panel, styles: Mapping[str, Style], last: int) -> None:
    for arm, rows in panel.rates.groupby("arm", sort=False):
        style = styles[str(arm)]
        ax.plot(
            rows["generation"], rows["mean"], color=style.colour, marker=style.marker, markersize=5, linewidth=1.5,
            markeredgecolor=PAPER, markeredgewidth=0.6,
        )  # fmt: skip
    ax.set(xlim=(-0.35, last + 0.35), ylim=(-0.02, 1.02), xlabel="generation", title=panel.title)
    ax.set_xticks(range(0, last + 1, max(1, -(-last // 10))))
    ax.grid(axis="y")
