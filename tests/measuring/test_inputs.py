"""What pools are held against, on a run without pixels: its embedder and reader know images by their seeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from entropy_loop import registry
from entropy_loop.commands import experiment
from entropy_loop.contracts import Attribute, Embedded, Embedder, Reader, Real
from entropy_loop.data import HELD_OUT, REAL
from entropy_loop.measuring.inputs import Inputs, load
from entropy_loop.plan import Plan
from entropy_loop.storage.store import Store

PROMPT = "an astronaut on a horse"
SETTINGS = {"measures": {"embedder": {"use": "toy"}}, "real": {"use": "categorical", "rates": {"astronaut": 0.5}}}


@dataclass(frozen=True)
class ToyEmbedder(Embedder):
    """A vector that follows from the image's seed."""

    version: ClassVar[int] = 1

    def ready(self) -> None:
        """It needs no model."""

    def embed(self, samples, tick) -> Embedded:
        vectors = np.array([vector(seed) for seed in samples.table["image_seed"]], np.float32).reshape(-1, 4)
        return Embedded(vectors, pd.DataFrame({"noise": 0.0}, index=range(len(vectors))))


@dataclass(frozen=True)
class ToyReader(Reader):
    """Reads an image's number as its coat."""

    version: ClassVar[int] = 1

    def ready(self, attributes) -> None:
        """It needs no model."""

    def attributes(self) -> dict[str, Attribute]:
        sure, values = np.eye(40).tolist(), list(map(str, range(40)))
        extra = {"confusion": {"clean": sure, "round_trip": sure}, "threshold": 0.0}
        return {"coat": {"answers": values, "values": values, **extra}}

    def read(self, samples, tick) -> pd.DataFrame:
        coat = (samples.table["image_seed"] % 40).astype(str)
        return samples.table[["id"]].assign(attribute="coat", value=coat, score=1.0, reason="")


@dataclass(frozen=True)
class ToyFolder(Real):
    """So many real images, numbered, all of one prompt; the seed of each is its number."""

    version: ClassVar[int] = 1
    images: int

    def ready(self) -> None:
        """It needs no data."""

    def stock(self, prompt: str) -> int | None:
        return self.images if prompt == PROMPT else 0

    def draw(self, requests, out, tick) -> None:
        rows = [(r.id, r.prompt, range(self.images)[r.index], "", "", "horse") for r in requests]
        columns = ["id", "prompt", "image_seed", "file", "latent_sha256", "shows"]
        pd.DataFrame(rows, columns=columns).to_parquet(out / "samples.parquet")


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=4)


@pytest.fixture(autouse=True)
def _plugins(monkeypatch) -> Iterator[None]:
    monkeypatch.setitem(registry.EMBEDDER.bundled, "toy", f"{__name__}:ToyEmbedder")
    monkeypatch.setitem(registry.READER.bundled, "toy", f"{__name__}:ToyReader")
    monkeypatch.setitem(registry.REAL.bundled, "toy", f"{__name__}:ToyFolder")
    registry.known.cache_clear()
    yield
    monkeypatch.undo()
    registry.known.cache_clear()


def seen(planned: Plan, root: Path, generation: int, run: int = 0) -> Inputs:
    experiment.carry_out(planned, root, lambda *progress: None)
    return load(planned.chains[run], generation, Store(root))


def real(images: int) -> dict[str, object]:
    return {"real": {"use": "toy", "images": images}}


def table_of(planned: Plan, root: Path, stream: str, generation: int = 0) -> pd.DataFrame:
    g = planned.chains[0].generations[generation]
    return pd.read_parquet(Store(root).stages / g.observed[stream].images.folder / "samples.parquet")


def test_all_generations_and_arms_of_a_seed_have_the_same_held_out_images(toy):
    """One stage for the whole study and seed, whatever its arms feed back; another seed has others."""
    regimes = [{"use": "replace"}, {"use": "fresh_real", "real_fraction": 0.5}]
    planned = experiment.prepare(toy(**SETTINGS, sweep={"feedback": regimes, "seed": [0, 1]}))
    keys = {run.name: run.generations[0].observed[HELD_OUT].images.key for run in planned.chains}
    assert len(keys) == 4
    assert len(set(keys.values())) == 2
    assert [s.name for s in planned.stages().values()].count(f"draw-{HELD_OUT}") == 2
    assert len({keys[name] for name in keys if name.endswith("seed0")}) == 1


def test_no_diet_contains_a_held_out_image(toy, tmp_path):
    """They are drawn from seeds of their own: none of the fixed or fresh real images of three diets is among them."""
    for use in ("mix_real", "fresh_real"):
        planned = experiment.prepare(toy(**SETTINGS, feedback={"use": use}, generations=3))
        experiment.carry_out(planned, tmp_path / use, lambda *progress: None)
        eaten = pd.concat([table_of(planned, tmp_path / use, REAL, g) for g in (1, 2, 3)])
        held_out = table_of(planned, tmp_path / use, HELD_OUT)
        assert len(held_out) == 8
        assert not set(held_out["image_seed"]) & set(eaten["image_seed"])
        assert not set(held_out["id"]) & set(eaten["id"])


def test_a_folder_holds_out_from_its_other_end(toy, tmp_path):
    """8 images held out and 8 eaten of 16: all different files, and the pool is held against them."""
    planned = experiment.prepare(toy(**SETTINGS | real(16), feedback={"use": "mix_real"}))
    loaded = seen(planned, tmp_path / "out", 2).of(PROMPT)
    numbers = [sorted(table_of(planned, tmp_path / "out", *of)["image_seed"]) for of in ((REAL, 1), (HELD_OUT,))]
    assert numbers == [[*range(8)], [*range(8, 16)]]
    assert len(loaded.held_out.table) == 8


@pytest.mark.parametrize(
    ("images", "regime", "generation", "why"),
    [
        (7, "replace", 0, "of 7 real images of this prompt the diets took 0; 8 must be left"),
        (8, "replace", 2, None),
        (23, "fresh_real", 1, None),
        (24, "fresh_real", 2, None),
        (23, "fresh_real", 2, "of 23 real images of this prompt the diets took 16; 8 must be left"),
        (15, "mix_real", 0, None),
        (15, "mix_real", 2, "of 15 real images of this prompt the diets took 8; 8 must be left"),
    ],
)
def test_a_folder_with_too_few_images_withholds_them_with_a_reason(toy, tmp_path, images, regime, generation, why):
    """Eight must be left beside what the diets have eaten so far; a run goes on without them."""
    planned = experiment.prepare(toy(**SETTINGS | real(images), feedback={"use": regime}))
    loaded = seen(planned, tmp_path / "out", generation)
    assert loaded.withheld == ({PROMPT: why} if why else {})
    assert (loaded.of(PROMPT).held_out is None) == bool(why)
    rows = pd.read_csv(tmp_path / "out/diversity.csv").query("reference == 'real' and generation == @generation")
    assert set(rows["reason"].dropna()) >= ({why} if why else set())


def test_a_prompt_that_the_real_data_do_not_know_is_withheld_alone(toy, tmp_path):
    """Held-out images of one prompt do not stand or fall with another's."""
    prompts = [{"text": PROMPT, "concepts": ["horse"]}, {"text": "a cow", "role": "unrelated", "concepts": ["cow"]}]
    loaded = seen(experiment.prepare(toy(**SETTINGS | real(9), prompts=prompts)), tmp_path / "out", 1)
    assert list(loaded.withheld) == ["a cow"]
    assert len(loaded.of(PROMPT).held_out.table) == 8
    assert len(loaded.held_out.table) == 8


def test_an_arm_that_corrupts_its_diet_is_held_against_clean_images(toy):
    """measures.real names them, whatever `real` is; held out from another source, nothing of it is ever eaten."""
    clean = {"use": "categorical", "rates": {"astronaut": 0.9}}
    changes = SETTINGS | {"measures": {"embedder": {"use": "toy"}, "real": clean}}
    arms = [{"name": "cut", "set": {"real.rates": {"astronaut": 1.0}, "feedback": {"use": "mix_real"}}}]
    planned = experiment.prepare(toy(**changes, arms=arms))
    held_out = [run.generations[0].observed[HELD_OUT].images for run in planned.chains]
    assert {stage.key for stage in held_out} == {held_out[0].key}
    assert held_out[0].reads["real"]["options"] == {"rates": {"astronaut": 0.9}}


@pytest.mark.parametrize(
    ("regime", "generation", "sets"),
    [("replace", 1, {"p000"}), ("accumulate", 2, {"p000", "p001"}), ("mix_real", 2, {"p001", "r000"})],
)
def test_a_diet_is_seen_as_it_was_eaten(toy, tmp_path, regime, generation, sets):
    """Each image of what the model was trained on once, with its own vector: kept ones of the pools, and real ones."""
    policy = {"policy": {"use": "k_choice", "k": 4, "candidates": 2}, "scorer": {"use": "exact"}}
    planned = experiment.prepare(toy(**SETTINGS, feedback={"use": regime}, curate=policy))
    loaded = seen(planned, tmp_path / "out", generation).of(PROMPT).diet
    folder = Store(tmp_path / "out").stages / planned.chains[0].generations[generation].model.folder
    assert set(loaded.table["id"]) == set(pd.read_parquet(folder / "diet.parquet")["id"])
    assert loaded.table["id"].is_unique
    assert {name[:4] for name in loaded.table["id"]} == sets
    images = pd.read_parquet(tmp_path / "out/images.parquet").drop_duplicates("id").set_index("id")["image_seed"]
    assert loaded.embeddings == pytest.approx(np.array([vector(images[name]) for name in loaded.table["id"]]), rel=1e-6)


def test_nothing_is_trained_on_where_nothing_is_trained(toy, tmp_path):
    """Neither generation 0 nor a run that only regenerates has a diet."""
    planned = experiment.prepare(toy(**SETTINGS, sweep={"train.method": ["full", "none"]}))
    assert seen(planned, tmp_path / "out", 0).diet is None
    assert seen(planned, tmp_path / "out", 1, run=1).diet is None
    assert seen(planned, tmp_path / "out", 1).diet is not None


def test_a_finished_run_opens_nothing_that_was_seen(toy, tmp_path, monkeypatch):
    """Started again, it does not even read the embeddings."""
    planned = experiment.prepare(toy(**SETTINGS))
    experiment.carry_out(planned, tmp_path / "out", lambda *progress: None)
    monkeypatch.setattr(np, "load", None)
    experiment.carry_out(planned, tmp_path / "out", lambda *progress: None)
    with pytest.raises(TypeError):
        load(planned.chains[0], 1, Store(tmp_path / "out"))
