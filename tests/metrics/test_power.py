import numpy as np
import pytest

from entropy_loop.errors import ConfigError
from entropy_loop.metrics.power import solve


def simulated(rate, change, images, kept, chains, generations, studies=1200, replicates=799) -> float:
    """Power by drawing every image of every study, and of every study's null, one by one."""
    rng = np.random.default_rng(17)

    def means(start, studies, change) -> tuple[np.ndarray, np.ndarray]:
        """Mean c over the chains of each study, and its hits in generation 0."""
        first = pool = rng.random((studies, chains, images)) < start
        for _ in range(generations):  # the images of a pool are exchangeable: the first k are a blind pick
            share = pool[..., :kept].mean(axis=-1, keepdims=True)
            pool = rng.random(pool.shape) < share * (1 - change) ** (1 / generations)
        return (1 - pool.mean(axis=-1) / first.mean(axis=-1)).mean(axis=1), first.sum(axis=(1, 2))

    seen, hits = means(rate, studies, change)
    significant = 0
    for h in np.unique(hits):
        null, _ = means((h + 0.5) / (images * chains + 1), replicates, 0.0)
        for c in seen[hits == h]:
            tail = min((null >= c).sum(), (null <= c).sum())
            significant += 2 * (tail + 1) / (replicates + 1) <= 0.05
    return significant / studies


@pytest.mark.parametrize(
    ("rate", "change", "images", "kept", "chains", "generations"),
    [(0.8, 0.1, 128, 32, 5, 1), (0.5, 0.2, 64, 64, 3, 1), (0.8, 0.3, 64, 16, 5, 3), (0.95, 0.05, 128, 128, 3, 1)],
)
def test_the_promised_power_is_that_of_studies_drawn_image_by_image(rate, change, images, kept, chains, generations):
    """Within 5 points, with and without curation, at the ceiling, over one step and over several."""
    promised = solve(rate, change, images=images, keep=kept, chains=chains, generations=generations).power
    assert 0.1 < promised < 0.95
    assert promised == pytest.approx(simulated(rate, change, images, kept, chains, generations), abs=0.05)


@pytest.mark.parametrize("unknown", ["images", "keep", "chains"])
def test_the_answer_is_the_smallest_number_that_reaches_the_power(unknown):
    """With one image or chain less the power falls short of what was asked for."""
    study = {"images": 96, "keep": 24, "chains": 6} if unknown != "images" else {"keep": 0.5, "chains": 6}
    known = {name: value for name, value in study.items() if name != unknown}
    result = solve(0.8, 0.15, power=0.8, **known)
    answer = getattr(result, unknown)
    assert result.power >= 0.8
    assert solve(0.8, 0.15, **known, **{unknown: answer}).power == result.power
    assert solve(0.8, 0.15, **known, **{unknown: answer - 1}).power < 0.8


def test_a_share_keeps_that_part_of_each_pool():
    """keep = 0.25 of 128 images is keep = 32; 1.0 is all of them and 1 is a single one."""
    quarter, number = (solve(0.8, 0.1, images=128, keep=keep, chains=5) for keep in (0.25, 32))
    assert quarter.power == number.power
    everything, single = (solve(0.8, 0.1, images=128, keep=keep, chains=5) for keep in (1.0, 1))
    assert (everything.kept, single.kept) == (128, 1)
    assert everything.power > number.power > single.power


def test_the_same_question_has_the_same_answer():
    """Everything follows from the seed."""
    assert solve(0.8, 0.1, images=64, keep=16, chains=4) == solve(0.8, 0.1, images=64, keep=16, chains=4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": 128, "keep": 32, "chains": 5, "power": 0.8}, "all are given"),
        ({"images": 128, "keep": 32}, "chains, power are left out"),
        ({"images": 128, "keep": 32, "chains": 2}, "chains is 2; it must be 3 to"),
        ({"images": 128, "keep": 200, "chains": 3}, "keep is 200; it must be 1 to images"),
        ({"images": 128, "keep": 1.5, "chains": 3}, "keep is 1.5"),
        ({"images": 128, "keep": 32, "power": 1.0}, "power is 1.0"),
        ({"images": 10**6, "keep": 32, "chains": 3}, "images is 1000000"),
        ({"images": 32, "chains": 3, "power": 0.99}, "even keep = 32 gives a power of"),
    ],
)
def test_an_impossible_question_is_refused_with_a_reason(given, message):
    """Nothing or too much left out, a number out of range, a power that no size reaches."""
    with pytest.raises(ConfigError, match=message):
        solve(0.8, 0.1, **given)


@pytest.mark.parametrize(("rate", "change"), [(0.0, 0.1), (1.0, 0.1), (0.8, 0.0), (0.8, -0.1), (0.8, 1.1)])
def test_a_rate_or_change_out_of_range_is_refused(rate, change):
    """The concept must sometimes be seen, and recognition must fall by something."""
    with pytest.raises(ConfigError, match="it must be"):
        solve(rate, change, images=128, keep=32, chains=3)


def said_by_people(
    rate, change, images, kept, chains, rated, raters, agreement, studies=1500, replicates=1599
) -> float:
    """Power over one step by drawing every image and every answer to it, and every image of every study's null."""
    rng = np.random.default_rng(23)

    def looked_at(pool: np.ndarray) -> np.ndarray:
        return rng.permuted(pool, axis=-1)[..., :rated]

    def answered(pool: np.ndarray) -> np.ndarray:
        """V of each pool: a rater copies what the image shows, or names the answer to another image of the pool."""
        shown = looked_at(pool)[..., None]
        sees = rng.random((*shown.shape[:-1], raters)) < np.sqrt(agreement)
        other = rng.random(sees.shape) < pool.mean(axis=-1)[..., None, None]
        return np.where(sees, shown, other).mean(axis=(-1, -2))

    def one_each(pool: np.ndarray) -> np.ndarray:
        """As the null takes it, whoever answers: a yes or no for each rated image, at its pool's rate."""
        return (rng.random((*pool.shape[:-1], rated)) < pool.mean(axis=-1, keepdims=True)).mean(axis=-1)

    def pools(start: float, studies: int, change: float) -> tuple[np.ndarray, np.ndarray]:
        first = rng.random((studies, chains, images)) < start
        share = first[..., :kept].mean(axis=-1, keepdims=True)
        return first, rng.random(first.shape) < share * (1 - change)

    before, after = (answered(pool) for pool in pools(rate, studies, change))
    seen, significant = (1 - after / before).mean(axis=1), 0
    for c, v in zip(seen, before.mean(axis=1), strict=True):
        n = rated * chains
        first, last = pools((v * n + 0.5) / (n + 1), replicates, 0.0)
        null = (1 - one_each(last) / one_each(first)).mean(axis=1)
        tail = min((null >= c - 1e-12).sum(), (null <= c + 1e-12).sum())
        significant += 2 * (tail + 1) / (replicates + 1) <= 0.05
    return significant / studies


@pytest.mark.parametrize(
    ("rate", "change", "rated", "raters", "agreement"), [(0.8, 0.2, 16, 3, 0.6), (0.6, 0.25, 24, 1, 0.4)]
)
def test_the_power_of_people_is_that_of_studies_drawn_answer_by_answer(rate, change, rated, raters, agreement):
    """Within 5 points, with several raters of each image and with one, who look at a part of each pool of 64."""
    study = {"images": 64, "chains": 3, "rated": rated, "raters": raters, "agreement": agreement}
    promised = solve(rate, change, keep=32, **study).power
    assert 0.1 < promised < 0.95
    assert promised == pytest.approx(said_by_people(rate, change, kept=32, **study), abs=0.05)


def test_people_never_find_more_than_a_judge_who_sees_all():
    """Also where they agree and see every image: what is claimed for people allows for those who do not."""
    for people in ({"rated": 128}, {"rated": 128, "raters": 5, "agreement": 0.5}, {"rated": 32, "raters": 3}):
        plain, of_people = (solve(0.8, 0.2, images=128, keep=32, chains=5, **options).power for options in ({}, people))
        assert of_people <= plain + 0.02


@pytest.mark.parametrize(("name", "values"), [("raters", (1, 2, 4, 8)), ("rated", (16, 32, 64, 128))])
def test_more_people_and_more_images_never_lower_the_power(name, values):
    """Of a change that is more likely found than not; two points are the simulation's own noise."""
    study = {"images": 128, "keep": 64, "chains": 3, "rated": 32, "raters": 2, "agreement": 0.5}
    powers = [solve(0.8, 0.2, **study | {name: value}).power for value in values]
    assert 0.5 < powers[0] < powers[-1]
    assert (np.diff(powers) > -0.02).all()


def test_how_many_images_people_must_see_is_solved_for():
    """The smallest number that reaches the power, when it is the one that is left out."""
    study = {"images": 128, "keep": 64, "chains": 5, "raters": 3, "agreement": 0.7}
    result = solve(0.8, 0.2, power=0.8, **study)
    assert result.rated is not None
    assert result.power >= 0.8 > solve(0.8, 0.2, **study, rated=result.rated - 1).power


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"power": 0.8, "rated": 32}, "images, keep, chains, power and rated, to solve for; all are given"),
        ({"raters": 3}, "power, rated are left out"),
        ({"rated": 200}, r"rated is 200; it must be 1 to images \(128\)"),
        ({"rated": 32, "raters": 0}, "raters is 0"),
        ({"rated": 32, "agreement": 1.5}, "agreement is 1.5; it must be 0 to 1"),
        ({"rated": 32, "agreement": float("nan")}, "agreement is nan"),
    ],
)
def test_impossible_people_are_refused_with_a_reason(given, message):
    """More images than there are, nobody to look, a correlation that is none."""
    with pytest.raises(ConfigError, match=message):
        solve(0.8, 0.1, images=128, keep=32, chains=5, **given)
