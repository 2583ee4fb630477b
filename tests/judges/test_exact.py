import numpy as np
import pandas as pd
import pytest

from entropy_loop.data import JUDGEMENTS, SCORES, Concept, Prompt, Samples
from entropy_loop.judges.exact import ExactRecogniser, ExactScorer, TraitScorer

SHOWS = {"i0": "", "i1": "horse", "i2": "astronaut+horse", "i3": "horses", "i4": "horse"}
PROMPTS = (Prompt("p", concepts=("astronaut", "horse")), Prompt("q", concepts=("horse",)))
CONCEPTS = (Concept("astronaut"), Concept("horse"))


def ignore(share: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def samples(tmp_path):
    table = pd.DataFrame({"id": SHOWS.keys(), "prompt": ["p", "p", "p", "p", "q"], "shows": SHOWS.values()})
    table.to_parquet(tmp_path / "samples.parquet")
    return Samples(tmp_path)


def test_a_concept_is_recognised_if_and_only_if_it_is_shown(samples):
    """One answer per image and concept of its prompt; a longer word that contains the name is not the concept."""
    table = ExactRecogniser().judge(samples, PROMPTS, CONCEPTS, ignore)
    assert list(table.columns) == list(JUDGEMENTS)
    answers = {(row.id, row.concept): row.answer for row in table.itertuples()}
    yes = {("i1", "horse"), ("i2", "astronaut"), ("i2", "horse"), ("i4", "horse")}
    no = {("i0", "astronaut"), ("i0", "horse"), ("i1", "astronaut"), ("i3", "astronaut"), ("i3", "horse")}
    assert answers == dict.fromkeys(yes, True) | dict.fromkeys(no, False)


def test_an_answer_is_its_score_over_its_threshold(samples):
    """The continuous score is kept: answers follow from score and threshold, so thresholds can move later."""
    table = ExactRecogniser().judge(samples, PROMPTS, CONCEPTS, ignore)
    assert ((table["score"] > table["threshold"]) == table["answer"]).all()
    assert len(table) == 9


def test_the_score_counts_the_concepts_shown(samples):
    """Each image of the asked prompts has a score, the number of concepts it shows; others have none."""
    table = ExactScorer().score(samples, ("p",), ignore)
    assert list(table.columns) == list(SCORES)
    assert dict(zip(table["id"], table["score"], strict=True)) == {"i0": 0.0, "i1": 1.0, "i2": 2.0, "i3": 1.0}


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_a_trait_is_scored_with_the_correlation_that_is_asked_for(tmp_path, correlation):
    """Over 4,000 traits of variance 1 the score has variance 1 and that correlation, within 5 standard errors."""
    trait, n = np.random.default_rng(0).standard_normal(4000), 4000
    table = pd.DataFrame({"id": [f"i{i}" for i in range(n)], "prompt": "p", "image_seed": np.arange(n), "trait": trait})
    table.to_parquet(tmp_path / "samples.parquet")
    score = TraitScorer(correlation).score(Samples(tmp_path), ("p",), ignore)["score"]
    assert abs(np.corrcoef(score, trait)[0, 1] - correlation) <= 5 * (1 - correlation**2) / n**0.5 + 1e-12
    assert abs(score.var() - 1) < 5 * (2 / n) ** 0.5
