"""The sampler on the checkpoint that ships, and on folders that differ from it in one thing."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import tiny_xl, with_checker

from entropy_loop import assets
from entropy_loop.commands import experiment
from entropy_loop.data import Checkpoint, Request, Samples, TrainSettings
from entropy_loop.errors import ConfigError, EntropyLoopError
from entropy_loop.generators.diffusion import codec, joining, memory, safety, sampling
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.generators.diffusion.sampling import SCHEDULERS
from entropy_loop.machine import device

BUNDLED = assets.find("bundled:storybook")
UNET = "unet/diffusion_pytorch_model.safetensors"
ESSAY = "a photograph of an astronaut riding a horse"


def ignore(share: float) -> None:
    """Progress that nobody watches."""


def generator(checkpoint: str | Path = "bundled:storybook", **options: object) -> Diffusion:
    return Diffusion(str(checkpoint), **{"num_inference_steps": 3, "guidance_scale": 3.0, "block": 2, **options})


def asked(n: int) -> list[Request]:
    return [Request(f"i{i}", ESSAY, i, 50 + i) for i in range(n)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled checkpoint that a test may change."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "checkpoint"))


def rewrite(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.fixture
def generation_0(tmp_path: Path) -> Checkpoint:
    """The stage folder of a checkpoint that nothing was trained on."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "base.json").write_text("{}")
    return Checkpoint(tmp_path / "base")


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint in the form of SDXL."""
    return tiny_xl(tmp_path_factory.mktemp("xl"))


@pytest.fixture(scope="module")
def kinds(xl: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checkpoints: the bundled one, the same taken for one that predicts velocity, and one in the form of SDXL."""
    velocity = Path(shutil.copytree(BUNDLED, tmp_path_factory.mktemp("velocity") / "checkpoint"))
    rewrite(velocity / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    return {"bundled": "bundled:storybook", "velocity": str(velocity), "xl": str(xl)}


def noise_of(images: Path, checkpoint: str | Path = "bundled:storybook", **options: object) -> list[str]:
    """Hashes of the latents of two images."""
    images.mkdir()
    plugin = generator(checkpoint, **options)
    plugin.base(images, ignore)
    plugin.sample(Checkpoint(images), asked(2), images, ignore)
    return Samples(images).table["latent_sha256"].tolist()


OWN = {
    "ddim": diffusers.DDIMScheduler,
    "ddpm": diffusers.DDPMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "dpmsolver_multistep": diffusers.DPMSolverMultistepScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
}


def pipeline(generator: Diffusion) -> diffusers.DiffusionPipeline:
    """diffusers' own pipeline on the same checkpoint."""
    folder, options = (
        generator.model().folder,
        {"dtype": torch.float32, "safety_checker": None, "local_files_only": True},
    )
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", ["bundled", "velocity", "xl"])
def test_every_scheduler_makes_the_latents_of_diffusers_own_pipeline(name, kind, kinds, generation_0):
    """The same seeds, steps and guidance in diffusers' pipeline of either kind, and of a model that predicts velocity
    (SD 2.1): the same latents to 1e-5, also where every step draws noise."""
    ours = generator(kinds[kind], scheduler=name)
    theirs = pipeline(ours)
    options = {"skip_prk_steps": True} if name == "pndm" else {}
    theirs.scheduler = OWN[name].from_config(theirs.scheduler.config, **options)
    parts, unet = ours._load(generation_0)
    latents, _ = ours._sample_block(parts, unet, asked(2), 2)
    random = [torch.Generator().manual_seed(request.seed) for request in asked(2)]
    expected = theirs([ESSAY] * 2, generator=random, num_inference_steps=3, guidance_scale=3.0, output_type="latent")
    assert torch.allclose(latents, expected.images, atol=1e-5)


@pytest.mark.parametrize("kind", ["bundled", "xl"])
def test_pictures_are_those_of_diffusers_own_pipeline(kind, kinds, generation_0):
    """The VAE, which the pipeline of an XL model upcasts to float32 too: the same pixels to a grey level in 255."""
    ours = generator(kinds[kind])
    parts, unet = ours._load(generation_0)
    assert parts.pipe.vae.config.force_upcast
    assert parts.pipe.vae.dtype == torch.float32
    _, images = ours._sample_block(parts, unet, asked(2), 2)
    random = [torch.Generator().manual_seed(request.seed) for request in asked(2)]
    expected = pipeline(ours)([ESSAY] * 2, generator=random, num_inference_steps=3, guidance_scale=3.0).images
    theirs = np.stack([np.asarray(image) for image in expected]).astype(int)
    assert abs(images.astype(int) - theirs).max() <= 1


def test_a_part_of_the_images_is_decoded_at_a_time(monkeypatch):
    """Five images in calls of two, the last one padded: the pixels of one call to a grey level, the same moments."""
    parts = generator().model()
    latents = torch.randn((5, 8, 8, 8), generator=torch.Generator().manual_seed(3))
    calls, real = [], parts.pipe.vae.decode
    monkeypatch.setattr(parts.pipe.vae, "decode", lambda z, **options: calls.append(len(z)) or real(z, **options))
    with torch.no_grad():
        whole = codec.decode(parts, latents)
        monkeypatch.setattr(codec, "PIXELS", 2 * 64 * 64)
        chunked = codec.decode(parts, latents)
    assert calls == [5, 2, 2, 2]
    assert whole.shape == chunked.shape == (5, 64, 64, 3)
    assert abs(whole.astype(int) - chunked.astype(int)).max() <= 1


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_planned_cost_is_the_number_of_calls(name):
    """A scheduler with few steps works, and calls the UNet as often as `plan` says."""
    for steps in (1, 2, 3, 10):
        plugin = generator(scheduler=name, num_inference_steps=steps, guidance_scale=1.0)
        schedule = sampling.scheduler(name, plugin.model().pipe.scheduler.config)
        schedule.set_timesteps(steps)
        assert len(schedule.timesteps) == plugin.evaluations_per_image()


@pytest.mark.parametrize("name", ["dpmsolver_multistep", "ddpm", "euler_ancestral"])
def test_an_images_seed_is_all_the_randomness_it_has(folder, tmp_path, name):
    """Torch's global state is not used: not by a checkpoint whose own scheduler is stochastic, which is sampled without
    it, and not by schedulers that draw in every step."""
    rewrite(folder / "scheduler" / "scheduler_config.json", algorithm_type="sde-dpmsolver++")
    before = torch.get_rng_state()
    first = noise_of(tmp_path / "first", folder, scheduler=name)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert noise_of(tmp_path / "second", folder, scheduler=name) == first


def test_weights_in_parts_are_the_same_weights(folder, tmp_path):
    """A UNet in two files with an index makes the images of the one file, whatever other variants lie there."""
    from safetensors.torch import load_file, save_file

    whole = load_file(folder / UNET)
    names = list(whole)
    for i, part in enumerate((names[::2], names[1::2])):
        save_file({name: whole[name] for name in part}, folder / "unet" / f"part{i}.safetensors")
    index = {name: f"part{i % 2}.safetensors" for i, name in enumerate(names)}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    save_file({"junk": torch.zeros(1)}, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    (folder / UNET).unlink()
    generator(folder).ready((ESSAY,), TrainSettings())
    assert noise_of(tmp_path / "parts", folder) == noise_of(tmp_path / "one")


def test_a_generation_without_its_weights_is_never_taken_for_generation_0(tmp_path):
    """A trained generation whose unet/ is gone is an error, not a silent return to the checkpoint."""
    with pytest.raises(EntropyLoopError, match=r"diffusion_pytorch_model.* is gone"):
        generator().sample(Checkpoint(tmp_path), asked(1), tmp_path, ignore)


@pytest.mark.parametrize("missing", ["model_index.json", UNET, "vae/config.json", "text_encoder/model.safetensors"])
def test_a_checkpoint_that_is_not_whole_is_refused_before_the_run(folder, missing):
    """The missing file is named when the run begins."""
    (folder / missing).unlink()
    with pytest.raises(ConfigError, match=f"lacks {missing}"):
        generator(folder).ready((ESSAY,), TrainSettings())


def test_half_precision_alone_is_refused_in_words(folder):
    """The message says that only the fp16 variant was downloaded."""
    (folder / UNET).rename(folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    with pytest.raises(ConfigError, match="fp16 variant alone"):
        generator(folder).ready((ESSAY,), TrainSettings())


@pytest.mark.parametrize("old_style", [False, True])
def test_a_prompt_that_would_be_cut_is_refused(folder, old_style):
    """The text encoder reads 16 tokens with start and end; the words that it would not see are named, with a
    tokenizer of either style (Stable Diffusion 1.5 has no tokenizer.json)."""
    if old_style:
        (folder / "tokenizer" / "tokenizer.json").unlink()
    generator(folder).ready((ESSAY,), TrainSettings())
    with pytest.raises(ConfigError, match="it would never see 'cow on the moon'"):
        generator(folder).ready((f"{ESSAY} on a beach and a cow on the moon",), TrainSettings())


def test_a_checkpoint_that_cannot_be_trained_so_is_refused_before_the_run(folder):
    """A model that predicts the image itself may be sampled, not trained: it would be trained on another target."""
    rewrite(folder / "scheduler" / "scheduler_config.json", prediction_type="sample")
    generator(folder).ready((ESSAY,), TrainSettings(method="none"))
    with pytest.raises(ConfigError, match="predicts 'sample'"):
        generator(folder).ready((ESSAY,), TrainSettings())


def test_a_size_is_the_models_own_or_a_multiple_of_its_latents(folder):
    """Height and width may be two numbers in the UNet's config; an edge that no latent has is refused."""
    own = generator().model()
    factor, edge = own.pipe.vae_scale_factor, own.config["sample_size"]
    rewrite(folder / "unet" / "config.json", sample_size=[edge, edge // 2])
    pipe = generator(folder).model()
    assert generator(folder)._latent_size(pipe) == (edge, edge // 2)
    assert generator(folder, width=edge * factor)._latent_size(pipe) == (edge, edge)
    with pytest.raises(ConfigError, match=f"generator.height: {factor + 1} is no multiple"):
        generator(folder, height=factor + 1)._latent_size(pipe)


def test_a_revision_that_is_not_the_bundled_one_is_refused():
    """Another revision of the bundled checkpoint is an error; it is not replaced silently."""
    assert generator(revision=assets.REVISIONS["storybook"]) == generator()
    with pytest.raises(ConfigError, match="revision: bundled:storybook is"):
        generator(revision="main")


def test_everybody_may_read_what_was_made(tmp_path):
    """Latents have the mode of every other file of the sample."""
    noise_of(tmp_path / "made")
    modes = {p.stat().st_mode for p in (tmp_path / "made").iterdir() if p.is_file()}
    assert len(modes) == 1


def test_what_is_made_is_counted(tmp_path):
    """sampling.json has the number of images and of UNet evaluations, which guidance doubles."""
    noise_of(tmp_path / "made", scheduler="pndm")
    counts = json.loads((tmp_path / "made" / "sampling.json").read_text())
    assert counts == {"images": 2, "withheld": 0, "unet_evaluations": 2 * 2 * 4}


@pytest.mark.parametrize(("mode", "rejects", "left"), [("keep", True, 0), ("keep", False, 2), ("flag", True, 2)])
def test_what_the_safety_checker_objects_to_is_never_black(tmp_path, mode, rejects, left):
    """'keep' leaves such images out of the pool and counts them; 'flag' records them and leaves them unchanged."""
    folder = with_checker(tmp_path / "checkpoint", rejects)
    generator(folder, safety_checker=mode).ready((ESSAY,), TrainSettings())
    noise_of(tmp_path / "made", folder, safety_checker=mode)
    table = Samples(tmp_path / "made").table
    assert (len(table), set(table["flagged"])) == (left, {rejects} if left else set())
    assert json.loads((tmp_path / "made" / "sampling.json").read_text())["withheld"] == 2 - left
    plain = noise_of(tmp_path / "plain")
    assert table["latent_sha256"].tolist() == plain[:left]
    for file in table["file"]:
        assert (tmp_path / "made" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()


def test_a_block_that_is_withheld_whole_leaves_no_trace(tmp_path, generation_0, monkeypatch):
    """Two blocks, the first of them withheld: sampled apart and joined, they are the same bytes as sampled at once."""
    plugin = generator(with_checker(tmp_path / "checkpoint", False), safety_checker="keep")

    def sampled(name: str, requests: list[Request], rejected: list[bool]) -> Path:
        answers = iter(rejected)
        monkeypatch.setattr(safety, "checker", lambda folder: lambda images: [next(answers)] * len(images))
        (tmp_path / name).mkdir()
        plugin.sample(generation_0, requests, tmp_path / name, ignore)
        return tmp_path / name

    whole = sampled("whole", asked(4), [True, False])
    parts = [sampled("first", asked(4)[:2], [True]), sampled("second", asked(4)[2:], [False])]
    (tmp_path / "joined").mkdir()
    joining.join(parts, tmp_path / "joined")
    for name in ("samples.parquet", "latents.safetensors", "sampling.json"):
        assert (tmp_path / "joined" / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["flag", "keep"])
def test_a_loop_goes_on_beside_a_safety_checker(mode, tmp_path, monkeypatch):
    """It rejects some images of every pool: all figures are of the images that are left, and a warning says so."""
    folder = with_checker(tmp_path / "checkpoint", False)
    monkeypatch.setattr(safety, "checker", lambda folder: lambda images: [int(i.sum()) % 2 == 1 for i in images])
    small = ("generations=1", "sweep={}", f"generator.checkpoint={folder}", f"generator.safety_checker={mode}")
    finished = experiment.carry_out(
        experiment.prepare(Path("configs/smoke.yaml"), small), tmp_path / "out", lambda *_: None
    )
    pools = finished.tables.images.query("set == 'pool'").groupby("generation")
    left = pools.size() if mode == "keep" else 16 - pools["flagged"].sum()
    assert left.between(1, 15).all()
    rates = finished.tables.rates.query("set == 'pool' and concept == 'all'").set_index("generation")
    assert rates["n"].tolist() == (left.tolist() if mode == "keep" else [16, 16])
    assert finished.tables.changes["drift_low"].isna().all() == (mode == "keep")
    verb = "withheld" if mode == "keep" else "flagged by"
    assert any("pool of generation 1" in line and verb in line for line in finished.ending.warnings)


def test_a_safety_checker_that_is_not_there_is_refused_before_the_run():
    """The bundled checkpoint has none; a config that wants it says so in vain."""
    with pytest.raises(ConfigError, match=r"generator\.safety_checker: .*lacks safety_checker/config\.json"):
        generator(safety_checker="flag").ready((ESSAY,), TrainSettings())


def computes_bf16() -> bool:
    """Whether this processor has bf16; where it has not, it is refused before the run."""
    if "bf16" in device.native("cpu"):
        return True
    with pytest.raises(ConfigError, match="bf16 is not native"):
        generator(precision="bf16").ready((ESSAY,), TrainSettings())
    return False


def test_half_precision_is_near_full_precision(generation_0):
    """Latents by a UNet in bf16 differ from float32's by some hundredths of their size, and are float32 themselves."""
    if not computes_bf16():
        return
    full, half = (
        plugin._sample_block(*plugin._load(generation_0), asked(4), 4)[0]
        for plugin in (generator(), generator(precision="bf16"))
    )
    assert half.dtype == torch.float32
    assert 0 < (half - full).norm() / full.norm() < 0.05


def test_a_pipeline_of_another_kind_is_refused(folder):
    """Only the two known pipelines are loaded, whatever model_index.json names."""
    rewrite(folder / "model_index.json", _class_name="FluxPipeline")
    with pytest.raises(ConfigError, match="a FluxPipeline; only StableDiffusionPipeline"):
        generator(folder).ready((ESSAY,), TrainSettings())


def test_an_error_for_short_memory_names_the_block_that_fits(generation_0, tmp_path, monkeypatch):
    """A device that holds 3 images of a block of 8 has room for 2: the message says so, and nothing is recorded."""
    denoise = sampling.denoise

    def small(unet, schedule, steps, start, *rest):
        if len(start) > 3:
            raise torch.OutOfMemoryError
        return denoise(unet, schedule, steps, start, *rest)

    monkeypatch.setattr(sampling, "denoise", small)
    (tmp_path / "out").mkdir()
    with pytest.raises(
        EntropyLoopError, match=r"generator\.block: 8 images do not fit .* 2 do: set `generator.block: 2`"
    ):
        generator(block=8).sample(generation_0, asked(8), tmp_path / "out", ignore)
    assert not (tmp_path / "out" / "samples.parquet").exists()


def test_an_error_for_memory_too_small_for_any_image_advises_no_block():
    """Where a single image does not fit either, the message does not advise one."""

    def never(size: int) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(EntropyLoopError, match="nor does a single one"), memory.advise("block", 4, never):
        never(4)


def test_rates_of_half_precision_lie_in_the_sampling_band(tmp_path, generation_0):
    """The same 48 seeds in fp32 and bf16: recognition of the bundled judge differs by no more than two pools of fresh
    noise from one model do in 99 of 100 cases."""
    from scipy.stats import binom

    from entropy_loop.data import Concept, Prompt
    from entropy_loop.judges.clip import ClipRecogniser

    if not computes_bf16():
        return
    judge, n, hits = ClipRecogniser("bundled:storybook-judge"), 48, []
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        out.mkdir()
        generator(precision=precision, num_inference_steps=8, block=16).sample(generation_0, asked(n), out, ignore)
        table = judge.judge(Samples(out), (Prompt(ESSAY, "target", ("horse",)),), (Concept("horse"),), ignore)
        hits.append(int(table["answer"].sum()))
    pooled = (sum(hits) + 1) / (2 * n + 2)
    draws = binom(n, pooled).rvs((10_000, 2), random_state=0)
    assert abs(hits[0] - hits[1]) <= max(1, float(np.quantile(abs(draws[:, 0] - draws[:, 1]), 0.99)))
