"""Which null an arm has, from its config alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from entropy_loop.measuring.null_model import Still, Unknown, judged_images, null_model, real_rate
from entropy_loop.metrics.nulls import Drift
from entropy_loop.study import study
from entropy_loop.study.config import Config

MIXED = {"feedback": {"use": "mix_real", "real_fraction": 0.5}, "real": {"use": "storybook"}}
SCORED = {"scorer": {"use": "exact"}}


def config(**changes: object) -> Config:
    raw = yaml.safe_load(Path("configs/toy.yaml").read_text())
    return study.check({**raw, "sweep": {}, "images": 128, **changes}).config


def test_an_arm_that_feeds_back_drifts_through_what_it_keeps():
    """k of the pool; of one that is counted in part, k in proportion."""
    top = config(curate={"policy": {"use": "top_k", "k": 32}, **SCORED})
    models = [null_model(top, images, real=None) for images in (128, 64, 1)]
    assert [model.kept for model in models if isinstance(model, Drift)] == [32, 16, 1]


def test_where_nothing_is_trained_or_a_prompt_is_only_measured_nothing_drifts():
    """Then every pool is drawn from one model, whatever the policy keeps."""
    untrained = config(train={"method": "none"}, curate={"policy": {"use": "threshold", "score": 0.5}, **SCORED})
    assert null_model(untrained, 128, real=None) == Still("nothing is fed back")
    assert null_model(config(), 128, real=None, fed_back=False) == Still("nothing is fed back")


def test_where_the_kept_size_is_known_only_when_it_runs_there_is_no_null():
    """The reason says so."""
    kept = config(curate={"policy": {"use": "threshold", "score": 0.5}, **SCORED})
    assert null_model(kept, 128, real=None) == Unknown("how much the policy keeps is known only when it runs")


def test_a_diet_with_real_images_has_a_null_once_they_are_judged():
    """Half of the diet at their rate; without real images in the diet their rate changes nothing."""
    assert null_model(config(**MIXED), 128, real=None) == Unknown("its real images have not been judged")
    rng, kept = np.random.default_rng(0), [np.array([0.5])]
    for changes, rate in ((MIXED, 0.75), ({}, 0.5)):
        null = null_model(config(**changes), 128, real=1.0)
        assert isinstance(null, Drift)
        assert null.diet(kept, rng) == pytest.approx([rate])


def test_the_rate_of_real_images_is_missing_until_one_is_judged():
    """Over all rows together; none judged is no rate, never 0."""
    rows = pd.DataFrame({"n": [10, 30], "hits": [5, 27]})
    assert real_rate(rows) == 0.8
    assert real_rate(rows.assign(n=0, hits=0)) is None
    assert real_rate(rows.head(0)) is None


@pytest.mark.parametrize(
    ("judged", "people", "looked"),
    [((64, 64), False, None), ((64, 60), False, 60), ((64, 64), True, 64), ((64, 32), True, 32)],
)
def test_the_number_of_images_judged_is_given_unless_a_model_judged_all(judged, people, looked):
    """The fewest where pools differ."""
    assert judged_images(judged, 64, people) == looked
