import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_loop.metrics.change import change_interval, change_rate

CHI2 = 3.841458820694124
COUNTS = st.integers(2, 60).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n)))


@pytest.mark.parametrize(
    ("hits1", "n1", "hits2", "n2", "c"),
    [(80, 100, 60, 100, 0.25), (50, 100, 60, 100, -0.2), (8, 10, 0, 10, 1.0), (3, 4, 6, 8, 0.0)],
)
def test_c_is_the_share_of_v1_that_is_lost(hits1, n1, hits2, n2, c):
    """c = (V1 - V2) / V1: positive when recognition falls, negative when it rises, 1 when it is gone."""
    assert change_rate(hits1, n1, hits2, n2) == pytest.approx(c)


@pytest.mark.parametrize("counts", [(0, 10, 5, 10), (0, 10, 0, 10), (0, 0, 5, 10), (5, 10, 0, 0)])
def test_c_is_missing_without_v1_or_without_a_pool(counts):
    """V1 = 0 and an empty pool leave c and its interval undefined, which is missing and not 0."""
    assert change_rate(*counts) is None
    assert change_interval(*counts) is None


def test_the_interval_is_the_published_one():
    """Koopman 1984's example, 36/40 against 16/80: the risk ratio 4.5 has the score interval 2.94 to 7.15."""
    result = change_interval(16, 80, 36, 40)
    assert (1 - result.high, 1 - result.low) == pytest.approx((2.94, 7.15), abs=0.005)


def log_likelihood(p: float, hits: int, n: int) -> float:
    yes = hits * math.log(p) if hits else 0.0
    return yes + ((n - hits) * math.log1p(-p) if n > hits else 0.0)


def score(theta: float, hits1: int, n1: int, hits2: int, n2: int) -> float:
    """The score statistic with the maximum of the likelihood under V2 = theta V1 found by golden section."""
    low, high = 1e-12, min(1.0, 1 / theta) - 1e-12
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(90):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        left = log_likelihood(a, hits1, n1) + log_likelihood(theta * a, hits2, n2)
        if left > log_likelihood(b, hits1, n1) + log_likelihood(theta * b, hits2, n2):
            high = b
        else:
            low = a
    p1 = (low + high) / 2
    p2 = theta * p1
    return (hits2 / n2 - theta * hits1 / n1) ** 2 / (p2 * (1 - p2) / n2 + theta**2 * p1 * (1 - p1) / n1)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(COUNTS, COUNTS)
def test_the_interval_holds_what_a_score_test_accepts(first, last):
    """Just inside either end a brute-force score test accepts the ratio, just outside it refuses it."""
    counts = (*first, *last)
    result = change_interval(*counts)
    ends = [1 - result.low] + ([1 - result.high] if result.high < 1 else [])
    for end, outwards in zip(ends, (1.001, 1 / 1.001), strict=False):
        assert score(end / outwards, *counts) < CHI2 < score(end * outwards, *counts)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(COUNTS, COUNTS)
def test_the_interval_holds_c(first, last):
    """low <= c <= high <= 1, whatever was counted."""
    result, c = change_interval(*first, *last), change_rate(*first, *last)
    assert result.low - 1e-9 <= c <= result.high + 1e-9
    assert result.high <= 1


def test_the_interval_is_defined_where_the_delta_method_is_not():
    """At V2 = 0 it reaches up to 1 but not down to it; at V1 = V2 = 1 it still has a width."""
    gone, perfect = change_interval(8, 10, 0, 10), change_interval(10, 10, 10, 10)
    assert gone.high == 1
    assert 0 < gone.low < 1
    assert perfect.low < 0 < perfect.high


@pytest.mark.parametrize(("rate", "n", "half"), [(0.8, 500, 0.06), (0.8, 1000, 0.04), (0.8, 200, 0.10)])
def test_wide_pools_agree_with_the_law_of_c(rate, n, half):
    """When nothing changes, c of pools that are not small has the interval that the law says (docs/laws.md, C1)."""
    hits = round(rate * n)
    result = change_interval(hits, n, hits, n)
    assert (result.high - result.low) / 2 == pytest.approx(half, abs=0.005)  # the law has two digits


def test_the_interval_covers_as_often_as_it_says():
    """Exact coverage over all outcomes of two pools of 20 at V = .8: between 93 and 97 %."""
    n, v = 20, 0.8
    chance = [math.comb(n, h) * v**h * (1 - v) ** (n - h) for h in range(n + 1)]
    covered = 0.0
    for hits1 in range(8, n + 1):  # fewer have a probability below 1e-4
        for hits2 in range(8, n + 1):
            result = change_interval(hits1, n, hits2, n)
            covered += chance[hits1] * chance[hits2] * (result.low <= 0 <= result.high)
    assert 0.93 < covered < 0.97
