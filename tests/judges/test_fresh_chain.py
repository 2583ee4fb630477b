"""The bundled judge on a chain that nobody has seen before."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from entropy_loop.commands import experiment
from scripts.training.storybook.judges.loop_truth.chains import CHAINS
from scripts.training.storybook.judges.loop_truth.parts import by_eye, labelled


@pytest.mark.thorough
def test_on_a_fresh_chain_v_stays_and_falls_where_labels_say(tmp_path: Path) -> None:
    """A small chain at the learning rate of `unseen-rate`, with a seed of its own: where the eye recognised nearly all
    of that chain's pictures V stays high, and where it recognised none V is gone."""
    (labelled_chain,) = (chain for chain in CHAINS if chain.name == "unseen-rate")
    eye = by_eye(chain := labelled("unseen").query("chain == 'unseen-rate'"), ("astronaut", "horse", "riding"))["all"]
    seen = eye.fillna(False).groupby(chain["generation"]).mean().loc[:8]
    sets = ("seed=31", "images=24", "generations=8", "checks=none", "evaluation.images=1")
    path = tmp_path / "chain.yaml"
    path.write_text(yaml.safe_dump(labelled_chain.config()), encoding="utf-8")
    tables = experiment.carry_out(experiment.prepare(path, sets), tmp_path / "out", lambda *_: None).tables
    rates = tables.rates.query("set == 'pool' and concept == 'all'").set_index("generation")["rate"]
    assert (rates[seen.index[seen >= 0.95]] >= 0.85).all()
    assert (rates[seen.index[seen <= 0.05]] <= 0.15).all()
