"""The tails as stacked bars, read back from matplotlib's own objects."""

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_recognition import view

from entropy_loop.data import TAILS, columns
from entropy_loop.report.figures import attribute_shares, drawing
from entropy_loop.report.view import View

COATS = {"brown": [0.5, 0.6, 0.75], "grey": [0.3, 0.3, 0.25], "blue": [0.2, 0.1, None]}
CONFIG = {"attributes": {"coat": ["blue", "brown", "grey"]}, "measures": {"reader": {"use": "storybook"}}}


def seen(real: bool = False, **changes: object) -> View:
    """The arm of test_recognition with the shares of COATS; in seed 1's chain blue is unmeasurable from the start."""
    bare, rows = view(**CONFIG, **changes), []
    for run in (run for run in bare.plan.chains if run.arm == bare.plan.chains[-1].arm):
        where = {"run": run.name, "arm": run.arm, "prompt": "a prompt", "attribute": "coat"}
        for coat, values in COATS.items():
            for g, value in enumerate(values):
                missing = coat == "blue" and run.config.seed == 1
                place = {"generation": g, "reference": "generation0" if g else "none", "item": coat}
                rows.append(where | place | {"value": None if missing else value})
        entropy = {"item": "entropy", "null_low": 1.0, "null_high": 1.5}
        rows += [
            where | entropy | {"generation": g, "reference": "none", "value": 1.4 - g / 10 + run.config.seed / 100}
            for g in range(3)
        ]
        if real:
            place = {"generation": 0, "reference": "real"}
            rows += [where | place | {"item": coat, "value": 1 / 3} for coat in COATS]
    return View(bare.plan, replace(bare.tables, tails=columns(pd.DataFrame(rows), TAILS)))


def bars(shown: View) -> dict[float, dict[str, tuple[float, float]]]:
    """x -> colour or 'rest' -> (bottom, top)."""
    ax = Figure().subplots()
    (attribute,) = attribute_shares.attributes(shown, shown.prompts[0])
    attribute_shares._bars(ax, shown, attribute, shown.arms[-1])
    names = {colour: value for value, colour in attribute.colours.items()}
    spans: dict[float, dict[str, tuple[float, float]]] = {}
    for bar in ax.patches:
        name = "rest" if bar.get_hatch() else names[to_hex(bar.get_facecolor())]
        centre = round(bar.get_x() + bar.get_width() / 2, 6)
        spans.setdefault(centre, {})[name] = (bar.get_y(), bar.get_y() + bar.get_height())
    return spans


def test_shares_are_stacked_from_the_commonest_value_up_to_one():
    """One bar per generation; brown, the commonest at generation 0, lies at the bottom, the rarest at the top."""
    spans = bars(seen())
    assert sorted(spans) == [0, 1, 2]
    assert spans[1]["brown"] == (0, pytest.approx(0.6))
    assert spans[1]["grey"] == (pytest.approx(0.6), pytest.approx(0.9))
    assert spans[1]["blue"] == (pytest.approx(0.9), pytest.approx(1.0))
    assert list(attribute_shares.attributes(seen(), seen().prompts[0])[0].colours) == ["brown", "grey", "blue"]


def test_an_unmeasurable_value_is_a_hatched_rest_and_never_zero():
    """At generation 2 blue cannot be measured: what it may hold, up to 1, is hatched."""
    shown = seen()
    shown.tables.tails.loc[shown.tables.tails["item"].eq("grey") & shown.tables.tails["generation"].eq(2), "value"] = (
        0.1
    )
    assert bars(shown)[2]["rest"] == (pytest.approx(0.85), pytest.approx(1.0))
    assert bars(seen())[0]["rest"] == (pytest.approx(1.0), pytest.approx(1.0))


def test_a_chain_in_which_a_value_is_unmeasurable_leaves_its_part_to_the_rest():
    """Blue has .2 in one chain and is unmeasurable in the other: .1 is blue, .1 is hatched."""
    spans = bars(seen(sweep={"seed": [0, 1]}))[0]
    assert spans["blue"] == (pytest.approx(0.8), pytest.approx(0.9))
    assert spans["rest"] == (pytest.approx(0.9), pytest.approx(1.0))


def test_real_images_have_a_bar_of_their_own_at_the_left():
    """Where they were read, their shares stand left of generation 0."""
    spans = bars(seen(real=True))
    (left,) = [x for x in spans if x < 0]
    assert [spans[left][coat][1] - spans[left][coat][0] for coat in COATS] == pytest.approx([1 / 3] * 3)
    assert min(bars(seen())) == 0


def test_the_entropy_lies_before_its_drift_band():
    """The mean over the chains is the line with marks; the band is the table's."""
    shown, ax = seen(sweep={"seed": [0, 2]}), Figure().subplots()
    (attribute,) = attribute_shares.attributes(shown, shown.prompts[0])
    attribute_shares._entropy(ax, shown, attribute, shown.arms[-1])
    (mean,) = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    assert list(mean.get_ydata()) == pytest.approx([1.41, 1.31, 1.21])
    (band,) = ax.collections
    assert to_hex(band.get_facecolor()[0]) == drawing.DRIFT
    assert {y for _, y in band.get_paths()[0].vertices.tolist()} == {1.0, 1.5}
