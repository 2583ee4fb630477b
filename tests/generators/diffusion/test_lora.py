"""Low-rank updates: what they are on disk, in memory, and in plain diffusers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from checkpoints import BUNDLED, tiny_xl
from PIL import Image
from safetensors.torch import load_file

from entropy_loop.data import Checkpoint, Diet, TrainSettings
from entropy_loop.errors import ConfigError
from entropy_loop.generators.diffusion import lora, resident
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.worlds.storybook import scene

ESSAY = "a photograph of an astronaut riding a horse"
TINY = Diffusion("bundled:storybook", block=4)
LORA = TrainSettings(method="lora", max_train_steps=2, train_batch_size=3, learning_rate=1e-2, rank=3, lora_alpha=5.0)


def ignore(share: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def diet(tmp_path_factory) -> Diet:
    """Five drawn scenes."""
    folder = tmp_path_factory.mktemp("diet")
    for i in range(5):
        Image.fromarray(scene.render(scene.sample(7, i))).save(folder / f"{i}.png")
    files = [f"{i}.png" for i in range(5)]
    return Diet(pd.DataFrame({"file": files, "folder": str(folder), "real": False, "prompt": ESSAY}))


@pytest.fixture
def base(tmp_path) -> Checkpoint:
    (tmp_path / "base").mkdir()
    TINY.base(tmp_path / "base", ignore)
    return Checkpoint(tmp_path / "base")


def trained(start: Checkpoint, diet: Diet, out: Path, generator: Diffusion = TINY, settings: TrainSettings = LORA):
    out.mkdir()
    generator.train(start, diet, settings, [5, 6], out, ignore)
    return Checkpoint(out)


UNET = {"sample": (2, 8, 8, 8), "timestep": 500}


def predicted(unet: torch.nn.Module, **condition: object) -> torch.Tensor:
    z = torch.randn(UNET["sample"], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return unet(z, UNET["timestep"], return_dict=False, **condition)[0]


TEXT = torch.randn((2, 16, 128), generator=torch.Generator().manual_seed(2))

READ = """
import sys, torch
from diffusers import StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1], safety_checker=None, dtype=torch.float32)
pipe.load_lora_weights(sys.argv[2])
config = pipe.unet.peft_config["default_0"]
print(config.r, config.lora_alpha, sorted(config.target_modules))
g = torch.Generator()
z, text = torch.randn((2, 8, 8, 8), generator=g.manual_seed(1)), torch.randn((2, 16, 128), generator=g.manual_seed(2))
with torch.no_grad():
    torch.save(pipe.unet(z, 500, encoder_hidden_states=text, return_dict=False)[0], sys.argv[3])
"""


@pytest.mark.thorough
def test_two_lines_of_plain_diffusers_load_a_generation(base, diet, tmp_path):
    """In a fresh process without this package, `load_lora_weights` gives the rank and alpha that were trained with,
    and the UNet that our own loading gives, to 1e-5."""
    generation = trained(base, diet, tmp_path / "one")
    code = [sys.executable, "-c", READ, str(BUNDLED), str(generation.folder), str(tmp_path / "predicted.pt")]
    printed = subprocess.run(code, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "3 5.0 ['to_k', 'to_out.0', 'to_q', 'to_v']"
    _, unet = TINY._load(generation)
    ours = predicted(unet.unet, encoder_hidden_states=TEXT)
    _, untrained = TINY._load(base)
    assert torch.allclose(ours, torch.load(tmp_path / "predicted.pt"), atol=1e-5)
    assert (ours - predicted(untrained.unet, encoder_hidden_states=TEXT)).abs().max() > 1e-3


def test_adapters_are_float32_and_the_next_generation_goes_on_from_them(base, diet, tmp_path):
    """In bf16 training, too; a second generation from the first differs from one from the checkpoint."""
    half = TrainSettings(**{**vars(LORA), "mixed_precision": "bf16"})
    first = trained(base, diet, tmp_path / "first", settings=half)
    second = trained(first, diet, tmp_path / "second", settings=half)
    afresh = trained(base, diet, tmp_path / "afresh", settings=half)
    weights = {model.folder.name: load_file(model.folder / lora.FILE) for model in (first, second, afresh)}
    assert {value.dtype for value in weights["first"].values()} == {torch.float32}
    assert all(torch.equal(weights["first"][name], value) for name, value in weights["afresh"].items())
    assert any(not torch.equal(weights["first"][name], value) for name, value in weights["second"].items())


def test_equal_trainings_are_equal_files_and_leave_the_checkpoint_alone(base, diet, tmp_path):
    """Trained twice: the same bytes. Generation 0 is sampled afterwards as it was before, in the same modules."""
    _, before = TINY._load(base)
    modules, first = dict(before.unet.named_modules()), predicted(before.unet, encoder_hidden_states=TEXT)
    files = [trained(base, diet, tmp_path / name).folder / lora.FILE for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()
    _, after = TINY._load(base)
    assert dict(after.unet.named_modules()) == modules
    assert torch.equal(predicted(after.unet, encoder_hidden_states=TEXT), first)


def test_peft_computes_what_is_merged(base, diet, tmp_path):
    """The UNet with its adapters beside the weights, as it is trained, predicts what the merged one predicts."""
    generation = trained(base, diet, tmp_path / "one")
    _, merged = TINY._load(generation)
    ours = predicted(merged.unet, encoder_hidden_states=TEXT)
    _, plain = TINY._load(base)
    lora.add(plain.unet, LORA, generation.folder, 0)
    theirs = predicted(plain.unet, encoder_hidden_states=TEXT)
    lora.remove(plain.unet)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_target_that_is_no_linear_layer_is_refused_before_the_run():
    """A name that no layer has, and a convolution, are refused with the usual names."""
    for target in ("to_x", "conv1"):
        settings = TrainSettings(method="lora", target_modules=("to_q", target))
        with pytest.raises(
            ConfigError, match=f"train.target_modules: '{target}' names no linear layer .* to_k, to_out.0"
        ):
            TINY.ready((ESSAY,), settings)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_an_xl_checkpoint_is_trained_and_sampled(diet, tmp_path, method):
    """Both ways of training change what the UNet predicts, and load in plain diffusers to the same prediction."""
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel

    folder = tiny_xl(tmp_path / "xl")
    generator = Diffusion(str(folder), block=4)
    (tmp_path / "base").mkdir()
    generator.base(tmp_path / "base", ignore)
    settings = TrainSettings(**{**vars(LORA), "method": method})
    generator.ready((ESSAY,), settings)
    generation = trained(Checkpoint(tmp_path / "base"), diet, tmp_path / "next", generator, settings)
    parts, unet = generator._load(generation)
    condition = parts.text((ESSAY, "")).unet_arguments((64, 64), torch.float32)
    ours = predicted(unet.unet, **condition)
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32)
    assert (predicted(pipe.unet, **condition) - ours).abs().max() > 1e-4
    if method == "lora":
        pipe.load_lora_weights(generation.folder)
    else:
        pipe.unet = UNet2DConditionModel.from_pretrained(generation.folder / "unet")
    assert torch.allclose(predicted(pipe.unet, **condition), ours, atol=1e-5)


def test_the_update_is_the_product_of_the_two_factors(base, diet, tmp_path):
    """alpha / rank B A, by hand."""
    folder = trained(base, diet, tmp_path / "one").folder
    weights = {name: value.numpy().astype(np.float64) for name, value in load_file(folder / lora.FILE).items()}
    update = lora.update(folder)
    name = next(iter(update)).removesuffix(".weight")
    product = 5 / 3 * weights[f"unet.{name}.lora_B.weight"] @ weights[f"unet.{name}.lora_A.weight"]
    assert len(update) == len(weights) / 2 > 10
    np.testing.assert_allclose(update[f"{name}.weight"].numpy(), product, atol=1e-7)


def test_weights_are_exchanged_in_place(base, diet, tmp_path):
    """Another generation's weights go into the very tensors that the UNet had: nothing is compiled or built anew."""
    _, unet = TINY._load(base)
    places = [value.data_ptr() for value in unet.unet.parameters()]
    _, again = TINY._load(trained(base, diet, tmp_path / "one"))
    assert [value.data_ptr() for value in again.unet.parameters()] == places
    assert again.unet is resident.model(str(BUNDLED)).unet("fp32").unet
