"""The control without learning, and training on latents, on the bundled checkpoint."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file

from entropy_loop.data import Checkpoint, Diet, Request, Samples
from entropy_loop.generators.diffusion.diet import encode
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.generators.diffusion.roundtrip import VaeRoundtrip

CODEC = VaeRoundtrip("bundled:storybook", num_inference_steps=4, guidance_scale=2.0, block=4)
ESSAY, OTHER = "a photograph of an astronaut riding a horse", "a photograph of a clown"


def ignore(share: float) -> None:
    """Progress that nobody watches."""


def asked(n: int, prompt: str = ESSAY) -> list[Request]:
    return [Request(f"{prompt[-5:].strip()}{i}", prompt, i, 90 + i) for i in range(n)]


def sampled(generator: Diffusion, model: Checkpoint, requests: list[Request], out: Path) -> Samples:
    out.mkdir()
    generator.sample(model, requests, out, ignore)
    return Samples(out)


def pixels(samples: Samples) -> np.ndarray:
    return np.stack([np.asarray(Image.open(samples.folder / file)) for file in samples.table["file"]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("base")
    CODEC.base(folder, ignore)
    return Checkpoint(folder)


@pytest.fixture(scope="module")
def first(base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return sampled(CODEC, base, asked(5), tmp_path_factory.mktemp("pool") / "0")


def diet(samples: Samples) -> Diet:
    return Diet(samples.table.assign(folder=str(samples.folder), real=False))


def test_generation_0_of_the_control_is_the_checkpoints(base, first, tmp_path):
    """In generation 0 the control makes the same images as the model that it controls for."""
    assert (pixels(sampled(Diffusion(**asdict(CODEC)), base, asked(5), tmp_path / "model")) == pixels(first)).all()


def test_images_pass_the_codec_once_per_generation_and_nothing_is_learnt(base, first, tmp_path):
    """Image i of the next generation is image i, a little changed; neither noise nor the model plays a part."""
    (tmp_path / "1").mkdir()
    CODEC.train(base, diet(first), None, [], tmp_path / "1", ignore)
    again = sampled(CODEC, Checkpoint(tmp_path / "1"), asked(7), tmp_path / "pool1")
    before, after = pixels(first).astype(float), pixels(again).astype(float)
    near = np.abs(after[:5] - before).mean(axis=(1, 2, 3))
    far = np.abs(after[:5] - np.roll(before, 1, axis=0)).mean(axis=(1, 2, 3))
    assert (near > 0).all()
    assert (near < far).all()
    assert (after[5:] == after[:2]).all()  # a pool larger than its diet starts again


def test_a_prompt_that_is_not_fed_back_is_sampled_from_the_checkpoint(base, first, tmp_path):
    """Prompts that are only measured have the same images under the control."""
    (tmp_path / "1").mkdir()
    CODEC.train(base, diet(first), None, [], tmp_path / "1", ignore)
    both = sampled(CODEC, Checkpoint(tmp_path / "1"), [*asked(2), *asked(3, OTHER)], tmp_path / "both")
    alone = sampled(CODEC, base, asked(3, OTHER), tmp_path / "alone")
    others = both.table[both.table["prompt"] == OTHER]
    assert len(both.table) == 5
    assert sorted(others["latent_sha256"]) == sorted(alone.table["latent_sha256"])


def test_training_on_latents_leaves_out_the_round_trip(first):
    """With roundtrip 'latents' a generated image enters as the latent it was decoded from, a real one encoded."""
    table = pd.concat([diet(first).table.iloc[:3], diet(first).table.iloc[3:].assign(real=True)], ignore_index=True)
    encoded = encode(CODEC.model(), Diet(table), CODEC.block, "latents")
    kept = load_file(first.folder / "latents.safetensors")
    for row, name in enumerate(table["id"]):
        generated = bool((encoded.mean[row] == kept[name]).all()) and bool((encoded.std[row] == 0).all())
        assert generated == (row < 3)
