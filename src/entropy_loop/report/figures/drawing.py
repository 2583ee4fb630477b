"""Figures of panels with a legend, as SVG and as PNG, with matplotlib but without its global state.

The bytes of a figure depend on the tables alone: fixed salt, no date, no program name. `inline` makes the copy for the
page, whose colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from entropy_loop.report.view import PALETTE, Style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

INK, MUTED, GRID, PAPER = "#1d2328", "#66707a", "#e3e6e8", "#ffffff"
DRIFT, SAMPLING = "#e4e8ec", "#bcc5ce"
SCHEME = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper", DRIFT: "drift", SAMPLING: "sampling"}
SCHEME |= {colour: f"arm{i}" for i, colour in enumerate(PALETTE)}
COLUMNS = 4  # panels in a row by default
DPI, LONGEST = 200, 16_000  # of a PNG: pixels per inch, and most pixels on a side
RC: dict[RcKeyType, object] = {
    "svg.hashsalt": "entropy-loop", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9.0,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlelocation": "left", "axes.titlesize": 10.0, "axes.titleweight": "bold", "axes.titlecolor": INK,
    "axes.linewidth": 0.7, "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "grid.color": GRID, "grid.linewidth": 0.7, "axes.axisbelow": True, "legend.frameon": False,
    "hatch.linewidth": 0.5, "text.parse_math": False,  # an arm's name may hold a $
}  # fmt: skip

Panel = Callable[["Axes"], None]
"""Draws one panel."""


@dataclass(frozen=True)
class Drawing:
    """A figure that is rendered on demand."""

    figure: Figure

    @cached_property
    def svg(self) -> str:
        """The SVG, with text as text."""
        text = io.StringIO()
        self._save(text, "svg", {"Date": None, "Creator": None})
        return text.getvalue()

    def png(self) -> bytes:
        """The PNG at DPI pixels per inch, or fewer where a side would have more than LONGEST."""
        data = io.BytesIO()
        dpi = min(DPI, LONGEST / max(self.figure.get_size_inches()))
        self._save(data, "png", {"Software": None}, dpi)
        return data.getvalue()

    def files(self, name: str) -> Iterator[tuple[str, bytes]]:
        """(file name, content) of the SVG and of the PNG."""
        yield f"{name}.svg", self.svg.encode()
        yield f"{name}.png", self.png()

    def _save(
        self, file: io.StringIO | io.BytesIO, kind: str, without: Mapping[str, None], dpi: float | str = "figure"
    ) -> None:
        import matplotlib

        with matplotlib.rc_context(RC):
            self.figure.savefig(file, format=kind, metadata=without, dpi=dpi)


def drawing(
    panels: Sequence[Panel],
    width: float,
    height: float,
    ylabels: Sequence[str],
    columns: int = COLUMNS,
    legend: Sequence[Artist] = (),
    heights: Sequence[float] | None = None,
) -> Drawing:
    """Panels of `width` by `height` inches, `columns` in a row, each row with one y axis, and the legend below.
    ylabels: of the rows, in turn. heights: of the rows, relative to each other."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        columns = min(len(panels), columns)
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, sharey="row", squeeze=False, height_ratios=heights).flat)
        for spare in axes[len(panels) :]:
            spare.remove()
        for i, (ax, draw) in enumerate(zip(axes, panels, strict=False)):
            draw(ax)
            ax.set_ylabel(ylabels[i // columns % len(ylabels)] if i % columns == 0 else "")
        if legend:
            _legend(figure, legend)
        _lay_out(figure)
        return Drawing(figure)


def marks(styles: Mapping[str, Style]) -> list[Artist]:
    """The entries of a legend: name -> style."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=s.colour, marker=s.marker, label=text) for text, s in styles.items()]


def _lay_out(figure: Figure) -> None:
    """Place the panels once: matplotlib would do it anew, with a second drawing, for every file."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)


def _legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """As many columns as fit, at about .08 inches per letter and .7 per marker."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = int(figure.get_figwidth() / (0.7 + 0.08 * longest))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(max(1, columns), len(handles)))


def cell(row: object, name: str) -> float:
    """A cell of a row; NaN if it is empty or there is no row."""
    return float("nan") if row is None or pd.isna(getattr(row, name)) else float(getattr(row, name))


def inline(drawn: Drawing, name: str, alt: str) -> str:
    """The <svg> element for the page, its colours as CSS variables. name: makes its ids unique. alt: escaped for an
    attribute."""
    svg = drawn.svg[drawn.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    for colour, variable in SCHEME.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)
