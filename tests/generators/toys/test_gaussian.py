import numpy as np
import pandas as pd
import pytest

from entropy_loop.data import SAMPLES, Checkpoint, Concept, Diet, Prompt, Request, Samples, TrainSettings
from entropy_loop.errors import EntropyLoopError
from entropy_loop.generators.toys.gaussian import Gaussian, GaussianWorld, fitted
from entropy_loop.judges.exact import ExactRecogniser


def ignore(share):
    """Progress that nobody watches."""


def asked(n, prompt="p", first=0):
    return [Request(f"i{i:05d}", prompt, i, 1000 + i) for i in range(first, first + n)]


@pytest.fixture
def folder(tmp_path):
    """Makes a new folder of the given name."""

    def make(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    return make


@pytest.fixture
def base(folder):
    out = folder("base")
    Gaussian(3).base(out, ignore)
    return Checkpoint(out)


def diet(samples, real=False):
    return samples.table.assign(folder=str(samples.folder), real=real)


def values(samples):
    return np.load(samples.folder / "values.npy")


def drawn(base, out, requests):
    Gaussian(3).sample(base, requests, out, ignore)
    return Samples(out)


def learnt(generator, base, table, out):
    generator.train(base, Diet(table), TrainSettings(), [1], out, ignore)
    return fitted(Checkpoint(out), ["p"])[0]


def test_generation_0_is_the_truth(base, folder):
    """Of 4,000 images every number has mean 0 and variance 1 within 5 standard errors, and none depends on another."""
    pool = values(drawn(base, folder("pool"), asked(4000)))
    assert np.abs(pool.mean(axis=0)).max() < 5 / 4000**0.5
    assert np.abs(pool.var(axis=0) - 1).max() < 5 * (2 / 4000) ** 0.5
    assert np.abs(np.corrcoef(pool.T) - np.eye(3)).max() < 5 / 4000**0.5


def test_an_image_depends_on_its_request_alone(base, folder):
    """Asked for alone, in another order or among more, image i is the same."""
    many = drawn(base, folder("many"), asked(30))
    back = drawn(base, folder("back"), asked(30)[::-1])
    single = drawn(base, folder("single"), asked(1, first=7))
    assert list(many.table.columns[: len(SAMPLES)]) == list(SAMPLES)
    assert (values(back)[back.table["row"]] == values(many)[::-1]).all()
    assert (values(single)[0] == values(many)[7]).all()
    assert many.table["latent_sha256"].nunique() == 30
    pd.testing.assert_series_equal(single.table.loc[0].drop("row"), many.table.loc[7].drop("row"), check_names=False)


@pytest.mark.parametrize(("fit", "ddof"), [("ml", 0), ("unbiased", 1), ("known_variance", None)])
def test_a_fit_is_numpys(base, folder, fit, ddof):
    """Mean and variance of the diet are what numpy says with that divisor, or variance 1 where it is known."""
    pool = drawn(base, folder("pool"), asked(7))
    mean, variance = learnt(Gaussian(3, fit=fit), base, diet(pool), folder("next"))
    assert mean == pytest.approx(values(pool).mean(axis=0))
    assert variance == pytest.approx(np.ones(3) if ddof is None else values(pool).var(axis=0, ddof=ddof))


def test_an_image_passed_on_twice_counts_twice(base, folder):
    """The rows of the diet count, not its distinct images."""
    pool = drawn(base, folder("pool"), asked(4))
    mean, _ = learnt(Gaussian(3), base, diet(pool).iloc[[0, 0, 3]], folder("next"))
    assert mean == pytest.approx(values(pool)[[0, 0, 3]].mean(axis=0))


def test_real_images_have_the_weight_that_is_set(base, folder):
    """With real_weight 0.9 one real image among four has nine tenths of the weight in mean and variance."""
    pool, world = drawn(base, folder("pool"), asked(3)), folder("world")
    GaussianWorld(3).draw(asked(1, first=50), world, ignore)
    table = pd.concat([diet(pool), diet(Samples(world), real=True)], ignore_index=True)
    mean, variance = learnt(Gaussian(3, real_weight=0.9), base, table, folder("next"))
    rows = np.concatenate([values(pool), values(Samples(world))])
    weights = [0.1 / 3] * 3 + [0.9]
    assert mean == pytest.approx(np.average(rows, axis=0, weights=weights))
    assert variance == pytest.approx(np.diag(np.cov(rows.T, aweights=weights, ddof=0)))


def test_sampling_bias_scales_the_variance(base, folder):
    """With lambda 0.25 the same noise lies half as far from the mean."""
    plain, tight = folder("plain"), folder("tight")
    Gaussian(3).sample(base, asked(5), plain, ignore)
    Gaussian(3, sampling_bias=0.25).sample(base, asked(5), tight, ignore)
    assert np.load(tight / "values.npy") == pytest.approx(np.load(plain / "values.npy") / 2)


def test_prompts_are_learnt_apart(base, folder):
    """A prompt that was not in the diet keeps the truth; one that was has its own moments."""
    pool = drawn(base, folder("pool"), [*asked(5), *asked(5, "q", first=5)])
    out = folder("next")
    Gaussian(3).train(base, Diet(diet(pool)), TrainSettings(), [1], out, ignore)
    p, q, other = fitted(Checkpoint(out), ["p", "q", "other"])
    assert p[0] == pytest.approx(values(pool)[:5].mean(axis=0))
    assert q[0] == pytest.approx(values(pool)[5:].mean(axis=0))
    assert other.tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("generator", "rows", "message"),
    [
        (Gaussian(3, fit="unbiased"), 1, "one image"),
        (Gaussian(3, real_weight=0.5), 4, "real and generated"),
    ],
)
def test_a_diet_that_cannot_be_fitted_is_refused(base, folder, generator, rows, message):
    """One image has no unbiased variance, and a weight on real images needs some: an error says so, no NaN."""
    pool = drawn(base, folder("pool"), asked(4))
    with pytest.raises(EntropyLoopError, match=message):
        learnt(generator, base, diet(pool).head(rows), folder("next"))


def test_real_data_of_another_size_are_refused(base, folder):
    """Images of 3 numbers and real ones of 2 have no common fit."""
    pool, world = drawn(base, folder("pool"), asked(4)), folder("world")
    GaussianWorld(2).draw(asked(4), world, ignore)
    table = pd.concat([diet(pool), diet(Samples(world), real=True)], ignore_index=True)
    with pytest.raises(EntropyLoopError, match="dimensions"):
        learnt(Gaussian(3), base, table, folder("next"))


def test_a_positive_trait_is_what_is_recognised(base, folder):
    """The table's trait is the first number, and 'positive' is recognised where it is above 0."""
    pool, prompt = drawn(base, folder("pool"), asked(40)), Prompt("p", concepts=("positive",))
    answers = ExactRecogniser().judge(pool, (prompt,), (Concept("positive"),), ignore)["answer"]
    assert pool.table["trait"].to_numpy() == pytest.approx(values(pool)[:, 0])
    assert answers.tolist() == (values(pool)[:, 0] > 0).tolist()
