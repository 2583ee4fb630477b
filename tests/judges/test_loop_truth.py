"""The labelled pictures of feedback loops, and the bundled judge held to them."""

from __future__ import annotations

import pandas as pd

from entropy_loop.judges.clip import ClipRecogniser
from scripts.training.storybook.judges import evaluate
from scripts.training.storybook.judges.loop_truth import parts
from scripts.training.storybook.judges.loop_truth.label import ANSWERS
from scripts.training.storybook.judges.loop_truth.parts import CANT_TELL, HOME, LABELS

MISSED = {
    "V(all), none, generations 8-10, gap",
    "junk made by models, riding refused",
    "melted, astronaut refused",
    "melted, riding refused",
}
"""Demands that the bundled judge misses, each by little: its model card and docs/judges.md say by how much."""


def test_a_chain_belongs_to_one_part() -> None:
    """What a judge is tested on shares no chain with what judges are trained on."""
    origin = pd.read_csv(HOME / "pictures.csv")
    assert set(origin["part"]) == {"training", "calibration", "test", "unseen"}
    assert (origin.groupby("chain")["part"].nunique() == 1).all()


def test_every_picture_has_an_answer_to_every_question() -> None:
    """Each picture was looked at, each answer is one of the options, and the labeller is named."""
    looks = pd.read_csv(LABELS)
    ids = pd.read_parquet(HOME / "pictures.parquet", columns=["id"])["id"]
    assert set(looks.loc[looks["look"] == 1, "id"]) == set(ids)
    for question, options in ANSWERS.items():
        assert set(looks[question]) <= set(options)
    assert set(looks["labeller"]) == {"vision-language model"}


def test_a_labeller_agrees_with_itself() -> None:
    """A second look gives the first one's answer in nine of ten pictures, and few of generations 0 to 6 stay open."""
    looks = pd.read_csv(LABELS).set_index("id")
    second = looks[looks["look"] == 2]
    first = looks[looks["look"] == 1].loc[second.index]
    early = parts.labelled("test", "unseen", "calibration", "training").query("generation <= 6")
    for question in ANSWERS:
        assert (first[question] == second[question]).mean() >= 0.9
        assert early[question].eq(CANT_TELL).mean() <= 0.25


def test_what_the_eye_cannot_tell_stays_open_unless_another_part_is_a_no() -> None:
    """`all` is a yes when every part is, a no when one is, and open otherwise."""
    table = pd.DataFrame(
        {
            "rider": ["astronaut", "astronaut", CANT_TELL, CANT_TELL],
            "mount": ["horse", "horse", "horse", "zebra"],
            "relation": ["riding", CANT_TELL, "riding", "riding"],
        }
    )
    seen = parts.by_eye(table, ("astronaut", "horse", "riding"))["all"]
    assert seen.tolist() == [True, pd.NA, pd.NA, False]


def test_the_bundled_judge_sees_what_the_eye_sees() -> None:
    """On pictures of chains that nothing was trained on V follows the eye's from generation 0 to 10, and figures are
    not seen where there are none; what is missed is known."""
    lines = list(evaluate.demands(ClipRecogniser(model="bundled:storybook-judge")))
    assert len(lines) > 60
    assert {line.what for line in lines if not line.met} <= MISSED
