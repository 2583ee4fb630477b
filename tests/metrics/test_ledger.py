import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from entropy_loop.metrics.ledger import Group, ledger


def replaced(pool: tuple[int, int], kept: tuple[int, int]) -> list[Group]:
    """The groups under replace: what was kept is the diet, the rest of the pool is not eaten."""
    rest = pool[0] - kept[0], pool[1] - kept[1]
    return [Group(*kept, in_pool=True, copies=1)] + ([Group(*rest, in_pool=True, copies=0)] if rest[1] else [])


def test_the_response_splits_into_curation_and_training():
    """64 of 128 in the pool, 28 of 32 kept and eaten, 80 of 128 made next: .125 = .375 - .25, a third is passed on."""
    result = ledger(replaced((64, 128), (28, 32)), (28, 32), (80, 128))
    assert (result.v_pool, result.v_kept, result.v_diet, result.v_next) == (0.5, 0.875, 0.875, 0.625)
    assert (result.curation, result.training, result.response) == (0.375, -0.25, 0.125)
    assert result.transmission == pytest.approx(1 / 3)
    assert result.reason == ""


COUNTS = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(1, 3))
def test_nothing_is_lost_between_the_entries(eaten, rest, older, following, copies):
    """Whatever was counted: response = curation + training, and the interval holds curation."""
    groups = [Group(*eaten, True, copies), Group(*rest, True, 0), Group(*older, False, 1)]
    result = ledger(groups, eaten, following)
    assert result.response == pytest.approx(result.curation + result.training)
    assert result.curation_low - 1e-12 <= result.curation <= result.curation_high + 1e-12


def test_every_image_of_the_diet_counts_as_often_as_it_is_eaten():
    """10 images without the concept eaten twice, 20 older ones with it, 10 real ones half with it: 25 hits of 50."""
    groups = [Group(0, 10, True, 2), Group(90, 90, True, 0), Group(20, 20, False, 1), Group(5, 10, False, 1)]
    result = ledger(groups, (0, 10), (45, 100))
    assert (result.v_pool, result.v_kept, result.v_diet) == (0.9, 0.0, 0.5)


def test_under_replace_the_interval_is_newcombes():
    """(1 - k/N) times the interval of kept against not kept, as statsmodels has it."""
    result = ledger(replaced((70, 128), (25, 32)), (25, 32), (64, 128))
    expected = confint_proportions_2indep(25, 32, 45, 96, method="newcomb", compare="diff")
    assert (result.curation_low, result.curation_high) == pytest.approx(tuple(0.75 * np.array(expected)))


def test_keeping_everything_is_no_curation():
    """k = N under replace: curation is exactly 0, certain, and passes nothing on."""
    result = ledger(replaced((70, 128), (70, 128)), (70, 128), (64, 128))
    assert (result.curation, result.curation_low, result.curation_high) == (0, 0, 0)
    assert result.transmission is None
    assert "interval of curation holds 0" in result.reason


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
def test_blind_curation_passes_nothing_on(rate):
    """Under random-k curation is chance: in at least 93 of 100 ledgers transmission is missing (95 is nominal)."""
    rng = np.random.default_rng(3)
    pools = rng.binomial(128, rate, 1000)
    kept = rng.hypergeometric(pools, 128 - pools, 32)
    result = [ledger(replaced((p, 128), (k, 32)), (k, 32), (p, 128)) for p, k in zip(pools, kept, strict=True)]
    assert np.mean([f.transmission is None for f in result]) >= 0.93


@pytest.mark.parametrize(
    ("groups", "following", "missing"),
    [
        (replaced((64, 128), (28, 32)), (0, 0), {"v_next", "training", "response", "transmission"}),
        (
            [*replaced((64, 128), (28, 32)), Group(0, 0, False, 1)],
            (80, 128),
            {"v_diet", "curation", "training", "transmission", "curation_low", "curation_high"},
        ),
    ],
    ids=["next pool", "older part of the diet"],
)
def test_what_was_not_judged_is_missing_with_a_reason(groups, following, missing):
    """An unjudged pool or an unjudged part of the diet leaves its own entries empty and no others."""
    result = ledger(groups, (28, 32), following)
    assert {name for name, value in vars(result).items() if value is None} == missing
    assert "not judged" in result.reason
