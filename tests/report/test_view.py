"""What the report looks at, from the plan."""

from dataclasses import fields

import pandas as pd

from entropy_loop.analysis.tables import Tables
from entropy_loop.data import RATES, columns
from entropy_loop.plan import plan
from entropy_loop.report.view import View, arm_label
from entropy_loop.study import study

CONFIG = {
    "name": "views",
    "generations": 1,
    "prompts": [{"text": "a horse", "concepts": ["horse"]}, {"text": "a cow", "concepts": ["cow"]}],
    "generator": {"use": "categorical", "rates": {}},
    "judges": [{"use": "exact"}, {"use": "clip", "model": "bundled:storybook-judge"}],
}


def view(**changes: object) -> View:
    empty = {field.name: pd.DataFrame() for field in fields(Tables)}
    rates = columns(pd.DataFrame(), RATES)
    return View(plan(study.check({**CONFIG, **changes})), Tables(**empty | {"rates": rates}))


def test_one_number_per_prompt_and_a_letter_per_judge():
    """Figures of one prompt have one number, that of its pictures, however many judges there are."""
    two_judges = view()
    assert [s.number for s in two_judges.subjects(fed_back=True)] == ["1a", "1b", "2a", "2b"]
    one_judge = view(judges=[{"use": "exact"}])
    assert [s.number for s in one_judge.subjects(fed_back=True)] == ["1", "2"]


def test_a_chain_belongs_to_what_its_config_names():
    """An arm with one judge is no part of what another judge says."""
    seen = view(arms=[{"name": "one-judge", "set": {"judges": [{"use": "exact"}]}}])
    arms = {(s.prompt.text, s.judge): [c.arm for c in seen.chains_of(s)] for s in seen.subjects(fed_back=True)}
    assert arms["a horse", "exact"] == ["none", "one-judge"]
    assert arms["a horse", "storybook-judge"] == ["none"]


def test_the_arm_none_is_called_by_what_it_is():
    """`none` alone would pass for missing data."""
    seen = view()
    assert [chain.name for chain in seen.chains] == ["no curation"]
    assert arm_label("none_lr-0.1") == "none_lr-0.1"
