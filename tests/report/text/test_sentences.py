"""The report's sentences on hand-made tables."""

from typing import Any

import pytest
from test_recognition import view

from entropy_loop.plan import plan
from entropy_loop.report.text import sentences
from entropy_loop.study import study

BANDS = [(0.5, 0.6, "outside"), (0.5, 0.7, "inside"), (0.625, 0.7, "inside"), (0.63, 0.7, "outside")]


@pytest.mark.parametrize(("low", "high", "place"), BANDS)
def test_a_finding_says_whether_c_lies_in_its_band(low: float, high: float, place: str) -> None:
    """c from 0 to the last generation is .625: inside a band that holds it, outside any other."""
    seen = view()
    whole = (seen.tables.changes["from_generation"] == 0) & (seen.tables.changes["to_generation"] == 2)
    seen.tables.changes.loc[whole, ["drift_low", "drift_high"]] = low, high
    finding = dict(sentences.findings(seen, seen.subjects(fed_back=True)[0]))["one"]
    assert f"{place} the drift band [{low:.2f}, {high:.2f}]" in finding
    assert "outside the sampling band [\u22120.10, 0.10]" in finding


TOY: dict[str, Any] = {
    "name": "toy",
    "generations": 1,
    "images": 40,
    "prompts": [{"text": "a horse", "concepts": ["horse"]}],
    "generator": {"use": "categorical", "rates": {"horse": 0.5}},
    "real": {"use": "categorical", "rates": {"horse": 0.5}},
    "curate": {"scorer": {"use": "exact"}},
    "judges": [{"use": "exact"}],
}
SENTENCES = [
    ({}, "It keeps all, and the next generation is trained on what the generation before it kept."),
    ({"curate.policy": {"use": "top_k", "k": 0.25}}, "keeps the 10 best, and"),
    ({"curate.policy": {"use": "bottom_k", "k": 5}}, "keeps the 5 worst, and"),
    ({"curate.policy": {"use": "random_k", "k": 5}}, "keeps 5 at random, and"),
    ({"curate.policy": {"use": "threshold", "score": 0.5}}, "keeps those that score at least 0.5, and"),
    ({"curate.policy": {"use": "k_choice", "k": 5}}, "keeps 5 choices, each of one among 2 by score, and"),
    ({"feedback": {"use": "window", "generations": 3}}, "trained on what the 3 generations before it kept."),
    (
        {"feedback": {"use": "mix_real", "real_fraction": 0.25}},
        "as 25% of the training images, real images (one fixed set).",
    ),
    ({"feedback": {"use": "fresh_real", "real_fraction": 1}}, "real images (new ones in every step) instead of"),
    (
        {"reteach": {"every": 2, "concepts": ["horse"], "images": 3}},
        "kept; in addition, in every step whose number is ",
    ),
    (
        {"train.method": "none"},
        "keeps nothing, and the next generation is trained on nothing, "
        "so every generation is generation 0\u2019s model.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), SENTENCES)
def test_the_sentence_on_what_was_run_is_right(changes: dict[str, Any], sentence: str) -> None:
    """What is kept, what is fed back, the real share, and that nothing is trained."""
    planned = plan(study.check({**TOY, "arms": [{"name": "this", "set": changes or {"images": 40}}], "sweep": {}}))
    only = plan(study.Study(planned.study.raw, planned.study.config, planned.study.points[-1:]))
    assert sentence in sentences.what_was_run(only)
    assert "1 feedback step from" in sentences.what_was_run(only)
