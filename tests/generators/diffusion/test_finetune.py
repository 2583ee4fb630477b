"""The training loss on its own, and what a training leaves behind."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from diffusers.training_utils import compute_snr
from PIL import Image
from safetensors.torch import load_file

from entropy_loop.data import Checkpoint, Diet, TrainSettings
from entropy_loop.errors import ConfigError, EntropyLoopError, TrainingDiverged
from entropy_loop.generators.diffusion import finetune, memory
from entropy_loop.generators.diffusion.diet import Encoded, encode
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.generators.diffusion.resident import Text
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
    weights = finetune._weights(scheduler, t, 5.0, velocity)
    assert torch.allclose(weights * (snr + 1 if velocity else snr), snr.clamp(max=5.0), rtol=1e-5)
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
    loss = finetune.loss_of(knowing, scheduler, encoded, batch, settings)
    ignorant = finetune.loss_of(lambda noisy, *_, **__: (noisy,), scheduler, encoded, batch, settings)
    assert loss < 1e-6 < 1e-2 < ignorant


@pytest.mark.parametrize(
    ("schedule", "settings", "message"),
    [
        ({"prediction_type": "sample"}, TrainSettings(), "predicts 'sample'"),
        ({"rescale_betas_zero_snr": True}, TrainSettings(snr_gamma=5.0), "train.snr_gamma: .*ratio of 0"),
    ],
)
def test_what_this_loss_cannot_train_is_refused(schedule, settings, message):
    """An unknown target, and weights that are not numbers, are errors with a clear message."""
    with pytest.raises(ConfigError, match=message):
        finetune.check_trainable(schedule, settings)


def test_velocity_with_a_last_step_of_pure_noise_can_be_weighted():
    """A signal-to-noise ratio of 0 has the min-SNR weight 0 where the model predicts velocity."""
    schedule = DDPMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    finetune.check_trainable(schedule.config, TrainSettings(snr_gamma=5.0))
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
    folders = {
        name: trained(images, caption, tmp_path / name, proportion_empty_prompts=share)
        for name, (caption, share) in texts.items()
    }
    kept, dropped, none = (folders[n].joinpath("diffusion_pytorch_model.safetensors").read_bytes() for n in texts)
    assert dropped == none != kept


def test_a_generations_weights_can_be_read_and_hold_no_path_of_the_machine(images, tmp_path):
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


def weights(unet: Path) -> dict[str, torch.Tensor]:
    return load_file(unet / "diffusion_pytorch_model.safetensors")


def apart(generation: Path, other: Path) -> float:
    """The largest difference between two generations' weights."""
    ours, theirs = weights(generation), weights(other)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def test_a_step_may_be_split_into_several_passes(images, tmp_path):
    """Two passes of 3 images are one of 6: the same draws, and weights that differ by rounding only. AdamW's first
    steps have a size of their own, whatever the gradient's, so a tiny epsilon would blow rounding up."""
    options = {"adam_epsilon": 1e-3, "learning_rate": 1e-3}
    unets = {}
    for name, size, passes in (("whole", 6, 1), ("split", 3, 2), ("other", 3, 1)):
        settings = TrainSettings(
            max_train_steps=2, train_batch_size=size, gradient_accumulation_steps=passes, **options
        )
        unets[name] = step(images, settings, tmp_path / name)
    assert apart(unets["whole"], unets["split"]) < 1e-5 < 1e-4 < apart(unets["whole"], unets["other"])


def step(images: pd.DataFrame, settings: TrainSettings, out: Path) -> Path:
    out.mkdir()
    TINY.base(out, ignore)
    TINY.train(
        Checkpoint(out),
        Diet(images.assign(prompt=ESSAY)),
        settings,
        list(range(5, 5 + settings.max_train_steps)),
        out,
        ignore,
    )
    return out / "unet"


@pytest.mark.parametrize(
    ("option", "same"),
    [
        ({"gradient_checkpointing": True}, True),
        ({"mixed_precision": "bf16"}, False),
        ({"use_ema": True, "ema_decay": 0.5}, False),
        ({"noise_offset": 0.1}, False),
        ({"snr_gamma": 5.0}, False),
        ({"max_grad_norm": 1e-3}, False),
        ({"adam_beta1": 0.5}, False),
        ({"adam_beta2": 0.9}, False),
        ({"adam_weight_decay": 0.5}, False),
        ({"adam_epsilon": 1e-3}, False),
    ],
    ids=str,
)
def test_every_option_does_what_its_name_says(images, tmp_path, option, same):
    """Checkpointing only saves memory; every other option changes what is learnt. All weights stay float32."""
    plain = step(images, TrainSettings(max_train_steps=2, train_batch_size=3), tmp_path / "plain")
    other = step(images, TrainSettings(max_train_steps=2, train_batch_size=3, **option), tmp_path / "other")
    assert (apart(plain, other) < 1e-7) == same
    assert {value.dtype for value in weights(other).values()} == {torch.float32}


@pytest.mark.parametrize(("decay", "second"), [(0.9999, 2 / 11), (0.1, 0.1)])
def test_an_average_of_weights_is_diffusers_own(images, tmp_path, decay, second):
    """With use_ema, after steps 1 and 2: d w1 + (1 - d) w2, where diffusers' EMAModel begins with w1 and lets d grow to
    ema_decay as (1 + step) / (10 + step)."""
    two = TrainSettings(max_train_steps=2, train_batch_size=3, learning_rate=1e-3)
    trainings = {
        "w1": replace(two, max_train_steps=1), "w2": two, "averaged": replace(two, use_ema=True, ema_decay=decay),
    }  # fmt: skip
    w1, w2, averaged = (weights(step(images, settings, tmp_path / name)) for name, settings in trainings.items())
    for name in averaged:
        assert torch.allclose(averaged[name], second * w1[name] + (1 - second) * w2[name], atol=1e-6)
    assert max(float((averaged[name] - w2[name]).abs().max()) for name in w2) > 1e-5


@pytest.mark.parametrize("name", ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant_with_warmup"])
def test_learning_rates_are_those_of_diffusers_own_schedule(images, tmp_path, name):
    """Six steps, two of them to warm up: training.csv has the rates that diffusers' scheduler of this name gives."""
    settings = TrainSettings(
        max_train_steps=6, train_batch_size=1, learning_rate=1e-3, lr_scheduler=name, lr_warmup_steps=2
    )
    rates = pd.read_csv(step(images, settings, tmp_path / "out").parent / "training.csv")["learning_rate"]
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = get_scheduler(name, optimizer, num_warmup_steps=2, num_training_steps=6)
    expected = []
    for _ in range(6):
        expected += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    assert rates.tolist() == pytest.approx(expected)
    assert rates[0] == 0 < rates[2]


def test_every_step_draws_from_the_posterior_anew():
    """Two steps on the same images: other latents, which lie about the mean as the standard deviation says; where it is
    0, the latent itself."""
    n = 400
    mean, std = torch.full((n, 4, 8, 8), 3.0), torch.full((n, 4, 8, 8), 2.0)
    text, prompt = Text(torch.zeros((2, 1, 1))), torch.zeros(n, dtype=torch.int64)
    scheduler, settings = DDPMScheduler(), TrainSettings()
    first, second = (
        finetune.draw(scheduler, Encoded(mean, std, text, prompt, (64, 64)), np.arange(n), settings, seed).latents
        for seed in (1, 2)
    )
    assert not torch.equal(first, second)
    for drawn in (first, second):
        assert float(drawn.mean()) == pytest.approx(3, abs=0.05)
        assert float(drawn.std()) == pytest.approx(2, abs=0.05)
    sure = Encoded(mean, torch.zeros_like(std), text, prompt, (64, 64))
    assert torch.equal(finetune.draw(scheduler, sure, np.arange(n), settings, 1).latents, mean)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_error_for_a_training_that_does_not_fit_names_the_batch_that_does(images, tmp_path, monkeypatch, method):
    """A device with room for 3 images of a pass of 8: the message names 2, and four times as many passes; no
    weights are left."""
    real = finetune.loss_of

    def small(unet, scheduler, encoded, batch, settings):
        if len(batch.t) > 3:
            raise torch.OutOfMemoryError
        return real(unet, scheduler, encoded, batch, settings)

    monkeypatch.setattr(finetune, "loss_of", small)
    message = r"train\.train_batch_size: 8 images do not fit .* 2 do: set `train\.train_batch_size: 2` and "
    message += r"`train\.gradient_accumulation_steps: 4` times as many"
    with pytest.raises(EntropyLoopError, match=message):
        step(images, TrainSettings(max_train_steps=2, train_batch_size=8, method=method), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["base.json"]


def test_several_processes_are_not_made_to_try():
    """One that is out of memory would repeat a joint step alone, and wait for the others for ever."""
    with pytest.raises(EntropyLoopError, match=r"8 images do not fit .* try half"), memory.advise("train", 8, None):
        raise torch.OutOfMemoryError


def test_an_image_is_encoded_once_however_often_it_is_fed(images, monkeypatch):
    """VAE encodes of a diet: as many as it has images, whatever the epochs and generations in which they are fed."""
    parts, encoded = TINY.model(), []
    parts.moments.clear()
    real = parts.pipe.vae.encode
    monkeypatch.setattr(
        parts.pipe.vae, "encode", lambda x: encoded.append(int((x != 0).any((1, 2, 3)).sum())) or real(x)
    )
    twice = pd.concat([images, images.tail(2)], ignore_index=True).assign(prompt=ESSAY)
    for _ in range(3):
        moments = encode(parts, Diet(twice), block=4)
    assert sum(encoded) == len(images) == 5
    assert torch.equal(moments.mean[5:], moments.mean[3:5])


def test_losses_that_are_no_numbers_end_the_training(images, tmp_path):
    """A learning rate that tears the weights apart is a TrainingDiverged with step and loss; no weights are left."""
    with pytest.raises(TrainingDiverged, match=r"lower train\.learning_rate"):
        step(images, TrainSettings(max_train_steps=60, train_batch_size=3, learning_rate=1e30), tmp_path / "out")
    assert not (tmp_path / "out" / "unet").exists()
