"""The verdict in sentences, on hand-made tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from test_recognition import view

from entropy_loop.data import INSTRUMENTS, VERDICTS, columns
from entropy_loop.report.text import conclusions

STATES = {"recognition": "down", "noise": "up", "diversity": "undecided", "tails": "not measured", "distance": "up"}
TESTS = [
    {"instrument": "recognition", "metric": "V(all)", "mean": -0.62, "low": -0.7, "high": -0.5, "state": "down"},
    {"instrument": "noise", "metric": "bytes_per_pixel", "mean": 0.31, "low": 0.2, "high": 0.4, "state": "up"},
    {"instrument": "diversity", "metric": "vendi", "mean": -0.08, "low": -0.3, "high": 0.1, "state": "undecided"},
]


def sentences(**changes: Any) -> str:
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
    assert sentences() == (
        "Disintegration: recognition falls, c\u00a0= 0.62, bytes per pixel rises by +31%. Five chains, p \u2264 .05 "
        "against chance and drift (distances: chance alone) after Holm over 3 instruments; a mean change within "
        "\u00b110% of generation 0 counts as none."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"chains": 2}, "Nothing is claimed with two chains."),
        ({"subcutaneous": True}, "Subcutaneous: V holds under selection"),
        ({"verdict": "stable"}, "Stable: every instrument is within \u00b110% of generation 0, c within"),
        (
            {"verdict": "undecided"},
            "Undecided: diversity neither changed nor shown to be unchanged, attribute tails not",
        ),
    ],
)
def test_a_verdict_says_what_is_not_shown(changes, sentence):
    """Too few chains, decay under the skin, stability, and what was not measured: each in words."""
    assert sentence in sentences(**changes)


def whole(**changes: Any) -> str:
    """The verdict on the whole: V(all) falls from .8 to .3 in the arm “one”."""
    seen = view(**changes)
    known = seen.tables.summary.assign(against="", chains=len(seen.chains_of(seen.subjects(fed_back=True)[0])))
    c = known.head(1).assign(statistic="change_rate", mean=0.62)
    rows = pd.concat([known, c], ignore_index=True)
    verdicts = columns(
        pd.DataFrame([{"arm": "one", "verdict": "both", "prompt": "a prompt", "judge": "exact"}]), VERDICTS
    )
    verdicts["subcutaneous"] = False
    tables = replace(seen.tables, summary=rows, verdicts=verdicts)
    return conclusions.verdict(replace(seen, tables=tables), seen.subjects(fed_back=True)[0])


def test_the_verdict_on_one_chain_says_what_was_seen_and_claims_nothing():
    """Two sentences: the shares of the first and the last generation, and that one chain is no evidence."""
    assert whole() == (
        "Horse is recognised in 80% of the images of generation 0, and at generation 2 in 30%; the change lies outside "
        "its drift band. This describes one chain per arm; a claim needs at least three."
    )


def test_the_verdict_on_enough_chains_is_the_verdict():
    """From three chains on the second sentence is that of verdicts.csv."""
    text = whole(sweep={"seed": [0, 1, 2]})
    assert text.endswith("Verdict on three chains per arm: both with one.")


@pytest.mark.parametrize(("value", "text"), [(0.0, "0%"), (0.001, "<1%"), (0.5, "50%"), (0.999, ">99%"), (1.0, "100%")])
def test_a_share_is_none_or_all_only_where_it_is(value, text):
    """A rounded share never says that nothing or everything was recognised where that is not so."""
    assert conclusions._share(value) == text


def test_without_judgements_there_is_no_verdict():
    """Before the first judgement there is no verdict."""
    seen = view()
    empty = replace(seen.tables, summary=seen.tables.summary.head(0), verdicts=columns(pd.DataFrame(), VERDICTS))
    assert conclusions.verdict(replace(seen, tables=empty), seen.subjects(fed_back=True)[0]).startswith("No pool has")
