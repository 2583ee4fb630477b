import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_loop.errors import ConfigError
from entropy_loop.seeds import seed

PLACE = st.tuples(st.integers(0, 255), st.integers(0, 63), st.integers(0, 2**18 - 1))


@settings(max_examples=200, derandomize=True)
@given(PLACE, PLACE, st.integers(0, 2**63))
def test_two_images_of_a_chain_never_share_a_seed(place, other_place, run_seed):
    """Different (generation, prompt, index) have different seeds of 32 bits; equal ones have the same."""
    first, second = seed(run_seed, "pool", *place), seed(run_seed, "pool", *other_place)
    assert 0 <= first < 2**32
    assert (first == second) == (place == other_place)


def test_twenty_thousand_images_in_a_row_never_collide():
    """No collision where hashing to 32 bits would have one with a probability of 4 %, let alone a plain bug."""
    assert len({seed(0, "pool", g, p, i) for g in range(4) for p in range(5) for i in range(1000)}) == 20_000


def test_run_seed_and_purpose_key_the_permutation():
    """Chains and purposes do not share their seeds: of 200 none stands at the same place in two of them."""
    streams = [[seed(r, p, 1, 2, i) for i in range(200)] for r, p in ((0, "pool"), (1, "pool"), (0, "train"))]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert sum(x == y for x, y in zip(streams[a], streams[b], strict=True)) == 0


def test_seeds_spread_evenly():
    """Neighbouring images get seeds from the whole range: the mean of 4,000 lies within 5 standard errors."""
    values = [seed(7, "pool", 0, 0, i) / 2**32 for i in range(4000)]
    assert abs(sum(values) / 4000 - 0.5) < 5 * (1 / 12 / 4000) ** 0.5


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ((256, 0, 0), "generation 256"),
        ((0, 64, 0), "prompt 64"),
        ((0, 0, 2**18), "index 262144"),
        ((-1, 0, 0), "generation -1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(place, named):
    """A coordinate beyond its bits raises an error that names it, instead of running into its neighbour."""
    with pytest.raises(ConfigError, match=named):
        seed(0, "pool", *place)
