"""The loop on checkpoints of the real size, with random weights: `make test-slow`.

They take 18 GB of disk and, one after the other, 20 GB of memory. Every test prints what it measured.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from entropy_loop.data import Checkpoint, Request
from entropy_loop.generators.diffusion import sampling
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.machine import flops
from scripts.tools.build_random_checkpoint import SHAPES, build

pytestmark = pytest.mark.slow
ESSAY = "a photograph of an astronaut riding a horse"
GIB = 1 << 30


@pytest.fixture(scope="module")
def sd15(tmp_path_factory) -> Path:
    return build(SHAPES["sd15"], tmp_path_factory.mktemp("sd15") / "checkpoint")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory) -> Path:
    return build(SHAPES["sdxl"], tmp_path_factory.mktemp("sdxl") / "checkpoint")


def config(checkpoint: Path, generator: dict, train: dict, **changes: object) -> dict:
    return {
        "name": "geometry",
        "generations": 1,
        "images": 2,
        "evaluation": {"images": 1},
        "prompts": [{"text": ESSAY, "concepts": ["astronaut", "horse", "riding"]}],
        "generator": {
            "use": "diffusion", "checkpoint": str(checkpoint), "num_inference_steps": 2, "guidance_scale": 3.0,
            "block": 1, **generator,
        },
        "curate": {
            "scorer": {"use": "clip", "model": "bundled:storybook-curator"}, "policy": {"use": "top_k", "k": 1},
        },
        "train": {"max_train_steps": 2, "train_batch_size": 1, **train},
        "judges": [{"use": "clip", "model": "bundled:storybook-judge"}],
        **changes,
    }  # fmt: skip


def run(raw: dict, tmp_path: Path) -> tuple[Path, float, float]:
    """(results folder, seconds, peak memory in GiB) of `entropy-loop run`."""
    path, out = tmp_path / "config.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(raw))
    began = time.monotonic()
    line = [sys.executable, "-m", "entropy_loop", "run", str(path), "--out", str(out)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-3000:]
    # Of all processes that ran so far: the largest.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / GIB
    return out, time.monotonic() - began, peak


def stages(out: Path) -> dict[str, float]:
    lines = (json.loads(line) for line in (out / "events.jsonl").read_text().splitlines())
    return {line["stage"][:-17]: line["seconds"] for line in lines}


def test_one_generation_of_sd15_in_20_gb(sd15, tmp_path):
    """2 images of 512 pixels, curated, 2 LoRA steps and in another arm 2 full ones, and the next generation."""
    raw = config(sd15, {}, {"gradient_checkpointing": True}, sweep={"train.method": ["lora", "full"]})
    out, seconds, peak = run(raw, tmp_path)
    print(f"\nSD 1.5, 512 px: {seconds:.0f} s, {peak:.1f} GiB, {stages(out)}")
    assert peak < 20
    assert len(list(out.glob("store/g01-train-*/unet/config.json"))) == 1
    assert len(list(out.glob("store/g01-train-*/pytorch_lora_weights.safetensors"))) == 1
    assert len(list(out.glob("store/g01-generate-pool-*/images/*.png"))) == 4


def test_sdxl_is_sampled_and_trained(sdxl, tmp_path):
    """2 images of 256 pixels by a UNet in bf16, 2 LoRA steps in bf16, and the next generation."""
    size = {"height": 256, "width": 256, "precision": "bf16"}
    raw = config(sdxl, size, {"method": "lora", "mixed_precision": "bf16", "gradient_checkpointing": True})
    out, seconds, peak = run(raw, tmp_path)
    print(f"\nSDXL, 256 px, bf16: {seconds:.0f} s, {peak:.1f} GiB, {stages(out)}")
    assert peak < 22
    assert len(list(out.glob("store/g01-generate-pool-*/images/*.png"))) == 2


@pytest.mark.parametrize("scheduler", ["ddim", "pndm"])
def test_our_latents_are_the_pipelines(sd15, tmp_path, scheduler):
    """In SD 1.5's geometry at 256 pixels: the same seed, scheduler and guidance, the same latents to 1e-5 of their
    size."""
    import diffusers

    ours = Diffusion(str(sd15), num_inference_steps=3, height=256, width=256, block=1, scheduler=scheduler)
    ours.base(tmp_path, lambda share: None)
    parts, unet = ours._load(Checkpoint(tmp_path))
    our_latents, _ = ours._sample_block(parts, unet, [Request("a", ESSAY, 0, 5)], 1)
    name, fixed = sampling.SCHEDULERS[scheduler]
    schedule = getattr(diffusers, name).from_config(parts.pipe.scheduler.config, **fixed)
    components = {**parts.pipe.components, "unet": unet.unet, "scheduler": schedule}
    theirs = diffusers.StableDiffusionPipeline(**components, requires_safety_checker=False)
    random = torch.Generator().manual_seed(5)
    their_latents = theirs(
        ESSAY, generator=random, height=256, width=256, num_inference_steps=3, output_type="latent"
    ).images
    apart = ((our_latents - their_latents).norm() / their_latents.norm()).item()
    print(f"\n{scheduler}: relative difference {apart:.1e}")
    assert apart < 1e-5


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_the_ledger_counts_the_weights_on_disk(name, request):
    """The FLOP ledger's parameters are those of the file that was written."""
    from safetensors import safe_open

    folder = request.getfixturevalue(name) / "unet"
    count = 0
    for part in folder.glob("*.safetensors"):
        with safe_open(part, framework="pt") as file:
            count += sum(torch.Size(file.get_slice(key).get_shape()).numel() for key in file.keys())  # noqa: SIM118
    assert count == flops.parameters(flops.unet(SHAPES[name].unet, 64, 64, 77))
