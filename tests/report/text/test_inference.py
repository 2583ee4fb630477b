"""What the page says across chains and of the ledger, on a toy study of three chains."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from entropy_loop.commands import experiment
from entropy_loop.data import ALL
from entropy_loop.plan import plan
from entropy_loop.report.text import inference
from entropy_loop.report.view import View
from entropy_loop.study import study

TOY = yaml.safe_load(Path("configs/toy.yaml").read_text())


@pytest.fixture(scope="module")
def view_and_page(tmp_path_factory):
    """(view, page) of two arms: one copies, the other forgets, for its real data show nothing."""
    world = {"use": "categorical", "rates": {"astronaut": 0.0, "horse": 0.0, "riding": 0.0}}
    arms = [{"name": "forgetting", "set": {"feedback": {"use": "fresh_real", "real_fraction": 0.9}}}]
    raw = {**TOY, "images": 40, "generations": 1, "real": world, "arms": arms, "sweep": {"seed": [0, 1, 2]}}
    planned, out = plan(study.check(raw)), tmp_path_factory.mktemp("study")
    finished = experiment.carry_out(planned, out, lambda *event: None)
    return View(planned, finished.tables), finished.report.read_text()


def test_claims_are_the_rows_of_the_summary_with_the_primary_one_first(view_and_page):
    """Arm for arm, concept for concept the numbers of summary.csv, c of `all` at the top."""
    view, _ = view_and_page
    lines = inference.claims(view, view.subjects(fed_back=True)[0])
    rows = view.tables.summary.query("statistic == 'change_rate'")
    assert [line.mean.value for line in lines] == rows["mean"].tolist()
    assert (lines[0].arm, lines[0].concept) == ("no curation", ALL)
    assert [line.arm for line in lines if line.concept == ALL] == [
        "no curation",
        "forgetting",
        "forgetting minus no curation",
    ]


def test_a_verdict_stands_where_p_is_small_and_nowhere_else(view_and_page):
    """Every line says 'beyond drift' exactly where Holm's p is at most .05; a copier's own arm is not beyond it."""
    view, page = view_and_page
    lines = inference.claims(view, view.subjects(fed_back=True)[0])
    assert all((line.verdict == "beyond drift") == (line.p.value <= 0.05) for line in lines)
    assert lines[0].verdict == "not beyond drift"
    assert "Across chains" in page
    assert "not beyond drift" in page


def test_the_ledger_has_every_step_of_every_chain(view_and_page):
    """Three chains of two arms, one step each, with curation, training and response as in ledger.csv."""
    view, page = view_and_page
    ledger = inference.ledger(view, view.subjects(fed_back=True)[0])
    rows = view.tables.ledger.query("concept == 'all'")
    assert len(ledger) == 6
    values = pd.DataFrame([[v.value for v in step.values[4:]] for _, steps in ledger for step in steps])
    assert values.to_numpy() == pytest.approx(rows[["curation", "training", "response"]].to_numpy(float))
    assert "The ledger" in page


def test_all_steps_of_the_ledger_together_are_the_whole_response(view_and_page):
    """Summed over its steps, an arm's response is V of the last generation minus V of the first, mean over chains."""
    view, _ = view_and_page
    subject = view.subjects(fed_back=True)[0]
    for arm, (curation, training, response) in inference.ledger_totals(view, subject):
        name = "none" if arm == "no curation" else arm
        first, last = (view.mean_rate(name, subject, ALL, g).mean for g in (0, 1))
        assert response.value == pytest.approx(last - first)
        assert curation.value + training.value == pytest.approx(response.value)
        assert response.counts == "3 chains"
