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
    found = 0
    for h in np.unique(hits):
        null, _ = means((h + 0.5) / (images * chains + 1), replicates, 0.0)
        for c in seen[hits == h]:
            tail = min((null >= c).sum(), (null <= c).sum())
            found += 2 * (tail + 1) / (replicates + 1) <= 0.05
    return found / studies


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
    found = solve(0.8, 0.15, power=0.8, **known)
    answer = getattr(found, unknown)
    assert found.power >= 0.8
    assert solve(0.8, 0.15, **known, **{unknown: answer}).power == found.power
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
