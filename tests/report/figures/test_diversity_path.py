"""Diversity against recognition, read back from matplotlib's own objects."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_recognition import V, view

from entropy_loop.data import MEASURED, columns
from entropy_loop.report.figures import diversity_path
from entropy_loop.report.view import View

VENDI, DISTANCE = [5.0, 4.0, 2.0], [0.1, 0.4]


def seen(**changes: object) -> View:
    """The arm of test_recognition; its Vendi scores lie at VENDI plus the seed, distances from generation 1 on."""
    bare, rows = view(**changes), []
    for run in (run for run in bare.plan.chains if run.arm == bare.plan.chains[-1].arm):
        where = {"run": run.name, "arm": run.arm, "prompt": "a prompt", "n": 10}
        vendi = {"reference": "none", "metric": "vendi"}
        rows += [where | vendi | {"generation": g, "value": y + run.config.seed} for g, y in enumerate(VENDI)]
        cmmd = {"reference": "generation0", "metric": "cmmd"}
        rows += [where | cmmd | {"generation": g, "value": y} for g, y in enumerate(DISTANCE, start=1)]
    return View(bare.plan, replace(bare.tables, diversity=columns(pd.DataFrame(rows), MEASURED)))


def panel(shown: View, number: tuple[str, str]):
    ax = Figure().subplots()
    diversity_path._panel(ax, shown, shown.subjects(fed_back=True)[0], number)
    return ax


def test_a_point_per_generation_in_order_with_the_first_and_the_last_one_named():
    """From (V0, diversity 0) on; generation 0 is ringed, it and the last one carry their number."""
    ax = panel(seen(), ("none", "vendi"))
    path = next(line for line in ax.lines if len(line.get_xdata()) == 3)
    assert list(path.get_xdata()) == pytest.approx(V)
    assert list(path.get_ydata()) == VENDI
    (ring,) = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (V[0], VENDI[0])
    assert [text.get_text() for text in ax.texts] == ["0", "2"]


def test_a_distance_to_generation_0_begins_at_generation_1():
    """What was not measured has no point: nothing is drawn at 0."""
    ax = panel(seen(), ("generation0", "cmmd"))
    (path,) = ax.lines
    assert list(path.get_xdata()) == pytest.approx(V[1:])
    assert list(path.get_ydata()) == DISTANCE
    assert [text.get_text() for text in ax.texts] == ["1", "2"]


def test_an_arm_of_several_chains_has_the_path_of_their_mean():
    """Mean over seeds 0, 1 and 2: the scores lie 1 higher; each of the few chains has a thin line of its own."""
    ax = panel(seen(sweep={"seed": [0, 1, 2]}), ("none", "vendi"))
    whole = [line for line in ax.lines if len(line.get_xdata()) == 3]
    (mean,) = [line for line in whole if line.get_marker() not in ("None", "")]
    assert list(mean.get_ydata()) == pytest.approx([y + 1 for y in VENDI])
    singles = [line.get_ydata() for line in whole if line is not mean]
    assert np.array(singles) == pytest.approx(np.add.outer(np.arange(3), np.array(VENDI)))


def test_only_what_was_measured_has_a_panel():
    """Without real images there is no distance to them; without measures there is nothing."""
    shown = seen()
    subject = shown.subjects(fed_back=True)[0]
    assert diversity_path.available(shown, subject) == [("none", "vendi"), ("generation0", "cmmd")]
    bare = View(shown.plan, replace(shown.tables, diversity=columns(pd.DataFrame(), MEASURED)))
    assert diversity_path.available(bare, subject) == []
