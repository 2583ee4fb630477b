"""What `plan` says that a study costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from entropy_loop.commands import costs
from entropy_loop.generators.diffusion import geometry
from entropy_loop.machine import flops
from entropy_loop.plan import plan
from entropy_loop.study import study

SD15 = Path("configs/astronaut-sd15.yaml")


def work(*overrides: str) -> dict[str, costs.Work]:
    return costs.work(plan(study.load(SD15, overrides)))


def test_the_work_of_a_pool_is_its_evaluations_and_its_decoding():
    """SD 1.5 at 512 pixels, 50 steps with guidance, PNDM's one more: by hand from the ledger's layers."""
    unet = flops.tflop(flops.unet(geometry.SD15.unet, 64, 64, 77))
    decode = flops.tflop(flops.decoder(geometry.SD15.vae, 512, 512))
    overrides = (
        "generator.scheduler=pndm",
        "generator.num_inference_steps=50",
        "images=16",
        "sweep={}",
        "generations=1",
    )
    pool = work(*overrides)["generate-pool"]
    assert (pool.images, pool.evaluations) == (32, 32 * 51 * 2)
    assert pool.tflop == pytest.approx(32 * (102 * unet + decode))


def test_a_full_step_costs_three_passes_and_a_low_rank_one_two():
    """Backward is two forward passes where every weight learns, and one where only inputs pass gradients on; the
    adapters' own work is less than a hundredth. Checkpointing makes every forward pass twice."""
    steps = ("train.max_train_steps=1000", "train.train_batch_size=1", "train.gradient_accumulation_steps=1")
    unet = 1000 * flops.tflop(flops.unet(geometry.SD15.unet, 64, 64, 77))
    passes = {}
    for name, more in {"full": (), "lora": (), "again": ("train.gradient_checkpointing=true",)}.items():
        method = "lora" if name == "lora" else "full"
        training = work(*steps, *more, f"train.method={method}", "images=1", "sweep={}", "generations=1")["train"]
        passes[name] = (training.tflop - flops.tflop(flops.encoder(geometry.SD15.vae, 512, 512))) / unet
    assert passes["full"] == pytest.approx(3)
    assert passes["lora"] == pytest.approx(2, abs=0.02)
    assert passes["again"] == pytest.approx(4)


def test_shared_stages_are_counted_once():
    """Three arms that share generation 0 make it once."""
    one_arm, three_arms = work("sweep={}", "generations=1"), work("generations=1")
    assert three_arms["generate-pool"].images == one_arm["generate-pool"].images / 2 * (1 + 3)


def test_a_low_rank_generation_takes_megabytes_where_a_whole_one_takes_gigabytes():
    """On disk: the adapters' float32 weights, or the UNet's."""
    small, whole = (
        work("sweep={}", "generations=1", "train.rank=4", f"train.method={m}")["train"].disk for m in ("lora", "full")
    )
    assert (small, whole) == (4 * 797_184, 4 * 859_520_964)


def test_memory_holds_a_unet_of_each_precision_and_an_average():
    """SD 1.5, full: a sampler in bf16 stands beside the float32 weights that learn, in memory for either; an average of
    weights costs as much as they do."""
    weights = 859_520_964

    def memory(**options: object) -> tuple[int, int]:
        overrides = [f"{name}={value}" for name, value in options.items()]
        planned = plan(study.load(SD15, ("sweep={}", "train.method=full", *(o.replace("__", ".") for o in overrides))))
        outlook = next(iter(costs.outlooks(planned)))
        return outlook.sampling, outlook.training

    same, other = memory(generator__precision="fp32"), memory(generator__precision="bf16")
    assert other[1] - same[1] == 2 * weights
    assert memory(generator__precision="fp32", train__use_ema="true")[1] - same[1] == 4 * weights
    assert other[0] > 6 * weights


def test_a_cost_that_cannot_be_known_yet_is_unknown_and_not_zero():
    """A judge that is not here, and a checkpoint of unknown shape that is not here: what they compute is not counted,
    and `plan` says so."""
    judge = "judges=[{use: clip, model: some/judge, revision: " + 40 * "a" + "}]"
    stages = work(judge, "sweep={}", "generations=1")
    assert stages["recognise-pool"].unknown
    assert not stages["generate-pool"].unknown
    lost = work("generator.checkpoint=some/model", "sweep={}", "generations=1")
    assert lost["generate-pool"].unknown
    assert lost["train"].unknown


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*sd*.yaml")), ids=str)
def test_the_header_of_a_config_says_what_plan_says(path):
    """Hours, memory and disk in the comment on top are those of `plan`, so that they cannot go stale."""
    planned = plan(study.load(path))
    assert costs.header(planned) == [line for line in path.read_text().splitlines() if line.startswith("#   on one ")]
