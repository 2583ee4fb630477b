import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_loop.curation import BottomK, KChoice, KeepAll, RandomK, Threshold, TopK
from entropy_loop.errors import ConfigError, EntropyLoopError


def scores(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"i{n}" for n in range(len(values))], "score": list(values)})


def kept(table: pd.DataFrame) -> list[str]:
    return table.loc[table["kept"], "id"].tolist()


def test_top_k_keeps_the_best():
    """The k highest scores are kept, rank 1 is the best, and every image has a row."""
    table = TopK(2)(scores(0.1, 0.9, 0.5, 0.7), seed=0)
    assert kept(table) == ["i1", "i3"]
    assert table.set_index("id")["rank"].to_dict() == {"i0": 4, "i1": 1, "i2": 3, "i3": 2}


def test_bottom_k_keeps_the_worst():
    """The k lowest scores are kept, and rank 1 is the worst; ties go to the smaller id here, too."""
    table = BottomK(2)(scores(0.1, 0.9, 0.5, 0.1, 0.1), seed=0)
    assert kept(table) == ["i0", "i3"]
    assert table.set_index("id")["rank"]["i1"] == 5


def test_a_threshold_keeps_whatever_reaches_it():
    """At or above the score; a pool without such an image is an error, since nothing could be trained on."""
    assert kept(Threshold(0.5)(scores(0.1, 0.9, 0.5, 0.49), seed=0)) == ["i1", "i2"]
    with pytest.raises(EntropyLoopError, match=r"no image scores 2.0 .* lower curate.policy.score"):
        Threshold(2.0)(scores(0.1, 0.9), seed=0)


@pytest.mark.parametrize(("share", "number"), [(0.25, 2), (1.0, 8), (0.01, 1)])
def test_k_may_be_a_share_of_the_pool(share, number):
    """A k with a decimal point is a share, at least one image; 1.0 is everything."""
    for policy in (TopK(share), RandomK(share)):
        assert len(kept(policy(scores(*range(8)), 0))) == number == policy.most_kept(8)


def test_k_choice_follows_bradley_and_terry():
    """Of 2 candidates drawn from rewards 0 and 1, the better one is passed on with 3/4 of odds that follow e^1:
    p = 1/4 + 1/2 e / (1 + e), within 5 standard errors of 4,000 choices; copies add up to k."""
    table = KChoice(4000, candidates=2)(scores(*[0.0, 1.0] * 2000), seed=3)
    better = table.loc[table["score"] == 1, "copies"].sum() / 4000
    expected = 1 / 4 + 1 / 2 * np.e / (1 + np.e)
    assert table["copies"].sum() == 4000
    assert abs(better - expected) < 5 * (expected * (1 - expected) / 4000) ** 0.5
    assert (table["copies"] > 1).any()


def test_k_choice_without_a_preference_is_blind():
    """At beta = 0 the scores do not matter: both rewards are chosen alike, within 5 standard errors."""
    table = KChoice(4000, beta=0.0)(scores(*[0.0, 1.0] * 2000), seed=3)
    assert abs(table.loc[table["score"] == 1, "copies"].sum() / 4000 - 0.5) < 5 * 0.5 / 4000**0.5


def test_ties_go_to_the_smaller_id():
    """Equal scores are ranked by id, so that a tie is no matter of chance."""
    assert kept(TopK(2)(scores(1.0, 1.0, 1.0), seed=0)) == ["i0", "i1"]


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    st.permutations(range(7)), st.sampled_from([KeepAll(), TopK(3), BottomK(3), RandomK(3), Threshold(0.3), KChoice(3)])
)
def test_the_order_of_the_rows_never_matters(order, policy):
    """Every policy returns the same table whatever order its rows come in."""
    table = scores(0.3, 0.3, 0.9, 0.1, 0.9, 0.9, 0.2)
    pd.testing.assert_frame_equal(policy(table.iloc[list(order)], 5), policy(table, 5))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_stops_the_ranking(bad):
    """A missing or infinite score is an error with the image's id, never the last place."""
    with pytest.raises(EntropyLoopError, match="i1"):
        TopK(1)(scores(0.2, bad), seed=0)


def test_random_k_gives_every_image_the_same_chance():
    """Over 2,000 seeds each of 6 images is kept in a third of the draws of 2, within 5 standard errors."""
    counts = np.zeros(6)
    for seed in range(2000):
        counts += RandomK(2)(scores(*range(6)), seed)["kept"].to_numpy()
    assert counts.sum() == 4000
    assert np.abs(counts / 2000 - 1 / 3).max() < 5 * (1 / 3 * 2 / 3 / 2000) ** 0.5


def test_random_k_never_looks_at_scores():
    """The control keeps the same images for any scores, and ranks none."""
    first, second = RandomK(2)(scores(1, 2, 3, 4), 9), RandomK(2)(scores(4, 3, 2, 1), 9)
    assert kept(first) == kept(second)
    assert first["rank"].isna().all()


def test_none_keeps_every_image():
    """Without curation everything is passed on, unranked, and no score is asked for."""
    table = KeepAll()(scores(0.1, 0.2), 0)
    assert kept(table) == ["i0", "i1"]
    assert table["rank"].isna().all()
    assert not KeepAll.reads_scores


@pytest.mark.parametrize("policy", [TopK(9), RandomK(9)])
def test_k_beyond_the_pool_is_refused_in_advance(policy):
    """A k that no pool can serve is found by `check`, before any image is made; one that fits is not."""
    with pytest.raises(ConfigError, match=r"k = 9 .* 8 images"):
        policy.check(8)
    policy.check(9)


def test_a_pool_smaller_than_k_is_kept_whole():
    """Where a safety checker has withheld images, random_k keeps what there is, as top_k does."""
    scores = pd.DataFrame({"id": ["a", "b"], "score": [1.0, 2.0]})
    for policy in (RandomK(k=5), TopK(k=5)):
        assert policy(scores, seed=0)["kept"].all()
