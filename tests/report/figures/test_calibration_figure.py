"""A calibration as people read it: its tables and its figure, from numbers that are put in."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from entropy_loop.analysis.formatting import DASH
from entropy_loop.metrics.calibration import Fit, Measured, Performance
from entropy_loop.report.figures import calibration_figure
from entropy_loop.report.view import Style

NOISE, JPEG = "gaussian_noise_sigma", "jpeg_quality"
STYLES = {name: Style(i) for i, name in enumerate(("horse", "riding", "all: horse, riding"))}


def performance(sensitivity: float | None, specificity: float = 0.97) -> Performance:
    spread = (None, None) if sensitivity is None else (sensitivity - 0.04, sensitivity + 0.02)
    return Performance(60, sensitivity, *spread, 140, specificity, specificity - 0.03, specificity + 0.01)


@pytest.fixture
def fit() -> Fit:
    """Two concepts and their conjunction, clean and under three levels; a second conjunction that was not measured."""
    levels = {("none", 0): 0.95, (NOISE, 0.1): 0.9, (NOISE, 0.4): 0.5, (JPEG, 10): 0.93}
    measured = [
        Measured(kind, level, concept, performance(value - less))
        for (kind, level), value in levels.items()
        for concept, less in (("horse", 0.0), ("riding", 0.02), ("all: horse, riding", 0.05))
    ]
    curve = pd.DataFrame(
        {"threshold": [9, 1, -np.inf], "false_positive_rate": [0, 0.03, 1], "sensitivity": [0, 0.95, 1]}
    )
    roc = pd.concat([curve.assign(concept=name, positives=60, negatives=140) for name in ("horse", "riding")])
    taken = {"horse": 3, "riding": 0, "all: horse, riding": 0}
    return Fit({"horse": 1.25, "riding": -0.5}, tuple(measured), {"all: horse, cow": "1 shows it"}, roc, taken, 200)


def test_the_tables_hold_the_numbers(fit):
    """Threshold, Se, Sp with intervals and numbers of images, junk; then Se / Sp by level; what is missing says why."""
    lines = calibration_figure.text(fit).splitlines()
    assert " ".join(lines[1].split()) == "horse 1.250 60 0.950 [0.910, 0.970] 140 0.970 [0.940, 0.980] 3 of 200"
    assert lines[3].startswith(f"all: horse, riding  {DASH}")
    assert "all: horse, cow: not measured, for of the half that is measured 1 shows it." in lines
    assert f"{NOISE}  0.4    0.500 / 0.970  0.480 / 0.970  0.450 / 0.970" in lines


def test_what_was_not_measured_at_a_level_is_a_dash(fit):
    """A judge that can tell nothing of degraded images leaves no rate there, not 0."""
    lost = tuple(Measured("blank", 1, concept, performance(None)) for concept in fit.clean)
    with_blank = replace(fit, measured=(*fit.measured, *lost))
    rows = [line.split() for line in calibration_figure.text(with_blank).splitlines()]
    assert ["blank", "1", *[DASH, "/", "0.970"] * 3] in rows
    assert "blank" in calibration_figure.figure(with_blank).svg


def test_points_lie_at_their_rates(fit):
    """Sensitivity over the levels of one kind, from the images as they are; a line per concept and conjunction."""
    ax = Figure().subplots()
    calibration_figure._levels(ax, fit, NOISE, "sensitivity", STYLES)
    drawn = [line.get_ydata() for line in ax.lines]
    assert np.allclose(drawn, [[0.95, 0.9, 0.5], [0.93, 0.88, 0.48], [0.9, 0.85, 0.45]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["as is", "0.1", "0.4"]


@pytest.mark.parametrize(("name", "point"), [("riding", (0.03, 0.93)), ("all: horse, riding", (0.03, 0.9))])
def test_the_threshold_lies_on_the_curve(fit, name, point):
    """The marker is at (1 - Sp, Se), inside of what the panel shows; a conjunction has its place and no curve."""
    ax = Figure().subplots()
    calibration_figure._roc(ax, fit, name, STYLES[name])
    [mark] = [line for line in ax.lines if line.get_marker() == STYLES[name].marker]
    assert np.allclose((mark.get_xdata()[0], mark.get_ydata()[0]), point)
    assert ax.get_xlim()[0] < point[0] < ax.get_xlim()[1]
    assert ax.get_ylim()[0] < point[1] < ax.get_ylim()[1]
    assert max(len(line.get_xdata()) for line in ax.lines if line is not mark) == (3 if name == "riding" else 0)


def test_the_figure_is_named_and_the_same_every_time(fit):
    """Concepts, conjunction and kinds stand in it as text; two drawings are one file."""
    svg = calibration_figure.figure(fit).svg
    texts = {element.text for element in ElementTree.fromstring(svg).iter() if element.text}
    assert {"horse", "riding", "all: horse, riding", "gaussian noise sigma", "jpeg quality", "as is"} <= texts
    assert svg == calibration_figure.figure(fit).svg
