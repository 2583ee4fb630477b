"""Figures: what is drawn, read back from matplotlib's own objects."""

import io
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from entropy_loop.analysis.tables import Tables
from entropy_loop.data import CHANGES, RATES, SUMMARY, columns
from entropy_loop.plan import plan
from entropy_loop.report.figures import drawing, recognition
from entropy_loop.report.view import View
from entropy_loop.study import study

V, C = [0.8, 0.6, 0.3], {(0, 1): 0.25, (1, 2): 0.5, (0, 2): 0.625}
PROMPT = {"prompt": "a prompt", "role": "target", "judge": "exact", "concept": "all"}
DRIFTED = {"null_low": [0.8, 0.5, 0.3], "null_high": [0.8, 0.9, 1.0]}
REDRAWN = {"sampling_low": [0.8, 0.7, 0.7], "sampling_high": [0.8, 0.85, 0.85]}


def view(arm: str = "one", **changes: object) -> View:
    """One arm whose V(all) falls, by .01 less with every seed; the sampling band is c -+ .1, the drift band c -+ .3."""
    config = {
        "name": "figures",
        "generations": 2,
        "prompts": [{"text": "a prompt", "concepts": ["horse"]}],
        "generator": {"use": "categorical", "rates": {"horse": 0.8}},
        "judges": [{"use": "exact"}],
        "arms": [{"name": arm, "set": {"images": 64}}],
        **changes,
    }
    planned = plan(study.check(config))
    pool = {"set": "pool", "n": 10, "hits": 1, "low": 0.0, "high": 1.0}
    bands = {"sampling_low": -0.1, "sampling_high": 0.1, "drift_low": -0.3, "drift_high": 0.3}
    rates, steps = [], []
    for run in (run for run in planned.chains if run.arm == planned.chains[-1].arm):
        where = {**PROMPT, "run": run.name, "arm": run.arm, "seed": run.config.seed}
        less = 0.01 * run.config.seed
        rates += [where | pool | {"generation": g, "rate": v - less} for g, v in enumerate(V)]
        steps += [
            where | bands | {"from_generation": a, "to_generation": b, "change_rate": c - less, "low": 0, "high": 1}
            for (a, b), c in C.items()
        ]
    across = [
        {**PROMPT, "arm": planned.chains[-1].arm, "statistic": "rate", "generation": g, "mean": v}
        | {name: ends[g] for name, ends in (DRIFTED | REDRAWN).items()}
        for g, v in enumerate(V)
    ]
    known = {"rates": columns(pd.DataFrame(rates), RATES), "changes": columns(pd.DataFrame(steps), CHANGES)}
    known |= {"summary": columns(pd.DataFrame(across), SUMMARY)}
    empty = {field.name: pd.DataFrame() for field in fields(Tables)}
    return View(planned, Tables(**empty | known))


def drawn(seen: View, draw, **options):
    """(axes with one panel of the arm that has numbers, its chains)."""
    subject, ax = seen.subjects(fed_back=True)[0], Figure().subplots()
    chains = list(seen.arms_of(subject).values())[-1]
    draw(ax, view=seen, subject=subject, chains=chains, **options)
    return ax, chains


PANEL = {"concept": "all", "title": "one"}
LIMITS = {"limits": (-1.0, 1.0)}


def test_the_line_of_v_goes_through_the_rates():
    """The plotted line goes through the rates of the table, generation by generation."""
    ax, chains = drawn(view(), recognition._arm, **PANEL)
    (line,) = [line for line in ax.lines if line.get_marker() == chains[0].style.marker]
    assert line.get_ydata() == pytest.approx(V)


def test_several_chains_are_drawn_one_by_one_with_their_mean():
    """Each chain is a line of its own through its own rates; the one with marks is the mean of the summary."""
    ax, chains = drawn(view(sweep={"seed": [0, 1, 2]}), recognition._arm, **PANEL)
    (mean,) = [line for line in ax.lines if line.get_marker() == chains[0].style.marker]
    assert mean.get_ydata() == pytest.approx(V)
    singles = [line for line in ax.lines if line is not mean and line.get_color() == chains[0].style.colour]
    assert np.array([line.get_ydata() for line in singles]) == pytest.approx(
        np.subtract.outer(np.array([0, 0.01, 0.02]), V) * -1
    )


def test_the_bands_behind_v_are_those_of_the_summary():
    """The drift band is a surface that grows with the generation, the sampling band a dashed line at either end."""
    ax, _ = drawn(view(), recognition._arm, **PANEL)
    (surface,) = ax.collections[:1]
    assert to_hex(surface.get_facecolor()[0]) == drawing.DRIFT
    corners = {(x, round(y, 6)) for x, y in surface.get_paths()[0].vertices.tolist()}
    assert corners == {(g, y) for ends in DRIFTED.values() for g, y in enumerate(ends)}
    dashed = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"]
    assert [list(y) for y in dashed] == list(REDRAWN.values())


def test_points_and_bands_of_c_lie_at_their_numbers():
    """Falling recognition lies above zero; each step has both bands, each in its colour."""
    ax, chains = drawn(view(), recognition._change, **LIMITS)
    points = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == chains[0].style.marker]
    assert points == list(C.values())
    spans = {(to_hex(p.get_facecolor()), round(p.get_y(), 6), round(p.get_y() + p.get_height(), 6)) for p in ax.patches}
    assert spans == {(drawing.DRIFT, -0.3, 0.3), (drawing.SAMPLING, -0.1, 0.1)}
    assert len(ax.patches) == 2 * len(C)


@pytest.mark.parametrize("seeds", [2, 5, 20])
def test_chains_of_an_arm_stand_side_by_side_in_a_step(seeds):
    """Every chain has a point of its own in every step, in the order of the seeds, and none enters the next step."""
    ax, chains = drawn(view(sweep={"seed": list(range(seeds))}), recognition._change, **LIMITS)
    lines = [line for line in ax.lines if line.get_marker() == chains[0].style.marker]
    points = pd.DataFrame([(*line.get_xdata(), *line.get_ydata()) for line in lines], columns=["x", "c"])
    steps = points.groupby(np.arange(len(points)) // seeds)
    assert len(steps) == len(C)
    for (_, step), c in zip(steps, C.values(), strict=True):
        assert step["x"].is_monotonic_increasing
        assert step["c"].tolist() == pytest.approx([c - 0.01 * seed for seed in range(seeds)])
        assert step["x"].max() - step["x"].min() < 0.76


def test_a_dollar_in_a_name_is_a_dollar():
    """The name of an arm is text, never mathematics."""
    seen = view(arm="costs")
    (chain,) = [chain for chain in seen.chains if chain.arm == "costs"]
    object.__setattr__(chain.planned, "arm", "5$_{of 10$")
    assert "5$_{of 10$" in recognition.change(seen, seen.subjects(fed_back=True)[0], ["5$_{of 10$"], 3, 3).svg


@pytest.mark.parametrize("generations", [2, 5, 6, 12, 40])
def test_labels_of_steps_leave_each_other_room(generations):
    """However many steps there are, a panel names at most six of them, and always the one from 0 to the last."""
    ax, _ = drawn(view(generations=generations), recognition._change, **LIMITS)
    texts = [label.get_text() for label in ax.get_xticklabels() if label.get_text()]
    assert len(texts) <= 6
    assert texts[-1] == "0\u21922"  # the tables reach generation 2


def nothing(ax) -> None:
    ax.set_title("nothing")


def test_a_png_has_200_pixels_per_inch_on_white_and_names_no_program():
    """Of a panel of 3 by 2 inches: 600 by 400 pixels, white in its corner, its resolution and nothing else inside."""
    image = Image.open(io.BytesIO(drawing.drawing([nothing], 3, 2, [""]).png()))
    assert image.size == (600, 400)
    assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    assert set(image.info) == {"dpi"}
    assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_a_figure_of_hundreds_of_arms_is_still_a_png():
    """A figure of 300 rows is drawn with fewer pixels per inch, not refused."""
    image = Image.open(io.BytesIO(drawing.Drawing(Figure(figsize=(3, 720))).png()))
    assert image.size[1] == drawing.LONGEST


def test_the_same_table_makes_the_same_bytes():
    """Drawn twice, SVG and PNG are the same byte for byte, with or without the SVG before the PNG."""
    seen = view()
    first, second, alone = (recognition.change(seen, seen.subjects(fed_back=True)[0], ["one"], 3, 3) for _ in range(3))
    assert (first.svg, first.png()) == (second.svg, second.png())
    assert alone.png() == first.png()


@pytest.mark.parametrize("arms", [1, 3, 9, 20])
def test_the_legend_is_no_wider_than_its_figure(arms):
    """With many arms, or long names, the legend takes more lines."""
    seen = view(arms=[{"name": f"accumulate_top_k-{k}", "set": {"images": 64}} for k in range(arms)])
    figure = Figure(figsize=(5.8, 3.1), layout="constrained")
    figure.subplots()
    drawing._legend(figure, drawing.marks({chain.name: chain.style for chain in seen.chains}))
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width
