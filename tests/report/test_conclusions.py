"""The verdict in sentences, on hand-made tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from test_figures import view

from entropy_loop.data import INSTRUMENTS, VERDICTS, columns
from entropy_loop.report import conclusions

STATES = {"recognition": "down", "noise": "up", "diversity": "undecided", "tails": "not measured", "distance": "up"}
TESTS = [
    {"instrument": "recognition", "metric": "V(all)", "mean": -0.62, "low": -0.7, "high": -0.5, "state": "down"},
    {"instrument": "noise", "metric": "bytes_per_pixel", "mean": 0.31, "low": 0.2, "high": 0.4, "state": "up"},
    {"instrument": "diversity", "metric": "vendi", "mean": -0.08, "low": -0.3, "high": 0.1, "state": "undecided"},
]


def told(**changes: Any) -> str:
    """The sentences on an arm of five chains that falls apart, with some columns changed."""
    seen = view()
    subject = seen.subjects(fed_back=True)[0]
    where = {"arm": "one", "prompt": subject.prompt.text, "judge": subject.judge}
    row = {"verdict": "disintegration", "margin": 0.1, **STATES, "subcutaneous": False, "chains": 5} | changes
    p = {"p": 0.001 if row["chains"] >= 3 else None}
    tests = [where | p | test for test in TESTS if row["verdict"] == "disintegration"]
    tables = replace(
        seen.tables,
        verdicts=columns(pd.DataFrame([where | row]), VERDICTS),
        instruments=columns(pd.DataFrame(tests), INSTRUMENTS),
    )
    return dict(conclusions.verdicts(replace(seen, tables=tables), subject))["one"]


def test_a_verdict_names_what_moved_and_what_it_rests_on():
    """Two sentences: the instruments that show a change, then chains, level and correction."""
    assert told() == (
        "Disintegration: recognition falls, c\u00a0= 0.62, bytes per pixel rises by +31%. Five chains, p \u2264 .05 "
        "against chance and drift (distances: chance alone) after Holm over 3 instruments; a mean change within "
        "\u00b110% of generation 0 counts as none."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"chains": 2}, "Nothing is claimed with two chains."),
        ({"subcutaneous": True}, "Subcutaneous: V holds under selection"),
        ({"verdict": "stable"}, "Stable: every instrument lies within \u00b110% of generation 0, c within"),
        (
            {"verdict": "undecided"},
            "Undecided: diversity neither changed nor shown to be unchanged, attribute tails not",
        ),
    ],
)
def test_a_verdict_says_what_is_not_shown(changes, sentence):
    """Too few chains, decay under the skin, stability, and what was not measured: each in words."""
    assert sentence in told(**changes)
