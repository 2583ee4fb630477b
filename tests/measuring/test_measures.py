"""Diversity, noise and tails of pools whose truth is made by hand; no model is loaded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from entropy_loop.measuring.inputs import Inputs, Observations
from entropy_loop.measuring.measures import measure
from entropy_loop.study import study
from entropy_loop.study.config import Config

ESSAY = "a photograph of an astronaut riding a horse"
COATS = ["brown", "black", "white", "grey", "palomino", "blue"]
SHARES = [0.55, 0.20, 0.12, 0.08, 0.04, 0.01]
N = 128


def config(**changes: object) -> Config:
    raw = yaml.safe_load(Path("configs/toy.yaml").read_text())
    defaults = {"measures": {"reader": {"use": "storybook"}}, "attributes": {"coat": COATS}, "sweep": {}}
    return study.check({**raw, **defaults, **changes}).config


def pool(seed: int, spread: float = 1.0, coats: list[str] | None = None, noise: float = 0.1) -> Observations:
    """N images: embeddings around 8 centres, one noise index, coats at the world's shares unless given."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(8, 16))
    embeddings = centres[rng.integers(8, size=N)] * spread + centres[0] * (1 - spread) + 0.1 * rng.normal(size=(N, 16))
    ids = [f"p{i}" for i in range(N)]
    worn = coats if coats is not None else list(rng.choice(COATS, size=N, p=SHARES))
    return Observations(
        pd.DataFrame({"id": ids, "prompt": ESSAY}),
        embeddings.astype(np.float32),
        pd.DataFrame({"high_frequency_share": rng.normal(noise, 0.01, N)}),
        pd.DataFrame({"id": ids, "attribute": "coat", "value": worn, "reason": ""}),
    )


def measured(tmp_path: Path, g: int, now: Observations, first: Observations | None, **changes: object) -> pd.DataFrame:
    return held_against(tmp_path, g, Inputs(now, first), **changes)


def held_against(tmp_path: Path, g: int, inputs: Inputs, **changes: object) -> pd.DataFrame:
    measure(config(**changes), g, inputs, tmp_path, lambda share: None)
    return pd.read_parquet(tmp_path / "measures.parquet")


def outside(table: pd.DataFrame, **where: str) -> list[bool]:
    rows = table.loc[(table[list(where)] == pd.Series(where)).all(axis=1)]
    assert len(rows)
    return list((rows["value"] < rows["null_low"]) | (rows["value"] > rows["null_high"]))


def test_another_pool_of_the_same_model_lies_inside_its_bands(tmp_path):
    """Of all numbers with a band at most a few are outside: 95 % bands, and correlated numbers."""
    table = measured(tmp_path, 1, pool(1), pool(2))
    banded = table[table["null_low"].notna() & table["value"].notna()]
    beyond = (banded["value"] < banded["null_low"]) | (banded["value"] > banded["null_high"])
    assert len(banded) >= 15
    assert beyond.sum() <= 2


def test_a_pool_that_lost_its_variety_is_outside_in_diversity_and_distance(tmp_path):
    """All images near one centre: Vendi and pairwise distance fall, the distance to generation 0 rises."""
    table = measured(tmp_path, 1, pool(1, spread=0.1), pool(2))
    for metric in ("vendi", "mean_pairwise_distance", "kid", "cmmd", "recall", "coverage"):
        assert outside(table, metric=metric) == [True]
    assert outside(table, metric="high_frequency_share") == [False]


def test_a_noisy_pool_is_outside_in_noise_alone(tmp_path):
    """The noise index rises while diversity stays."""
    table = measured(tmp_path, 1, pool(3, noise=0.2), pool(2))
    assert outside(table, metric="high_frequency_share") == [True]
    assert outside(table, metric="vendi") == [False]


def test_a_lost_tail_is_outside_the_drift_of_a_perfect_copier(tmp_path):
    """One coat for all: the entropy is 0 and below its band; every value of the config has a row."""
    table = measured(tmp_path, 1, pool(1, coats=["brown"] * N), pool(2)).query("table == 'tails'")
    assert list(table["item"]) == ["entropy", "survivors", *COATS]
    assert table.set_index("item").at["survivors", "value"] == 1
    assert outside(table, item="survivors") == [True]
    assert outside(table, item="entropy") == [True]
    assert outside(table, item="brown") == [True]
    assert table.set_index("item").at["brown", "value"] > 0.98


def test_a_value_that_drift_may_lose_is_no_loss(tmp_path):
    """One coat in a hundred is gone from the pool: five of six survive, and a perfect copier would lose it as easily.
    A value that the config does not list is none of its survivors."""
    worn = ["brown"] * 70 + ["black"] * 28 + ["white"] * 15 + ["grey"] * 10 + ["palomino"] * 5
    for coats, alive in ((COATS, 5), (["brown", "blue"], 1)):
        table = measured(tmp_path, 5, pool(1, coats=worn), pool(2), attributes={"coat": coats})
        assert table.set_index("item").at["survivors", "value"] == alive
        assert outside(table, item="survivors") == [False]


def test_bands_widen_with_the_steps_of_drift(tmp_path):
    """Five steps of drift reach further than one, and fewer kept images further than all."""
    bands = {}
    for g, policy in ((1, {"use": "none"}), (5, {"use": "none"}), (5, {"use": "random_k", "k": 8})):
        table = measured(tmp_path, g, pool(1), pool(2), curate={"policy": policy}).query("item == 'black'")
        bands[g, policy["use"]] = float((table["null_high"] - table["null_low"]).iloc[0])
    assert bands[1, "none"] < bands[5, "none"] < bands[5, "random_k"]


def test_real_images_are_no_drift_and_narrow_it(tmp_path):
    """They count as generation 0's: what other images would change is change. A rare coat stays rare, and with real
    images in the diet it drifts less."""
    width, real_data = {}, {"real": {"use": "storybook", "only": {"coat": "blue"}}}
    regimes = {
        "none": {"use": "replace"},
        "half": {"use": "mix_real"},
        "all": {"use": "fresh_real", "real_fraction": 1.0},
    }
    for share, feedback in regimes.items():
        blue = measured(tmp_path, 5, pool(1), pool(2), feedback=feedback, **real_data).query("item == 'blue'")
        assert blue["null_high"].item() <= 0.1
        brown = measured(tmp_path, 5, pool(1), pool(2), feedback=feedback, **real_data).query("item == 'brown'")
        width[share] = (brown["null_high"] - brown["null_low"]).item()
    assert max(width["all"], width["half"]) < width["none"]


def test_a_policy_that_keeps_an_unknown_number_has_no_drift_band(tmp_path):
    """Shares, entropies and diversity stand without a band, and the tails say why."""
    curation = {"curate": {"policy": {"use": "threshold", "score": 0.5}, "scorer": {"use": "exact"}}}
    table = measured(tmp_path, 1, pool(1), pool(2), **curation)
    tails = table.query("table == 'tails'")
    assert tails["null_low"].isna().all()
    assert set(tails["reason"]) == {"no drift band: how much the policy keeps is known only when it runs"}
    assert table.query("metric == 'vendi'")["null_mean"].isna().all()


def test_diversity_is_held_against_what_drift_alone_would_lose(tmp_path):
    """Fewer kept images lose more kinds by chance: the expected Vendi score falls with k; without feedback it stays."""
    expected = {}
    for name, changes in {
        "no feedback": {"train": {"method": "none"}},
        "all": {"curate": {"policy": {"use": "none"}}},
        "few": {"curate": {"policy": {"use": "random_k", "k": 8}}},
    }.items():
        table = measured(tmp_path, 5, pool(1), pool(2), **changes).query("metric == 'vendi'")
        expected[name] = table["null_mean"].item()
        assert table["null_low"].item() < expected[name] < table["null_high"].item()
    assert expected["few"] < expected["all"] < expected["no feedback"]


def test_a_subsample_of_everything_drifts_less_than_the_newest_and_more_than_all(tmp_path):
    """Five steps: the band of accumulated diets is the narrowest, that of a subsample lies between."""
    width = {}
    for use in ("accumulate", "accumulate_subsample", "replace"):
        table = measured(tmp_path, 5, pool(1), pool(2), feedback={"use": use}).query("item == 'brown'")
        width[use] = (table["null_high"] - table["null_low"]).item()
    assert width["accumulate"] < width["accumulate_subsample"] < width["replace"]


def test_generation_0_is_compared_with_nothing(tmp_path):
    """Its numbers stand alone, without bands of change."""
    table = measured(tmp_path, 0, pool(1), None)
    assert set(table["reference"]) == {"none"}
    assert table["null_low"].isna().all()
    assert table.loc[table["item"] != "survivors", "low"].notna().all()


def test_an_unreadable_attribute_is_missing_with_a_reason(tmp_path):
    """A pool without a readable coat has no shares and no entropy, not zeros."""
    table = measured(tmp_path, 1, pool(1, coats=[None] * N), pool(2)).query("table == 'tails'")
    assert table["value"].isna().all()
    assert table["reason"].tolist() == ["no image could be read"]


def test_a_pool_is_held_against_real_images_in_every_generation(tmp_path):
    """Distance and coverage to them, inside the band for images of their kind and outside it for others."""
    names = {"kid", "cmmd", "precision", "recall", "density", "coverage"}
    for g, first in ((0, None), (1, pool(2))):
        alike, away = (
            held_against(tmp_path, g, Inputs(pool(1, spread), first, held_out=pool(5))).query("reference == 'real'")
            for spread in (1.0, 0.1)
        )
        assert names <= set(alike["metric"])
        assert sum(outside(alike, metric=name) == [True] for name in names) <= 1
        assert all(outside(away, metric=name) == [True] for name in ("kid", "cmmd", "recall", "coverage"))


def test_what_was_lost_before_any_feedback_is_read_in_generation_0(tmp_path):
    """The real images' own diversity, noise and shares stand there, with the band that a fair pool would lie in: the
    pool that wears two coats out of six lies outside it."""
    now = pool(1, coats=["brown"] * 100 + ["black"] * 28)
    table = held_against(tmp_path, 0, Inputs(now, held_out=pool(5)))
    real, own = (table[table["reference"] == reference] for reference in ("real", "none"))
    assert set(own["metric"]) == {"vendi", "mean_pairwise_distance", "high_frequency_share", "coat"}
    assert set(own["metric"]) <= set(real["metric"])
    band = real[real["item"] == "entropy"].iloc[0]
    assert band["null_low"] < band["value"] < band["null_high"]
    assert own.loc[own["item"] == "entropy", "value"].item() < band["null_low"]
    later = held_against(tmp_path, 1, Inputs(now, pool(2), held_out=pool(5)))
    assert set(later.loc[later["reference"] == "real", "metric"]) == {*real["metric"]} - set(own["metric"])


def test_real_images_that_are_not_there_are_missing_with_the_reason(tmp_path):
    """Every number that needs them has a row without a value; the others are as ever."""
    why = "of 0 real images of this prompt"
    table = held_against(tmp_path, 0, Inputs(pool(1), held_out=pool(5), withheld={ESSAY: why}))
    real = table[table["reference"] == "real"]
    assert set(real["metric"]) == {"kid", "cmmd", "precision", "recall", "density", "coverage", "coat"}
    assert real["value"].isna().all()
    assert set(real["reason"]) == {why}
    assert table.loc[table["reference"] == "none", "value"].notna().all()


def test_a_pool_that_repeats_its_diet_is_outside_the_band(tmp_path):
    """Half a pool of images from the diet is outside the band; a pool of the diet's kind that copies nothing is not."""
    fresh, diet, real = pool(1), pool(7), pool(5)
    half = np.concatenate([diet.embeddings[: N // 2], fresh.embeddings[N // 2 :]])
    for now, expected in ((fresh, [False]), (replace(fresh, embeddings=half), [True])):
        table = held_against(tmp_path, 1, Inputs(now, pool(2), diet=diet, held_out=real))
        assert outside(table, metric="copied", reference="diet") == expected
        assert table.set_index("metric").at["copied", "n"] == N


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"diet": pool(7)}, "no real images: the config has no `real`"),
        ({"diet": pool(7), "withheld": {ESSAY: "too few"}}, "too few"),
        ({"held_out": pool(5)}, "no image of this prompt was trained on"),
        ({"diet": pool(7).of("another prompt"), "held_out": pool(5)}, "no image of this prompt was trained on"),
    ],
)
def test_copying_is_missing_with_the_reason(tmp_path, inputs, why):
    """Without held-out real images, or without a diet, there is one row that says so."""
    row = held_against(tmp_path, 1, Inputs(pool(1), pool(2), **inputs)).query("metric == 'copied'")
    assert row["value"].isna().tolist() == [True]
    assert row["reason"].tolist() == [why]


def test_without_real_data_there_are_no_rows_of_them(tmp_path):
    """A config that names none has no rows of theirs, missing or not."""
    table = measured(tmp_path, 1, pool(1), pool(2)).query("metric != 'copied'")
    assert set(table["reference"]) == {"none", "generation0"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measures": {}}, "measures.reader: missing"),
        ({"attributes": {}}, "attributes: missing"),
        ({"measures": {"reader": {"use": "storybok"}}}, "storybook"),
    ],
)
def test_attributes_and_their_reader_belong_together(changes, message):
    """One without the other, or an unknown reader, is refused before anything is made."""
    with pytest.raises(Exception, match=message):
        config(**changes)


def test_a_prompt_without_images_is_left_out(tmp_path):
    """A safety checker can withhold a whole pool: this one's, or generation 0's; the run goes on."""

    def none(look: Observations) -> Observations:
        return look.of("a prompt that has no image")

    assert held_against(tmp_path, 1, Inputs(none(pool(1)), pool(2), held_out=pool(5))).empty
    table = measured(tmp_path, 1, pool(1), none(pool(2)))
    assert table.loc[table["metric"] == "vendi", "value"].notna().all()
