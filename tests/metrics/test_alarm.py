"""When a check of a judge is an alarm."""

import numpy as np
import pytest

from entropy_loop.metrics.alarm import alarm


@pytest.mark.parametrize(
    ("first", "now", "stands"),
    [
        ((24, 24), (12, 24), True),
        ((1000, 1000), (901, 1000), False),  # sure, but less than .10
        ((1000, 1000), (900, 1000), True),
        ((24, 24), (21, 24), False),  # more than .10, but not sure
        ((12, 24), (24, 24), False),  # a rise
        ((24, 24), (24, 24), False),
        ((0, 0), (3, 8), False),  # nothing to compare with
        ((8, 8), (0, 0), False),
    ],
)
def test_an_alarm_needs_a_fall_that_is_large_and_sure(first, now, stands):
    """A fall of at least .10 whose interval excludes 0; where there are no images there is no alarm."""
    assert bool(alarm(first, now)) == stands


def test_an_alarm_says_how_far_the_share_fell():
    """The fall with its interval, in words for the table."""
    assert alarm((24, 24), (12, 24)) == "fell by 0.50 [0.27, 0.69] since generation 0"


@pytest.mark.parametrize("rate", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [8, 24, 32])
def test_a_judge_that_stays_as_it_is_rarely_raises_one(rate, n):
    """Both shares drawn at one rate: at most 4 % of 2,000 draws are alarms."""
    drawn = np.random.default_rng(0).binomial(n, rate, (2000, 2))
    assert np.mean([bool(alarm((int(before), n), (int(now), n))) for before, now in drawn]) <= 0.04
