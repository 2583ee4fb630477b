"""The end of a run in the terminal."""

from dataclasses import fields

import pandas as pd
import pytest

from entropy_loop.analysis.tables import Tables
from entropy_loop.data import CHANGES, RATES, columns
from entropy_loop.report.text.terminal_summary import summary

CONCEPTS = ("astronaut", "horse", "riding", "all")


def falling_chain(generations: int) -> Tables:
    """One chain whose V(all) falls from .9 by .01 per step and whose c are all -1.25."""
    where = {"run": "none-seed0", "arm": "none", "seed": 0, "prompt": "a prompt", "role": "target", "judge": "a judge"}
    rates = [
        {**where, "set": "pool", "generation": g, "concept": c, "rate": 0.9 - g / 100}
        for g in range(generations + 1)
        for c in CONCEPTS
    ]
    band = {"low": -2.5, "high": -1.0, "drift_low": -1.5, "drift_high": 1.5}
    steps = [(g, g + 1) for g in range(generations)] + [(0, generations)] * (generations > 1)
    changes = [
        {**where, "concept": "all", "from_generation": a, "to_generation": b, "change_rate": -1.25, **band}
        for a, b in steps
    ]
    empty = {field.name: pd.DataFrame() for field in fields(Tables)}
    known = {"rates": columns(pd.DataFrame(rates), RATES), "changes": columns(pd.DataFrame(changes), CHANGES)}
    return Tables(**empty | known)


@pytest.mark.parametrize("generations", [1, 5, 10, 11, 12, 40, 255])
def test_a_terminal_of_80_columns_shows_it_whole(generations):
    """However many generations there are, no line is longer, and the first and the last one stand there."""
    lines = summary(falling_chain(generations)).splitlines()
    assert max(map(len, lines)) <= 80
    shown = next(line for line in lines if line.startswith("generation ")).split()[1:]
    assert (shown[0], shown[-1]) == ("0", str(generations))
    v = next(line for line in lines if "V all" in line).split()[2:]
    assert v == [f"{0.9 - int(g) / 100:.2f}".replace("-", "\u2212") for g in shown]


def test_c_from_the_first_to_the_last_generation_stands_with_its_band():
    """c, its interval and the drift band are one line; V of each concept at the last generation another."""
    text = summary(falling_chain(5))
    assert "c(0 to 5) = \u22121.25 [\u22122.50, \u22121.00]; drift [\u22121.50, 1.50]" in text
    assert "V at generation 5: astronaut 0.85, horse 0.85, riding 0.85" in text
