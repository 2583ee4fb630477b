import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_loop.data import ALL
from entropy_loop.metrics.rates import answers, newcombe, wilson

Z2 = 1.959963984540054**2


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(hits, n, low, high):
    """The four examples of Newcombe 1998 (Statistics in Medicine 17:857, table I, method 3) to four digits."""
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rates_that_a_score_test_accepts(counts):
    """At each end (V - p)^2 = z^2 p (1 - p) / n, which is what inverting the score test means; V lies inside."""
    hits, n = counts
    for p in wilson(hits, n):
        assert math.isclose((hits / n - p) ** 2, Z2 * p * (1 - p) / n, rel_tol=1e-6, abs_tol=1e-12)
    assert wilson(hits, n).low <= hits / n <= wilson(hits, n).high


@pytest.mark.parametrize("first", [(24, 24), (56, 70), (9, 10), (0, 10), (10, 10)])
@pytest.mark.parametrize("second", [(20, 24), (48, 80), (3, 10), (0, 10), (10, 10)])
def test_newcombe_gives_the_intervals_of_statsmodels(first, second):
    """Method 10 of Newcombe 1998 (Statistics in Medicine 17:873), as another implementation has it."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    expected = confint_proportions_2indep(*first, *second, compare="diff", method="newcomb")
    assert newcombe(first, second) == pytest.approx(expected, abs=1e-12)


def test_newcombe_gives_a_published_interval():
    """56/70 against 48/80: .0524 to .3339 (Newcombe 1998, table II, example a, method 10)."""
    assert newcombe((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


TRUTH = [  # astronaut, horse, all of them: Kleene's and
    (True, True, True),
    (True, False, False),
    (False, False, False),
    (True, None, None),
    (False, None, False),
    (None, None, None),
]


def test_all_is_and_with_missing_answers():
    """An image shows all concepts if each is recognised; a no decides even beside a missing answer, else missing."""
    rows = [
        {"id": f"i{n}", "concept": concept, "answer": answer}
        for n, (astronaut, horse, _) in enumerate(TRUTH)
        for concept, answer in (("horse", horse), ("astronaut", astronaut))
    ]
    result = answers(pd.DataFrame(rows), ("astronaut", "horse"))
    expected = pd.array([joint for *_, joint in TRUTH], dtype="boolean")
    assert list(result.columns) == ["astronaut", "horse", ALL]
    pd.testing.assert_extension_array_equal(result.loc[[f"i{n}" for n in range(6)], ALL].array, expected)


def test_a_concept_that_was_never_judged_is_missing():
    """A concept without any judgement is a column of missing answers, not of no's."""
    result = answers(pd.DataFrame([{"id": "i", "concept": "horse", "answer": True}]), ("horse", "riding"))
    assert result["riding"].isna().all()
    assert result[ALL].isna().all()
    assert bool(result.loc["i", "horse"]) is True
