"""Figures: what is drawn, read back from matplotlib's own objects."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from entropy_loop import study
from entropy_loop.data import CHANGES, RATES, columns
from entropy_loop.plan import plan
from entropy_loop.report import figures
from entropy_loop.report.tables import Tables
from entropy_loop.report.view import View

V, C = [0.8, 0.6, 0.3], {(0, 1): 0.25, (1, 2): 0.5, (0, 2): 0.625}
PROMPT = {"prompt": "a prompt", "role": "target", "judge": "exact", "concept": "all"}


def view(arm: str = "one", **changes: object) -> View:
    """One arm whose V(all) falls; the sampling band is c -+ .1, the drift band c -+ .3."""
    config = {
        "name": "figures",
        "generations": 2,
        "prompts": [{"text": "a prompt", "concepts": ["horse"]}],
        "generator": {"use": "categorical", "rates": {"horse": 0.8}},
        "judges": [{"use": "exact"}],
        "arms": [{"name": arm, "set": {"images": 64}}],
        **changes,
    }
    made = plan(study.check(config))
    where = {**PROMPT, "run": made.runs[-1].name, "arm": arm, "seed": 0}
    pool = {"set": "pool", "n": 10, "hits": 1, "low": 0.0, "high": 1.0}
    rates = [where | pool | {"generation": g, "rate": v} for g, v in enumerate(V)]
    bands = {"sampling_low": -0.1, "sampling_high": 0.1, "drift_low": -0.3, "drift_high": 0.3}
    steps = [
        where | bands | {"from_generation": a, "to_generation": b, "v1": V[a], "change_rate": c, "low": 0, "high": 1}
        for (a, b), c in C.items()
    ]
    known = {"rates": columns(pd.DataFrame(rates), RATES), "changes": columns(pd.DataFrame(steps), CHANGES)}
    empty = {field.name: pd.DataFrame() for field in fields(Tables)}
    return View(made, Tables(**empty | known))


def test_points_of_v_lie_at_v():
    """The plotted line goes through the rates of the table, generation by generation."""
    seen = view()
    ax = Figure().subplots()
    figures._recognition(ax, seen, seen.subjects(fed_back=True)[0], "all")
    drawn = [line.get_ydata() for line in ax.lines]
    assert any(np.allclose(y, V) for y in drawn)


def test_the_band_behind_v_is_the_sampling_band_of_c():
    """It spans V0 (1 - c) over the sampling band, .8 x .9 to .8 x 1.1, in that band's colour."""
    seen = view()
    ax = Figure().subplots()
    figures._recognition(ax, seen, seen.subjects(fed_back=True)[0], "all")
    (band,) = ax.patches
    y = band.get_extents().transformed(ax.transData.inverted())
    assert (y.y0, y.y1) == (pytest.approx(0.72), pytest.approx(0.88))
    assert to_hex(band.get_facecolor()) == figures.SAMPLING


def test_points_and_bands_of_c_lie_at_their_numbers():
    """Falling recognition lies above zero; each step has both bands, each in its colour."""
    seen = view()
    ax = Figure().subplots()
    chain = next(chain for chain in seen.chains if chain.arm == "one")
    figures._change(ax, seen, seen.subjects(fed_back=True)[0], chain)
    points = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == chain.style.marker]
    assert points == list(C.values())
    spans = {(to_hex(p.get_facecolor()), round(p.get_y(), 6), round(p.get_y() + p.get_height(), 6)) for p in ax.patches}
    assert spans == {(figures.DRIFT, -0.3, 0.3), (figures.SAMPLING, -0.1, 0.1)}
    assert len(ax.patches) == 2 * len(C)


def test_a_dollar_in_a_name_is_a_dollar():
    """The name of an arm is text, never mathematics."""
    seen = view(arm="costs")
    chains = [chain for chain in seen.chains if chain.arm == "costs"]
    object.__setattr__(chains[0].run, "arm", "5$_{of 10$")
    assert "5$_{of 10$" in figures.change(seen, seen.subjects(fed_back=True)[0], chains, 3, 3)


@pytest.mark.parametrize("generations", [2, 5, 6, 12, 40])
def test_labels_of_steps_leave_each_other_room(generations):
    """However many steps there are, a panel names at most six of them, and always the one from 0 to the last."""
    seen = view(generations=generations)
    chain = next(chain for chain in seen.chains if chain.arm == "one")
    ax = Figure().subplots()
    figures._change(ax, seen, seen.subjects(fed_back=True)[0], chain)
    texts = [label.get_text() for label in ax.get_xticklabels() if label.get_text()]
    assert len(texts) <= 6
    assert texts[-1] == "0\u21922"  # the tables reach generation 2


@pytest.mark.parametrize("arms", [1, 3, 9, 20])
def test_the_legend_is_no_wider_than_its_figure(arms):
    """With many arms, or long names, the legend takes more lines."""
    seen = view(arms=[{"name": f"accumulate_top_k-{k}", "set": {"images": 64}} for k in range(arms)])
    figure = Figure(figsize=(5.8, 3.1), layout="constrained")
    figure.subplots()
    figures._legend(figure, seen.chains)
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width
