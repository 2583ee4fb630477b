from pathlib import Path

import pandas as pd
import pytest

from entropy_loop import experiment, study
from entropy_loop.errors import ConfigError
from entropy_loop.plan import plan
from entropy_loop.report.compare import COLUMNS, compare


def test_two_results_stand_side_by_side_with_the_numbers_of_their_own_tables(toy, tmp_path):
    """Every arm of every folder has one row; V and c are those of rates.csv and summary.csv."""
    folders = []
    for name, changes in (("one", {}), ("two", {"sweep": {"feedback": [{"use": "replace"}, {"use": "accumulate"}]}})):
        folders.append(tmp_path / name)
        experiment.carry_out(plan(study.load(toy(name=name, **changes))), folders[-1], lambda *told: None)
    found = compare(folders)
    assert list(found.columns) == list(COLUMNS)
    assert list(zip(found["results"], found["arm"], strict=True)) == [
        ("one", "none"),
        ("two", "replace"),
        ("two", "accumulate"),
    ]
    for row in found.itertuples():
        rates = pd.read_csv(tmp_path / row.results / "rates.csv").query(
            "concept == 'all' and set == 'pool' and arm == @row.arm"
        )
        assert (row.v_first, row.v_last) == (rates["rate"].iloc[0], rates["rate"].iloc[-1])
        assert row.change_rate == pytest.approx(1 - row.v_last / row.v_first)


def test_a_folder_without_results_is_refused(tmp_path):
    """The message names the missing table and what writes it."""
    with pytest.raises(ConfigError, match=r"rates.csv: not there; `entropy-loop run`"):
        compare([Path(tmp_path)])
