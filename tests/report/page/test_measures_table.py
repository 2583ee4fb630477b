"""The table of diversity, noise and tails."""

from dataclasses import replace

import pandas as pd
import pytest
from test_recognition import view

from entropy_loop.data import MEASURED, TAILS, columns
from entropy_loop.report.page.measures import table
from entropy_loop.report.view import View


def seen(**changes: object) -> View:
    """Vendi scores of 5 - generation + seed in every chain, in a band of 2 to 4.5."""
    bare = view(**changes)
    rows = [
        {
            "run": run.name, "arm": run.arm, "prompt": "a prompt", "reference": "none", "metric": "vendi",
            "generation": g, "n": 10, "value": 5.0 - g + run.config.seed, "null_low": 2.0, "null_high": 4.5,
        }
        for run in bare.plan.chains for g in range(3)
    ]  # fmt: skip
    empty = {"noise": columns(pd.DataFrame(), MEASURED), "tails": columns(pd.DataFrame(), TAILS)}
    return View(bare.plan, replace(bare.tables, diversity=columns(pd.DataFrame(rows), MEASURED), **empty))


def test_an_arm_of_several_chains_is_shown_as_mean_and_range():
    """Seeds 0, 1, 2 at generation 1: mean 5, from 4 to 6; two of three lie outside, which is most of them."""
    shown = seen(sweep={"seed": [0, 1, 2]})
    measures = table(shown, shown.prompts[0])
    (_, rows), *_ = measures.arms
    (cell,) = rows[1][1]
    assert (cell.value.value, cell.value.low, cell.value.high) == pytest.approx((5, 4, 6))
    assert cell.value.counts == "2/3 outside"
    assert cell.outside
    assert len(measures.chains) == len(shown.chains)


def test_one_chain_per_arm_has_no_table_of_means():
    """Its numbers stand there with their own intervals, once."""
    shown = seen()
    measures = table(shown, shown.prompts[0])
    assert measures.arms == []
    assert [cell.value.value for _, (cell,) in measures.chains[0][1]] == [5, 4, 3]


def test_with_many_arms_the_table_of_means_has_the_first_and_the_last_generation():
    """Ten lines in place of thirty; the chains have them all."""
    arms = [{"name": f"arm{i}", "set": {"images": 60 + i}} for i in range(4)]
    shown = seen(arms=arms, sweep={"seed": [0, 1]})
    measures = table(shown, shown.prompts[0])
    assert [[g for g, _ in rows] for _, rows in measures.arms] == [[0, 2]] * 5
    assert all([g for g, _ in rows] == [0, 1, 2] for _, rows in measures.chains)
