import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from statsmodels.stats.proportion import proportion_confint

from entropy_loop.metrics.calibration import halves, performance, roc, thinned, threshold

# Few different values, so that ties between and within the sets come up.
SCORES = st.lists(st.integers(-6, 6), min_size=1, max_size=25).map(lambda values: np.array(values, float) / 4)


def least(cut: float, positives: np.ndarray, *refused: np.ndarray) -> float:
    """The minimum rate of a cut, counted image by image."""
    return min(np.mean(positives > cut), *(np.mean(other <= cut) for other in refused))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(SCORES, SCORES, SCORES)
def test_no_other_cut_has_a_larger_minimum_rate(positives, negatives, junk):
    """No cut at, below or above any score has a larger minimum rate."""
    result = threshold(positives, negatives, junk)
    others = [cut + step for cut in np.concatenate([positives, negatives, junk]) for step in (-0.01, 0, 0.01)]
    assert least(result, positives, negatives, junk) >= max(least(c, positives, negatives, junk) for c in others) - 1e-9


def test_the_threshold_is_the_middle_of_the_plateau():
    """Two sets that part: the middle of the gap. Where the cuts 3 and 6 are as good, and no other: 4.5."""
    assert threshold(np.array([3.0, 5.0]), np.array([-1.0, 0.0])) == 1.5
    assert threshold(np.array([0.0, 8.0]), np.array([-1.0, 2.0, 4.0])) == 4.5


def test_junk_moves_the_threshold():
    """Junk with scores above the negatives' raises the threshold, so that it is refused, too."""
    positives, negatives = np.array([2.0, 3.0]), np.array([-3.0, -2.0])
    assert threshold(positives, negatives) == 0.0
    assert threshold(positives, negatives, np.array([1.0])) == 1.5


def test_scores_that_are_all_one_are_refused():
    """A judge that gives everything the same score says no to everything."""
    assert not (np.full(3, 0.7) > threshold(np.full(3, 0.7), np.full(4, 0.7))).any()


@settings(max_examples=100, derandomize=True, deadline=None)
@given(SCORES, SCORES)
def test_the_roc_has_the_area_of_mann_and_whitney(positives, negatives):
    """From (0, 0) to (1, 1), never falling; its area is the share of pairs in the right order, ties by halves."""
    curve = roc(positives, negatives)
    x, y = curve["false_positive_rate"].to_numpy(), curve["sensitivity"].to_numpy()
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= 0).all()
    area = mannwhitneyu(positives, negatives).statistic / (len(positives) * len(negatives))
    assert np.trapezoid(y, x) == pytest.approx(area)


def test_a_point_of_the_roc_is_what_its_threshold_gives():
    """Shares above the threshold of each row, counted one by one; no point lies on the line between its neighbours."""
    rng = np.random.default_rng(1)
    positives, negatives = rng.normal(1, 1, 60), rng.normal(0, 1, 90)
    curve = roc(positives, negatives)
    assert 10 < len(curve) < 100
    for row in curve.itertuples():
        assert row.sensitivity == pytest.approx(np.mean(positives > row.threshold))
        assert row.false_positive_rate == pytest.approx(np.mean(negatives > row.threshold))
    steps = np.diff(curve[["false_positive_rate", "sensitivity"]].to_numpy(), axis=0) > 0
    assert not (steps[1:] == steps[:-1]).all(axis=1).any()


def test_a_thinned_table_keeps_its_ends():
    """At most so many rows, in order, the first and the last among them; a short table stays as it is."""
    table = pd.DataFrame({"x": range(1000)})
    assert thinned(table, 7)["x"].tolist() == [0, 166, 333, 500, 666, 832, 999]
    assert len(thinned(table.head(5), 7)) == 5


def test_performance_counts_what_is_known():
    """3 of 4 shown are recognised, 1 of 2 others refused; an image without label or answer is in neither count."""
    true = [True, True, True, True, False, False, None, True, False]
    given_answers = [True, True, True, False, False, True, True, None, None]
    result = performance(pd.array(given_answers, dtype="boolean"), pd.array(true, dtype="boolean"))
    assert (result.positives, result.sensitivity) == (4, 0.75)
    assert (result.negatives, result.specificity) == (2, 0.5)
    expected = proportion_confint(3, 4, method="wilson")
    assert (result.sensitivity_low, result.sensitivity_high) == pytest.approx(expected)


def test_performance_without_such_images_is_missing():
    """Nothing that shows the concept: no sensitivity, never 0."""
    result = performance(np.array([True, False]), np.array([False, False]))
    assert (result.positives, result.sensitivity, result.sensitivity_low) == (0, None, None)
    assert (result.negatives, result.specificity) == (2, 0.5)


@pytest.mark.parametrize("n", [0, 1, 7, 100])
def test_every_image_is_in_one_half(n):
    """Two halves that are as large as can be and share nothing; the seed decides who is where."""
    fit, report = halves(n, 3)
    assert sorted([*fit, *report]) == list(range(n))
    assert 0 <= len(fit) - len(report) <= 1
    assert np.array_equal(halves(n, 3)[0], fit)
    assert n < 100 or not np.array_equal(halves(n, 4)[0], fit)
