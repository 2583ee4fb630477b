"""Do people agree with each other, with themselves, with the truth, and the judges with people?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from entropy_loop.metrics import agreement
from entropy_loop.metrics.rates import wilson

NAN = float("nan")


def test_alpha_of_krippendorffs_own_example() -> None:
    """Two observers, ten units, binary data: .095 in Krippendorff's "Computing Krippendorff's alpha-reliability", and
    by hand: 1 - 19 * 4 / (14 * 6)."""
    meg = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    owen = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    result = agreement.alpha(np.array([meg, owen], float))
    assert (result.n, result.value) == (10, pytest.approx(1 - 19 * 4 / (14 * 6)))
    assert round(result.value or 0, 3) == 0.095
    assert "no interval" in result.reason


def test_alpha_leaves_out_images_with_one_answer() -> None:
    """Missing answers are allowed; an image that one person saw says nothing of agreement."""
    answers = np.array([[1.0, 0, 1, 0, 1], [1.0, 0, NAN, 1, 1], [NAN, 0, NAN, 1, NAN]])
    result = agreement.alpha(answers)
    kept = agreement.alpha(answers[:, [0, 1, 3, 4]])
    assert (result.n, result.value) == (4, kept.value)


def test_alpha_is_missing_where_nothing_can_differ() -> None:
    """All yes is no perfect agreement, and single answers are none: missing, with the reason."""
    assert agreement.alpha(np.ones((3, 30)))[2:] == (None, None, None, "all answers are the same")
    assert agreement.alpha(np.array([[1.0, NAN], [NAN, 0.0]])).value is None


def test_the_interval_of_alpha_holds_alpha() -> None:
    """With enough images alpha has a bootstrap interval around it, the same every time."""
    rng = np.random.default_rng(0)
    shown = rng.random(100) < 0.6
    answers = np.stack([shown ^ (rng.random(100) < 0.1) for _ in range(3)]).astype(float)
    result = agreement.alpha(answers)
    assert result.low is not None
    assert result.high is not None
    assert 0.4 < result.low < (result.value or 0) < result.high < 0.9
    assert agreement.alpha(answers) == result


def answer_row(
    rater: str, file: str, answer: bool | None, repeat: bool = False, truth: bool | None = None
) -> dict[str, object]:
    return {"rater": rater, "file": file, "concept": "horse", "answer": answer, "truth": truth, "repeat": repeat}


def test_raters_are_compared_with_their_earlier_answers() -> None:
    """Of three repeats one was answered otherwise; one that was left open does not count."""
    rows = [answer_row("a", f"{i}.png", True) for i in range(4)]
    rows += [
        answer_row("a", "0.png", True, True),
        answer_row("a", "1.png", False, True),
        answer_row("a", "2.png", True, True),
    ]
    rows += [answer_row("a", "3.png", None, True)]
    ((concept, result),) = agreement.with_themselves(pd.DataFrame(rows).astype({"answer": "boolean"}))
    assert (concept, result.n, result.value, (result.low, result.high)) == ("horse", 3, 2 / 3, tuple(wilson(2, 3)))


def test_each_rater_is_compared_with_known_truth() -> None:
    """Catch trials give each rater's accuracy; images without known truth do not enter."""
    rows = [answer_row("a", f"{i}.png", i != 1, truth=True) for i in range(4)] + [
        answer_row("b", "0.png", True, truth=False)
    ]
    rows += [answer_row("b", "x.png", True)]
    accuracy = {(r, c): (f.n, f.value) for r, c, f in agreement.with_truth(pd.DataFrame(rows))}
    assert accuracy == {("a", "horse"): (4, 0.75), ("b", "horse"): (1, 0.0)}


def test_a_judge_is_compared_with_most_people() -> None:
    """Twenty yes-yes, five yes-no, ten no-yes, fifteen no-no: kappa is the textbook's .4; Se and Sp have their n."""
    judge = pd.Series([True] * 25 + [False] * 25)
    people = pd.Series([True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    result = {s.statistic: s for s in agreement.of_judge(judge, people)}
    assert result["kappa"].value == pytest.approx(0.4)
    assert (result["sensitivity"].n, result["sensitivity"].value) == (30, pytest.approx(20 / 30))
    assert (result["specificity"].n, result["specificity"].value) == (20, pytest.approx(15 / 20))


def test_a_judge_that_cannot_be_compared_with_people_says_why() -> None:
    """Without any no of people there is no specificity and no kappa: missing, never 0 or 1."""
    result = {s.statistic: s for s in agreement.of_judge(pd.Series([True, False]), pd.Series([True, True]))}
    assert result["kappa"].value is None
    assert (result["specificity"].value, result["specificity"].reason) == (None, "people say yes to every image")
    assert {statistic.n for statistic in agreement.of_judge(pd.Series([None]), pd.Series([True]))} == {0}
