"""summary.csv and ledger.csv of a real study with the toy generator: three chains of four arms."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from entropy_loop.analysis.tables import Tables
from entropy_loop.commands import experiment
from entropy_loop.data import ALL
from entropy_loop.plan import plan
from entropy_loop.study import study

TOY = yaml.safe_load(Path("configs/toy.yaml").read_text())
ARMS = {"curate.policy": [{"use": "none"}, {"use": "top_k", "k": 8}], "seed": [0, 1, 2]}
WORLD = {"use": "categorical", "rates": {"astronaut": 1.0, "horse": 1.0, "riding": 0.5}}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    raw = {**TOY, "images": 32, "generations": 2, "sweep": ARMS, "controls": "auto", "real": WORLD}
    out = tmp_path_factory.mktemp("study")
    return experiment.carry_out(plan(study.check(raw)), out, lambda *event: None).tables


def test_the_primary_outcome_comes_first(tables):
    """The first row of summary.csv is c of `all` from 0 to the last generation, of the first arm alone."""
    first = tables.summary.iloc[0]
    assert (first["statistic"], first["concept"], first["arm"]) == ("change_rate", ALL, "none")
    assert (first["against"], first["generation"], first["chains"]) == ("", 2, 3)


def test_an_arm_is_held_against_the_first_one_and_its_random_control(tables):
    """Paired rows: every arm against the uncurated one, the selecting arm also against its control."""
    pairs = tables.summary[(tables.summary["statistic"] == "change_rate") & (tables.summary["concept"] == ALL)]
    assert set(zip(pairs["arm"], pairs["against"], strict=True)) == {
        *((arm, "") for arm in ("none", "top_k-8", "random_k-8", "regenerate_only", "real_data")),
        *((arm, "none") for arm in ("top_k-8", "random_k-8", "regenerate_only", "real_data")),
        ("top_k-8", "random_k-8"),
    }


def test_every_claim_has_a_null_band_and_p_adjusted_over_the_concepts(tables):
    """Three chains: p, its band, and Holm's adjustment that never lowers a p."""
    claims = tables.summary[tables.summary["statistic"].isin(("change_rate", "slope"))]
    assert len(claims) == 2 * 10 * 4
    assert claims[["p", "p_adjusted", "null_low", "null_high"]].notna().all().all()
    assert (claims["p_adjusted"] >= claims["p"]).all()
    assert (claims["null_low"] <= claims["null_high"]).all()


def test_the_bands_of_v_are_those_of_c_in_units_of_v(tables):
    """At generation 0 a band has no width, at the last one it is V0 (1 - c) over the band of c, within [0, 1]."""
    table = tables.summary[tables.summary["concept"] == ALL]
    for arm in table["arm"].unique():
        rows = table[(table["arm"] == arm) & (table["against"] == "")]
        v = rows[rows["statistic"] == "rate"].set_index("generation")
        (c,) = rows[rows["statistic"] == "change_rate"].to_dict("records")
        for name in ("null", "sampling"):
            assert v.at[0, f"{name}_low"] == v.at[0, f"{name}_high"] == pytest.approx(v.at[0, "mean"])
            assert v.at[2, f"{name}_low"] == pytest.approx(max(0, v.at[0, "mean"] * (1 - c[f"{name}_high"])))
            assert v.at[2, f"{name}_high"] == pytest.approx(min(1, v.at[0, "mean"] * (1 - c[f"{name}_low"])))


def test_drift_grows_with_the_generation_and_sampling_does_not(tables):
    """8 of 32 images drift further in two steps than in one; another pool of one model lies as far at any time."""
    v = tables.summary[(tables.summary["statistic"] == "rate") & (tables.summary["concept"] == ALL)]
    v = v[v["arm"] == "random_k-8"].set_index("generation")
    drift, sampling = (v[f"{name}_high"] - v[f"{name}_low"] for name in ("null", "sampling"))
    assert drift[2] > 1.2 * drift[1] > 1.2 * sampling[1]
    assert sampling[2] == pytest.approx(sampling[1], rel=0.1)


def test_nothing_is_claimed_from_two_chains(tmp_path):
    """Fewer than three chains are described, and the reason stands in the row."""
    raw = {**TOY, "images": 16, "generations": 1, "sweep": {"curate.policy": [{"use": "none"}], "seed": [0, 1]}}
    summary = experiment.carry_out(plan(study.check(raw)), tmp_path, lambda *event: None).tables.summary
    claims = summary[summary["statistic"] == "change_rate"]
    assert claims["p"].isna().all()
    assert claims["reason"].str.contains("a claim needs 3 chains").all()
    assert claims["mean"].notna().all()


def test_the_ledger_adds_up(tables):
    """response = curation + training in every row, and V of the next pool is the next row's V of the pool."""
    rows = tables.ledger
    assert rows["response"].to_numpy(float) == pytest.approx((rows["curation"] + rows["training"]).to_numpy(float))
    chain = rows[(rows["run"] == "top_k-8-seed1") & (rows["concept"] == ALL)].set_index("generation")
    assert chain.at[0, "v_next"] == chain.at[1, "v_pool"]


def test_the_ledger_shows_what_curation_did(tables):
    """Nothing without curation; under top-k by the exact score the diet shows everything."""
    rows = tables.ledger[tables.ledger["concept"] == ALL].groupby("arm")
    assert (rows.get_group("none")["curation"] == 0).all()
    assert (rows.get_group("top_k-8")["v_diet"] == 1).all()
    selected = rows.get_group("top_k-8").groupby("generation")["curation"]
    assert (selected.get_group(0) > 0).all()
    assert (selected.get_group(1) == 0).all()  # nothing is left to select: the whole pool shows everything
    assert "regenerate_only" not in rows.groups


def test_real_images_enter_the_ledger_as_they_were_recognised(tables):
    """The control on real data eats at the real images' own rate, whatever its pool shows."""
    rows = tables.ledger[(tables.ledger["arm"] == "real_data") & (tables.ledger["concept"] == "astronaut")]
    assert (rows["v_diet"] == 1).all()
    real = tables.rates[(tables.rates["set"] == "real") & (tables.rates["concept"] == "riding")]
    diet = tables.ledger[(tables.ledger["arm"] == "real_data") & (tables.ledger["concept"] == "riding")]
    assert sorted(real["rate"]) == pytest.approx(sorted(diet["v_diet"]))


def test_an_uncalibrated_judge_leaves_the_corrected_rate_missing_with_a_reason(tables):
    """The toy's judge has no calibration file: corrected cells are empty and say why."""
    assert tables.rates["corrected"].isna().all()
    assert tables.rates["reason"].str.contains("not corrected").all()


def test_a_prompt_that_is_only_measured_has_the_band_of_its_own_small_pool(tmp_path):
    """8 images move far by chance however many the target's pool has: its band is the wider one."""
    other = {"text": "a horse", "role": "similar", "concepts": ["horse"]}
    raw = {**TOY, "images": 200, "measured_images": 8, "generations": 1, "prompts": [*TOY["prompts"], other]}
    raw["sweep"] = {"seed": [0, 1, 2]}
    summary = experiment.carry_out(plan(study.check(raw)), tmp_path, lambda *event: None).tables.summary
    rows = summary[(summary["statistic"] == "change_rate") & (summary["concept"] == "horse")].set_index("role")
    width = rows["null_high"] - rows["null_low"]
    assert width["similar"] > 2 * width["target"]


def test_an_arm_that_keeps_an_unknown_number_claims_nothing(tmp_path):
    """A threshold's drift cannot be simulated beforehand: no band, no p, and the reason; its values stand."""
    policies = [{"use": "k_choice", "k": 8}, {"use": "threshold", "score": 0.5}]
    sweep = {"curate.policy": policies, "seed": [0, 1, 2]}
    raw = {**TOY, "images": 32, "generations": 1, "sweep": sweep}
    results = experiment.carry_out(plan(study.check(raw)), tmp_path, lambda *event: None).tables
    claims = results.summary[results.summary["statistic"] == "change_rate"].set_index(["arm", "against"])
    threshold = claims.loc["threshold-0.5"]
    assert threshold["mean"].notna().all()
    assert threshold[["p", "null_low"]].isna().all().all()
    assert threshold["reason"].str.contains("known only when it runs").all()
    assert claims.loc[("k_choice-8", "")]["p"].notna().all()
    assert results.changes.loc[results.changes["arm"] == "threshold-0.5", "drift_low"].isna().all()


def test_every_arm_has_a_verdict_and_the_tests_behind_it(tables):
    """One row per arm; without measures nothing is called stable, and recognition is the one instrument."""
    assert tables.verdicts["arm"].tolist() == ["none", "top_k-8", "random_k-8", "regenerate_only", "real_data"]
    assert set(tables.verdicts["tails"]) == {"not measured"}
    assert "stable" not in set(tables.verdicts["verdict"])
    assert tables.instruments["metric"].tolist() == ["V(all)"] * 5
