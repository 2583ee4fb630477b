"""Numbers with their units as people read them."""

import pytest

from entropy_loop.units import duration, plain, size


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0, "under 1 s"),
        (0.0003, "1 s"),
        (59 / 3600, "59 s"),
        (59.7 / 3600, "1 min"),
        (4 / 60, "4 min"),
        (59.7 / 60, "1.0 h"),
        (2.5, "2.5 h"),
        (9.96, "10 h"),
        (1234, "1,234 h"),
    ],
)
def test_a_duration_has_the_unit_that_people_would_choose(hours, text):
    """Seconds, minutes or hours; none of them is written with a row of zeros, nor as 60 of the smaller unit."""
    assert duration(hours) == text


@pytest.mark.parametrize(("value", "text"), [(0.974, "0.974"), (3.9, "3.9"), (999.6, "1,000"), (5.89e6, "5,890,000")])
def test_a_large_number_is_no_power_of_ten(value, text):
    """Three digits that count, or all before the point."""
    assert plain(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, ""), (870_000, "0.87 MB"), (99_000_000, "99 MB"), (180_000_000, "0.18 GB"), (15e10, "150 GB")],
)
def test_a_size_is_megabytes_or_gigabytes(count, text):
    """Nothing for no bytes."""
    assert size(count) == text
