from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multinomial, multivariate_hypergeom

from entropy_loop.data import Samples, Selection
from entropy_loop.regimes import (
    Accumulate,
    AccumulateSubsample,
    FreshReal,
    MixReal,
    Replace,
    Window,
    diet,
    neutral_diet,
)

PROMPT = "a horse"


def selection(folder: Path, generation: int, images: int, kept: int) -> Selection:
    """A pool of `images`, the first `kept` of them passed on."""
    pool = samples(folder / f"g{generation}", f"p{generation}", images)
    copies = [1] * kept + [0] * (images - kept)
    table = pd.DataFrame({"id": pool.table["id"], "kept": [c > 0 for c in copies], "copies": copies})
    return Selection(pool, table)


def samples(folder: Path, prefix: str, images: int) -> Samples:
    folder.mkdir()
    ids = [f"{prefix}-{i}" for i in range(images)]
    pd.DataFrame({"id": ids, "prompt": PROMPT, "file": ""}).to_parquet(folder / "samples.parquet")
    return Samples(folder)


def eaten(regime, history, real=None, seed: int = 0) -> list[str]:
    return sorted(diet(regime, history, real, {PROMPT: seed}).table["id"])


@pytest.fixture
def history(tmp_path: Path) -> list[Selection]:
    """Three generations of 6 images, 4 of each kept."""
    return [selection(tmp_path, g, images=6, kept=4) for g in range(3)]


def ids(*generations: int) -> list[str]:
    return [f"p{g}-{i}" for g in generations for i in range(4)]


@pytest.mark.parametrize(
    ("regime", "generations"),
    [(Replace(), (2,)), (Accumulate(), (0, 1, 2)), (Window(2), (1, 2)), (Window(1), (2,)), (Window(9), (0, 1, 2))],
    ids=lambda value: str(value),
)
def test_a_diet_is_the_kept_images_of_the_eaten_generations_each_once(history, regime, generations):
    """Replace eats the newest, accumulate everything, a window the last ones; what was not kept is never eaten."""
    assert eaten(regime, history) == ids(*generations)


def test_a_regime_never_looks_inside_an_entry():
    """Plan and loop may ask a regime with whatever they like: the entries come back themselves."""
    entries = [object(), object()]
    assert [Replace().eats(entries)[0], *Accumulate().eats(entries)] == [entries[1], *entries]


def test_a_subsample_is_as_large_as_the_newest_kept_set_and_drawn_from_everything(history):
    """Of 12 kept images 4 are eaten, no image twice, each in a third of 300 draws within 5 standard errors."""
    counts = pd.Series(0, index=ids(0, 1, 2))
    for seed in range(300):
        drawn = eaten(AccumulateSubsample(), history, seed=seed)
        assert len(set(drawn)) == len(drawn) == 4
        counts[drawn] += 1
    assert (counts / 300 - 1 / 3).abs().max() < 5 * (1 / 3 * 2 / 3 / 300) ** 0.5


def test_the_first_subsample_is_everything_there_is(history):
    """After generation 0 there is nothing to choose from."""
    assert eaten(AccumulateSubsample(), history[:1]) == ids(0)


@pytest.mark.parametrize(("share", "real", "kept"), [(0.5, 4, 4), (0.2, 1, 4), (0.75, 12, 4), (1.0, 4, 0)])
def test_real_images_make_up_their_share_of_the_diet(tmp_path, history, share, real, kept):
    """All kept images stay, and real ones are added to the wanted share; at 1 they take their place."""
    table = diet(MixReal(share), history, samples(tmp_path / "real", "r", 20), {PROMPT: 0}).table
    assert (table["real"].sum(), (~table["real"]).sum()) == (real, kept)
    assert set(table.loc[~table["real"], "id"]) <= set(ids(2))


def test_an_image_chosen_twice_is_eaten_twice(tmp_path):
    """Copies count: what a policy passes on twice has two rows in the diet."""
    chosen = selection(tmp_path, 0, images=3, kept=1)
    chosen.table["copies"] = [3, 0, 0]
    assert eaten(Replace(), [chosen]) == ["p0-0"] * 3


def test_a_perfect_copier_eats_at_the_rate_of_its_diet():
    """The null model's diet: the newest rate, the mean of all, or a mixture with the real images' rate."""
    rng, seen = np.random.default_rng(0), [np.array([0.2, 0.4]), np.array([0.6, 0.8])]
    assert neutral_diet(Replace(), 8, None)(seen, rng) == pytest.approx([0.6, 0.8])
    assert neutral_diet(Accumulate(), 8, None)(seen, rng) == pytest.approx([0.4, 0.6])
    assert neutral_diet(MixReal(0.2), 8, 1.0)(seen, rng) == pytest.approx([0.68, 0.84])
    assert neutral_diet(MixReal(1.0), 8, 0.9)(seen, rng) == pytest.approx([0.9, 0.9])


def test_subsampling_and_fresh_images_add_chance_to_the_null_and_keep_its_mean():
    """8 of 16 images drawn without replacement, 8 fresh real ones: the means stay within 5 standard errors."""
    rng, many = np.random.default_rng(0), 40_000
    seen = [np.full(many, 0.25), np.full(many, 0.75)]
    cut = neutral_diet(AccumulateSubsample(), 8, None)(seen, rng)
    assert cut.mean() == pytest.approx(0.5, abs=5 * cut.std() / many**0.5)
    assert cut.var() == pytest.approx(0.25 / 8 * (16 - 8) / (16 - 1), rel=0.05)
    fresh = neutral_diet(FreshReal(0.5), 8, 0.9)(seen, rng)
    assert fresh.mean() == pytest.approx(0.825, abs=5 * fresh.std() / many**0.5)
    assert fresh.var() == pytest.approx(0.25 * 0.09 / 8, rel=0.05)


def test_what_is_taught_is_eaten_beside_the_diet_under_its_own_caption(tmp_path, history):
    """A lesson adds its images and takes nothing away, whatever their captions."""
    lesson = samples(tmp_path / "lesson", "t", 3)
    lesson.table["prompt"] = "a cow"
    table = diet(Replace(), history, None, {PROMPT: 0}, lesson).table
    assert sorted(table["id"]) == [*ids(2), "t-0", "t-1", "t-2"]
    assert table.set_index("id").loc[["t-0", "p2-0"], "real"].tolist() == [True, False]
    assert table.set_index("id").loc[["t-0", "p2-0"], "prompt"].tolist() == ["a cow", PROMPT]


SHARES = np.array([[0.5, 0.25, 0.25, 0.0], [0.25, 0.25, 0.375, 0.125]])  # two replicates of an attribute's four values
REAL = np.array([0.0, 0.125, 0.25, 0.625])


@pytest.mark.parametrize(
    "regime", [Replace(), Accumulate(), Window(2), AccumulateSubsample(), MixReal(0.2), FreshReal(0.5)], ids=str
)
def test_shares_are_eaten_as_rates_are(regime):
    """Each value's share is that of a diet of this value and all others: the same mean, and a share sums to 1."""
    real, many = REAL if regime.real_fraction else None, 20_000
    seen = [np.tile(shares, (many, 1)) for shares in SHARES]
    diet_shares = neutral_diet(regime, 8, real)(seen, np.random.default_rng(1))
    assert diet_shares.sum(axis=1) == pytest.approx(np.ones(many))
    for value in range(4):
        rates = [shares[:, value] for shares in seen]
        alone = neutral_diet(regime, 8, None if real is None else real[value])(rates, np.random.default_rng(2))
        assert diet_shares[:, value].mean() == pytest.approx(
            alone.mean(), abs=5 * alone.std() * (2 / many) ** 0.5 + 1e-9
        )
        assert diet_shares[:, value].std() == pytest.approx(alone.std(), rel=0.05, abs=1e-9)


def test_a_subsample_of_shares_is_drawn_without_putting_back():
    """8 of 16 images of four values: as SciPy's multivariate hypergeometric has it, covariances included."""
    counts = (SHARES.sum(axis=0) * 8).astype(int)
    seen = [np.tile(shares, (40_000, 1)) for shares in SHARES]
    diet_shares = 8 * neutral_diet(AccumulateSubsample(), 8, None)(seen, np.random.default_rng(3))
    assert (diet_shares == np.rint(diet_shares)).all()
    law = multivariate_hypergeom(counts, 8)
    assert diet_shares.mean(axis=0) == pytest.approx(law.mean(), abs=0.03)
    assert np.cov(diet_shares.T) == pytest.approx(law.cov(), abs=0.03)


def test_fresh_real_images_add_chance_of_their_own_to_shares():
    """8 real images beside 8 kept ones, drawn anew: multinomial, so values of share 0 never come up."""
    seen = [np.tile(SHARES[0], (40_000, 1))]
    fresh, fixed = (neutral_diet(use(0.5), 8, REAL)(seen, np.random.default_rng(4)) for use in (FreshReal, MixReal))
    assert fixed.std(axis=0) == pytest.approx(np.zeros(4))
    assert fresh.mean(axis=0) == pytest.approx(fixed[0], abs=0.003)
    assert np.cov(fresh.T) == pytest.approx(multinomial(8, REAL).cov() / 16**2, abs=2e-4)
    assert (fresh[:, 0] == 0.25).all()
