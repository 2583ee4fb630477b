import itertools
import json

import numpy as np
import pandas as pd
import pytest

from entropy_loop.data import SAMPLES, Checkpoint, Diet, Request, Samples, TrainSettings
from entropy_loop.generators.toys.categorical import Categorical

RATES = {"astronaut": 0.9, "horse": 0.6, "riding": 0.5}


def ignore(share: float) -> None:
    """Progress that nobody watches."""


def asked(n: int, prompt: str = "p", first: int = 0) -> list[Request]:
    return [Request(f"i{i:05d}", prompt, i, 1000 + i) for i in range(first, first + n)]


@pytest.fixture
def base(tmp_path):
    (tmp_path / "base").mkdir()
    Categorical(RATES).base(tmp_path / "base", ignore)
    return Checkpoint(tmp_path / "base")


@pytest.fixture
def draw(base, tmp_path):
    """Samples of a model (generation 0's by default), each call into a folder of its own."""
    numbers = itertools.count()

    def sample(requests: list[Request], model: Checkpoint = base) -> Samples:
        out = tmp_path / f"samples{next(numbers)}"
        out.mkdir()
        Categorical(RATES).sample(model, requests, out, ignore)
        return Samples(out)

    return sample


def test_generation_0_shows_concepts_at_their_rates(draw):
    """Of 4,000 images each concept is shown at its rate, each pair at the product, within 5 standard errors."""
    shown = [set(s.split("+")) for s in draw(asked(4000)).table["shows"]]
    for names in (*itertools.combinations(RATES, 1), *itertools.combinations(RATES, 2)):
        rate = np.prod([RATES[name] for name in names])
        share = np.mean([set(names) <= s for s in shown])
        assert abs(share - rate) < 5 * (rate * (1 - rate) / 4000) ** 0.5


def test_the_base_model_is_a_distribution(base):
    """Its shares are the products of the rates: 8 sets of concepts that add up to 1."""
    shares = json.loads((base.folder / "model.json").read_text())[""]
    assert shares["astronaut+horse+riding"] == pytest.approx(0.9 * 0.6 * 0.5)
    assert shares["astronaut"] == pytest.approx(0.9 * 0.4 * 0.5)
    assert shares[""] == pytest.approx(0.1 * 0.4 * 0.5)
    assert sum(shares.values()) == pytest.approx(1)


def test_an_image_depends_on_its_request_alone(draw):
    """Asked for alone, in another order or among more, image i is the same."""
    many = draw(asked(50)).table
    backwards = draw(asked(50)[::-1]).table.sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(many, backwards)
    pd.testing.assert_frame_equal(draw(asked(1, first=7)).table, many.iloc[[7]].reset_index(drop=True))
    assert list(many.columns[: len(SAMPLES)]) == list(SAMPLES)


def test_other_noise_is_another_image(draw):
    """Images of different seeds have different latents."""
    assert draw(asked(200)).table["latent_sha256"].nunique() == 200


def test_training_copies_the_diet_exactly(draw, base, tmp_path):
    """After training a prompt's shares are those of its kept images; other prompts keep what they had."""
    pool = draw(asked(40))
    kept = pool.table["shows"].str.contains("horse")
    (tmp_path / "next").mkdir()
    Categorical(RATES).train(base, Diet(pool.table[kept]), TrainSettings(), [1], tmp_path / "next", ignore)
    learnt = json.loads((tmp_path / "next" / "model.json").read_text())
    counts = pool.table.loc[kept, "shows"].value_counts()
    assert learnt["p"] == pytest.approx({name: count / kept.sum() for name, count in counts.items()})
    assert learnt[""] == json.loads((base.folder / "model.json").read_text())[""]
    again = draw(asked(300), Checkpoint(tmp_path / "next")).table
    assert again["shows"].str.contains("horse").all()
    assert not draw(asked(300, "other"), Checkpoint(tmp_path / "next")).table["shows"].str.contains("horse").all()


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_may_be_certain(tmp_path, rate):
    """A concept of rate 0 is never shown and one of rate 1 always."""
    toy, out = Categorical({"horse": rate}), tmp_path / "out"
    out.mkdir()
    toy.base(out, ignore)
    toy.sample(Checkpoint(out), asked(500), out, ignore)
    assert set(Samples(out).table["shows"]) == ({"horse"} if rate else {""})
