"""The training loss on its own, and what a training leaves behind."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from PIL import Image

from entropy_loop.data import Checkpoint, Diet, TrainSettings
from entropy_loop.errors import ConfigError
from entropy_loop.generators import finetune
from entropy_loop.generators.diet import Encoded, encode
from entropy_loop.generators.diffusion import Diffusion
from entropy_loop.generators.resident import Text
from entropy_loop.worlds.storybook import scene

TINY = Diffusion("bundled:storybook", block=4)
ESSAY = "a photograph of an astronaut riding a horse"


def ignore(share: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture(params=["epsilon", "v_prediction"])
def scheduler(request):
    return DDPMScheduler(beta_schedule="scaled_linear", prediction_type=request.param)


def test_weights_are_min_snr_weights(scheduler):
    """With diffusers' signal-to-noise ratio s: min(s, 5) / s for noise, min(s, 5) / (s + 1) for velocity."""
    t = torch.arange(0, 1000, 37)
    snr = compute_snr(scheduler, t)
    velocity = scheduler.config.prediction_type == "v_prediction"
    found = finetune._weights(scheduler, t, 5.0, velocity)
    assert torch.allclose(found * (snr + 1 if velocity else snr), snr.clamp(max=5.0), rtol=1e-5)
    assert torch.equal(finetune._weights(scheduler, t, None, velocity), torch.ones(len(t)))


def test_a_model_that_knows_the_target_has_no_loss(scheduler):
    """The target is the noise, or the velocity sqrt(a) e - sqrt(1 - a) z (Salimans & Ho 2022, arXiv 2202.00512)."""
    z = torch.randn((6, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    rows = np.array([4, 1, 2])

    def knowing(noisy, t, encoder_hidden_states, return_dict):
        a = scheduler.alphas_cumprod[t].reshape(-1, 1, 1, 1).double()
        noise = (noisy - a.sqrt() * z[rows]) / (1 - a).sqrt()
        velocity = a.sqrt() * noise - (1 - a).sqrt() * z[rows]
        return (noise if scheduler.config.prediction_type == "epsilon" else velocity,)

    text = Text(torch.zeros((2, 1, 1)))
    encoded = Encoded(z, torch.zeros_like(z), text, torch.zeros(6, dtype=torch.int64), (64, 64))
    settings = TrainSettings(snr_gamma=5.0, train_batch_size=3)
    batch = finetune.draw(scheduler, encoded, rows, settings, seed=3)
    found = finetune.loss_of(knowing, scheduler, encoded, batch, settings)
    ignorant = finetune.loss_of(lambda noisy, *_, **__: (noisy,), scheduler, encoded, batch, settings)
    assert found < 1e-6 < 1e-2 < ignorant


@pytest.mark.parametrize(
    ("schedule", "settings", "told"),
    [
        ({"prediction_type": "sample"}, TrainSettings(), "predicts 'sample'"),
        ({"rescale_betas_zero_snr": True}, TrainSettings(snr_gamma=5.0), "train.snr_gamma: .*ratio of 0"),
    ],
)
def test_what_this_loss_cannot_train_is_refused(schedule, settings, told):
    """A target that is not known, and weights that are not numbers, are errors in words."""
    with pytest.raises(ConfigError, match=told):
        finetune.refuse_untrainable(schedule, settings)


def test_velocity_with_a_last_step_of_pure_noise_can_be_weighted():
    """A signal-to-noise ratio of 0 has the min-SNR weight 0 where the model predicts velocity."""
    schedule = DDPMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    finetune.refuse_untrainable(schedule.config, TrainSettings(snr_gamma=5.0))
    assert torch.isfinite(finetune._weights(schedule, torch.tensor([0, 999]), 5.0, velocity=True)).all()


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> pd.DataFrame:
    """Five drawn scenes as a diet without captions."""
    folder = tmp_path_factory.mktemp("diet")
    for i in range(5):
        Image.fromarray(scene.render(scene.sample(7, i))).save(folder / f"{i}.png")
    return pd.DataFrame({"file": [f"{i}.png" for i in range(5)], "folder": str(folder), "real": False})


def trained(images: pd.DataFrame, caption: str, out: Path, **changes: object) -> Path:
    settings = TrainSettings(max_train_steps=2, train_batch_size=3, **changes)
    out.mkdir()
    TINY.base(out, ignore)
    TINY.train(Checkpoint(out), Diet(images.assign(prompt=caption)), settings, [5, 6], out, ignore)
    return out / "unet"


def test_training_with_every_caption_dropped_is_training_without_captions(images, tmp_path):
    """At proportion_empty_prompts 1 the text of a prompt does not matter, byte for byte; at 0 it does."""
    texts = {"kept": (ESSAY, 0.0), "dropped": (ESSAY, 1.0), "none": ("", 0.0)}
    made = {
        name: trained(images, caption, tmp_path / name, proportion_empty_prompts=share)
        for name, (caption, share) in texts.items()
    }
    kept, dropped, none = (made[n].joinpath("diffusion_pytorch_model.safetensors").read_bytes() for n in texts)
    assert dropped == none != kept


def test_a_generations_weights_can_be_read_and_tell_nothing_of_the_machine(images, tmp_path):
    """The saved UNet has the mode of any other file, and no path of this machine in its config."""
    unet = trained(images, ESSAY, tmp_path / "out")
    modes = {file.stat().st_mode for file in (*unet.iterdir(), unet.parent / "training.csv")}
    assert len(modes) == 1
    assert not [value for value in json.loads((unet / "config.json").read_text()).values() if "/" in str(value)]


def test_a_latent_does_not_depend_on_what_is_encoded_with_it(images):
    """Moments of an image are the same alone and among others, whole blocks or not."""
    parts = TINY.model()
    every = encode(parts, Diet(images.assign(prompt=ESSAY)), block=4)
    parts.moments.clear()
    last = encode(parts, Diet(images.tail(1).assign(prompt=ESSAY)), block=4)
    assert torch.equal(every.mean[4:], last.mean)
    assert torch.equal(every.std[4:], last.std)
