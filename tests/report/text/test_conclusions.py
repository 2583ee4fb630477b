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
            "Undecided. Neither changed nor shown to be unchanged: diversity. Not measured: attribute tails.",
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
    """The shares of the first and the last generation, what chance explains, and that one chain is no evidence."""
    assert whole() == (
        "Horse is recognised in 80% of the images of generation 0, and at generation 2 in 30%. By more than chance "
        "alone explains (drift band), recognition fell. This describes one chain per arm; a claim needs at least three."
    )


def test_the_verdict_on_enough_chains_is_the_verdict():
    """From three chains on the second sentence is that of verdicts.csv."""
    text = whole(sweep={"seed": [0, 1, 2]})
    assert text.endswith("Verdict on three chains per arm: both with one.")


FELL, ROSE, INSIDE = (-0.3, 0.3), (0.9, 1.0), (0.0, 1.0)  # drift bands of a c of about .62


@pytest.mark.parametrize(
    ("bands", "sentence"),
    [
        ([FELL], "By more than chance alone explains (drift band), recognition fell."),
        ([ROSE], "By more than chance alone explains (drift band), recognition rose."),
        ([INSIDE], "The change is no larger than chance alone explains (drift band)."),
        ([INSIDE] * 3, "No change is larger than chance alone explains (drift band)."),
        ([FELL] * 3, "By more than chance alone explains (drift band), recognition fell in every chain."),
        ([FELL, FELL, INSIDE], "(drift band), recognition fell in two of three chains."),
        ([FELL, ROSE, INSIDE], "recognition fell in one of three chains and rose in one of three chains."),
        ([], ""),
    ],
)
def test_a_change_beyond_the_drift_band_is_told_with_its_direction(bands, sentence):
    """Outside its band recognition fell or rose, chain by chain; inside it chance alone could do as much."""
    seen = view(sweep={"seed": list(range(max(1, len(bands))))})
    changes = seen.tables.changes
    changes.loc[:, ["drift_low", "drift_high"]] = float("nan")
    for seed, band in enumerate(bands):
        changes.loc[changes["seed"] == seed, ["drift_low", "drift_high"]] = band
    told = conclusions._against_chance(seen, seen.subjects(fed_back=True)[0])
    assert told.endswith(sentence)
    assert bool(told) == bool(bands)


def test_arms_of_one_verdict_share_a_line():
    """What is the same of every arm is said once."""
    seen = view()
    subject = seen.subjects(fed_back=True)[0]
    where = {"prompt": subject.prompt.text, "judge": subject.judge, "verdict": "undecided", "margin": 0.1, "chains": 1}
    rows = [where | STATES | {"recognition": "undecided", "subcutaneous": False, "arm": arm} for arm in ("none", "one")]
    tables = replace(
        seen.tables,
        verdicts=columns(pd.DataFrame(rows), VERDICTS),
        instruments=columns(pd.DataFrame(columns=list(INSTRUMENTS)), INSTRUMENTS),
    )
    (line,) = conclusions.verdicts(replace(seen, tables=tables), subject)
    too_few = "Undecided. Too few chains to decide: recognition, diversity. Not measured: attribute tails."
    assert line == ("All arms", too_few)


@pytest.mark.parametrize(("value", "text"), [(0.0, "0%"), (0.001, "<1%"), (0.5, "50%"), (0.999, ">99%"), (1.0, "100%")])
def test_a_share_is_none_or_all_only_where_it_is(value, text):
    """A rounded share never says that nothing or everything was recognised where that is not so."""
    assert conclusions._share(value) == text


def test_without_judgements_there_is_no_verdict():
    """Before the first judgement there is no verdict."""
    seen = view()
    empty = replace(seen.tables, summary=seen.tables.summary.head(0), verdicts=columns(pd.DataFrame(), VERDICTS))
    assert conclusions.verdict(replace(seen, tables=empty), seen.subjects(fed_back=True)[0]).startswith("No pool has")
