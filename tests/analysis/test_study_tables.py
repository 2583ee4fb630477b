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
def made(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    raw = {**TOY, "images": 32, "generations": 2, "sweep": ARMS, "controls": "auto", "real": WORLD}
    out = tmp_path_factory.mktemp("study")
    return experiment.carry_out(plan(study.check(raw)), out, lambda *told: None).tables


def test_the_primary_outcome_comes_first(made):
    """The first row of summary.csv is c of `all` from 0 to the last generation, of the first arm alone."""
    first = made.summary.iloc[0]
    assert (first["statistic"], first["concept"], first["arm"]) == ("change_rate", ALL, "none")
    assert (first["against"], first["generation"], first["chains"]) == ("", 2, 3)


def test_an_arm_is_held_against_the_first_one_and_its_random_control(made):
    """Paired rows: every arm against the uncurated one, the selecting arm also against its control."""
    pairs = made.summary[(made.summary["statistic"] == "change_rate") & (made.summary["concept"] == ALL)]
    assert set(zip(pairs["arm"], pairs["against"], strict=True)) == {
        *((arm, "") for arm in ("none", "top_k-8", "random_k-8", "regenerate_only", "real_data")),
        *((arm, "none") for arm in ("top_k-8", "random_k-8", "regenerate_only", "real_data")),
        ("top_k-8", "random_k-8"),
    }


def test_every_claim_has_a_null_band_and_p_adjusted_over_the_concepts(made):
    """Three chains: p, its band, and Holm's adjustment that never lowers a p."""
    claims = made.summary[made.summary["statistic"].isin(("change_rate", "slope"))]
    assert len(claims) == 2 * 10 * 4
    assert claims[["p", "p_adjusted", "null_low", "null_high"]].notna().all().all()
    assert (claims["p_adjusted"] >= claims["p"]).all()
    assert (claims["null_low"] <= claims["null_high"]).all()


def test_the_bands_of_v_are_those_of_c_in_units_of_v(made):
    """At generation 0 a band has no width, at the last one it is V0 (1 - c) over the band of c, within [0, 1]."""
    table = made.summary[made.summary["concept"] == ALL]
    for arm in table["arm"].unique():
        mine = table[(table["arm"] == arm) & (table["against"] == "")]
        v = mine[mine["statistic"] == "rate"].set_index("generation")
        (c,) = mine[mine["statistic"] == "change_rate"].to_dict("records")
        for name in ("null", "sampling"):
            assert v.at[0, f"{name}_low"] == v.at[0, f"{name}_high"] == pytest.approx(v.at[0, "mean"])
            assert v.at[2, f"{name}_low"] == pytest.approx(max(0, v.at[0, "mean"] * (1 - c[f"{name}_high"])))
            assert v.at[2, f"{name}_high"] == pytest.approx(min(1, v.at[0, "mean"] * (1 - c[f"{name}_low"])))


def test_drift_grows_with_the_generation_and_sampling_does_not(made):
    """8 of 32 images drift further in two steps than in one; another pool of one model lies as far at any time."""
    v = made.summary[(made.summary["statistic"] == "rate") & (made.summary["concept"] == ALL)]
    v = v[v["arm"] == "random_k-8"].set_index("generation")
    drift, sampling = (v[f"{name}_high"] - v[f"{name}_low"] for name in ("null", "sampling"))
    assert drift[2] > 1.2 * drift[1] > 1.2 * sampling[1]
    assert sampling[2] == pytest.approx(sampling[1], rel=0.1)


def test_nothing_is_claimed_from_two_chains(tmp_path):
    """Fewer than three chains are described, and the reason stands in the row."""
    raw = {**TOY, "images": 16, "generations": 1, "sweep": {"curate.policy": [{"use": "none"}], "seed": [0, 1]}}
    found = experiment.carry_out(plan(study.check(raw)), tmp_path, lambda *told: None).tables.summary
    claims = found[found["statistic"] == "change_rate"]
    assert claims["p"].isna().all()
    assert claims["reason"].str.contains("a claim needs 3 chains").all()
    assert claims["mean"].notna().all()


def test_the_ledger_adds_up(made):
    """response = curation + training in every row, and V of the next pool is the next row's V of the pool."""
    rows = made.ledger
    assert rows["response"].to_numpy(float) == pytest.approx((rows["curation"] + rows["training"]).to_numpy(float))
    chain = rows[(rows["run"] == "top_k-8-seed1") & (rows["concept"] == ALL)].set_index("generation")
    assert chain.at[0, "v_next"] == chain.at[1, "v_pool"]


def test_the_ledger_shows_what_curation_did(made):
    """Nothing without curation; under top-k by the exact score the diet shows everything."""
    rows = made.ledger[made.ledger["concept"] == ALL].groupby("arm")
    assert (rows.get_group("none")["curation"] == 0).all()
    assert (rows.get_group("top_k-8")["v_diet"] == 1).all()
    selected = rows.get_group("top_k-8").groupby("generation")["curation"]
    assert (selected.get_group(0) > 0).all()
    assert (selected.get_group(1) == 0).all()  # nothing is left to select: the whole pool shows everything
    assert "regenerate_only" not in rows.groups


def test_real_images_enter_the_ledger_as_they_were_recognised(made):
    """The control on real data eats at the real images' own rate, whatever its pool shows."""
    rows = made.ledger[(made.ledger["arm"] == "real_data") & (made.ledger["concept"] == "astronaut")]
    assert (rows["v_diet"] == 1).all()
    real = made.rates[(made.rates["set"] == "real") & (made.rates["concept"] == "riding")]
    diet = made.ledger[(made.ledger["arm"] == "real_data") & (made.ledger["concept"] == "riding")]
    assert sorted(real["rate"]) == pytest.approx(sorted(diet["v_diet"]))


def test_an_uncalibrated_judge_leaves_the_corrected_rate_missing_with_a_reason(made):
    """The toy's judge has no calibration file: corrected cells are empty and say why."""
    assert made.rates["corrected"].isna().all()
    assert made.rates["reason"].str.contains("not corrected").all()


def test_a_prompt_that_is_only_measured_has_the_band_of_its_own_small_pool(tmp_path):
    """8 images move far by chance however many the target's pool has: its band is the wider one."""
    other = {"text": "a horse", "role": "similar", "concepts": ["horse"]}
    raw = {**TOY, "images": 200, "measured_images": 8, "generations": 1, "prompts": [*TOY["prompts"], other]}
    raw["sweep"] = {"seed": [0, 1, 2]}
    found = experiment.carry_out(plan(study.check(raw)), tmp_path, lambda *told: None).tables.summary
    rows = found[(found["statistic"] == "change_rate") & (found["concept"] == "horse")].set_index("role")
    width = rows["null_high"] - rows["null_low"]
    assert width["similar"] > 2 * width["target"]


def test_an_arm_that_keeps_who_knows_how_many_claims_nothing(tmp_path):
    """A threshold's drift cannot be simulated beforehand: no band, no p, and the reason; its values stand."""
    policies = [{"use": "k_choice", "k": 8}, {"use": "threshold", "score": 0.5}]
    sweep = {"curate.policy": policies, "seed": [0, 1, 2]}
    raw = {**TOY, "images": 32, "generations": 1, "sweep": sweep}
    found = experiment.carry_out(plan(study.check(raw)), tmp_path, lambda *told: None).tables
    claims = found.summary[found.summary["statistic"] == "change_rate"].set_index(["arm", "against"])
    told = claims.loc["threshold-0.5"]
    assert told["mean"].notna().all()
    assert told[["p", "null_low"]].isna().all().all()
    assert told["reason"].str.contains("known only when it runs").all()
    assert claims.loc[("k_choice-8", "")]["p"].notna().all()
    assert found.changes.loc[found.changes["arm"] == "threshold-0.5", "drift_low"].isna().all()


def test_every_arm_has_a_verdict_and_the_tests_behind_it(made):
    """One row per arm; without measures nothing is called stable, and recognition is the one instrument."""
    assert made.verdicts["arm"].tolist() == ["none", "top_k-8", "random_k-8", "regenerate_only", "real_data"]
    assert set(made.verdicts["tails"]) == {"not measured"}
    assert "stable" not in set(made.verdicts["verdict"])
    assert made.instruments["metric"].tolist() == ["V(all)"] * 5
