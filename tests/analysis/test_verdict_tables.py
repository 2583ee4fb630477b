"""verdicts.csv and instruments.csv from tables as the stages write them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from entropy_loop.analysis.tables import MEASURED
from entropy_loop.analysis.verdicts import verdicts
from entropy_loop.data import ALL, SUMMARY, columns
from entropy_loop.plan import plan
from entropy_loop.study import study

TOY = yaml.safe_load(Path("configs/toy.yaml").read_text())
PLAN = plan(study.check({**TOY, "generations": 2, "sweep": {"seed": [0, 1, 2]}}))
PROMPT = TOY["prompts"][0]["text"]
# (table, metric, item, reference in generation 0 and in the last one, values there, half the width of the null band)
MEASURES = [
    ("noise", "bytes_per_pixel", None, "none", "none", 1.0, 1.5, 0.1),
    ("diversity", "vendi", None, "none", "none", 5.0, 5.1, 0.4),
    ("diversity", "cmmd", None, None, "generation0", None, 2.0, 0.1),
    ("diversity", "cmmd", None, "real", "real", 7.0, 7.0, 0.1),
    ("diversity", "copied", None, None, "diet", None, 0.9, 0.1),
    ("tails", "coat", "entropy", "none", "generation0", 1.5, 0.6, 0.2),
    ("tails", "coat", "entropy", "real", None, 1.7, None, 0.2),
    ("tails", "coat", "brown", "none", "generation0", 0.5, 0.9, 0.2),
]


def measured() -> pd.DataFrame:
    """Three chains with the same measures, in generation 0 and in the last one."""
    rows = []
    for run in PLAN.chains:
        for table, metric, item, first, last, before, after, half in MEASURES:
            for generation, reference, value in ((0, first, before), (2, last, after)):
                if value is not None:
                    middle = before if table == "tails" else 0.0
                    spans = {"low": value - 0.05, "high": value + 0.05}
                    spans |= {"null_low": middle - half, "null_high": middle + half}
                    spans |= {"null_mean": before or 0.0, "null_sd": half / 2}
                    cell = {"table": table, "metric": metric, "item": item, "reference": reference, "value": value}
                    rows.append({"run": run.name, "generation": generation, "prompt": PROMPT, "n": 128} | cell | spans)
    return columns(pd.DataFrame(rows), MEASURED)


def summary() -> pd.DataFrame:
    row = {"arm": "none", "against": "", "generation": 2, "prompt": PROMPT, "role": "target", "concept": ALL}
    row |= {"judge": "exact", "statistic": "change_rate", "chains": 3, "mean": 0.01, "low": -0.02, "high": 0.04}
    return columns(pd.DataFrame([row | {"null_low": -0.1, "null_high": 0.1, "p": 0.8}]), SUMMARY)


@pytest.fixture(scope="module")
def verdict_and_tests() -> tuple[dict, pd.DataFrame]:
    rows, tests = verdicts(PLAN, summary(), measured())
    return rows[0], pd.DataFrame(tests).set_index("metric")


def test_each_family_has_its_instruments(verdict_and_tests):
    """Recognition, noise, diversity, tails and distance to generation 0; real references and copying are none."""
    _, tests = verdict_and_tests
    expected = {"V(all)", "bytes_per_pixel", "vendi", "cmmd", "entropy of coat"}
    assert set(tests.index) == expected
    assert tests["chains"].eq(3).all()


def test_a_change_is_that_of_the_last_pool_against_generation_0(verdict_and_tests):
    """Bytes +50 %, Vendi +2 %, coats -60 %; a distance is the last one itself."""
    _, tests = verdict_and_tests
    means = tests["mean"].to_dict()
    assert means["bytes_per_pixel"] == pytest.approx(0.5)
    assert means["vendi"] == pytest.approx(0.02)
    assert means["entropy of coat"] == pytest.approx(-0.6)
    assert means["cmmd"] == pytest.approx(2.0)


def test_the_row_says_what_each_family_shows(verdict_and_tests):
    """Noise rises and coats die out while V and Vendi stay: both, with every test in the reason."""
    row, _ = verdict_and_tests
    assert row["verdict"] == "both"
    states = {name: row[name] for name in ("recognition", "noise", "diversity", "tails", "distance")}
    assert states == {
        "recognition": "equivalent", "noise": "up", "diversity": "equivalent", "tails": "down", "distance": "up",
    }  # fmt: skip
    assert not row["subcutaneous"]  # nothing is selected
    assert "tails entropy of coat" in row["reason"]
