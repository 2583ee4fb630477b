"""torch.compile of the UNet: a minute or two of compilation, once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from entropy_loop.commands import experiment
from entropy_loop.data import Checkpoint, Request
from entropy_loop.generators.diffusion.diffusion import Diffusion

pytestmark = pytest.mark.slow
ESSAY = "a photograph of an astronaut riding a horse"


def test_other_weights_do_not_compile_again(tmp_path):
    """Compiled and eager latents agree to 1e-4; after the weights were exchanged in place they still do, and nothing
    was compiled anew."""
    options = {"num_inference_steps": 3, "guidance_scale": 3.0, "block": 4}
    eager, compiled = (Diffusion("bundled:storybook", **options, compile=compiling) for compiling in (False, True))
    eager.base(tmp_path, lambda share: None)
    asked = [Request(f"i{i}", ESSAY, i, i) for i in range(4)]
    parts, unet = eager._load(Checkpoint(tmp_path))
    first = [generator._sample_block(parts, unet, asked, 4)[0] for generator in (eager, compiled)]
    assert torch.allclose(*first, atol=1e-4)
    frames = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert frames > 0
    with torch.no_grad():
        for value in unet.unet.parameters():
            value.mul_(1.01)
    unet.holds = None
    second = [generator._sample_block(parts, unet, asked, 4)[0] for generator in (eager, compiled)]
    assert torch.allclose(*second, atol=1e-4)
    assert not torch.allclose(first[0], second[0], atol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == frames


SMALL = (
    "sweep={}", "generations=2", "images=4", "evaluation.images=2", "measures={}", "attributes={}", "threads=1",
    "generator.num_inference_steps=2", "generator.block=4", "generator.compile=true", "train.max_train_steps=2",
    "train.train_batch_size=2", "train.learning_rate=1e-3",
)  # fmt: skip


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_compiles_once(tmp_path, method):
    """Two feedback steps: what trainings put into the UNet and take out again, adapters and accelerate's wrapping among
    them, compiles nothing anew, and every generation's images are those of its own weights, as without compiling."""
    torch._dynamo.reset()
    counters, graphs, latents = torch._dynamo.utils.counters["stats"], [], {}

    def listen(event: str, stage, share: float) -> None:
        if event == "finished" and stage.name == "generate-pool":
            graphs.append(counters["unique_graphs"])

    for name, compiled in (("compiled", "true"), ("eager", "false")):
        overrides = (*SMALL, f"train.method={method}", f"generator.compile={compiled}")
        planned = experiment.prepare(Path("configs/smoke.yaml"), overrides)
        experiment.carry_out(planned, tmp_path / name, listen)
        pools = [tmp_path / name / "store" / g.sets["pool"].folder for g in planned.chains[0].generations]
        latents[name] = [load_file(pool / "latents.safetensors") for pool in pools]
    assert len(graphs) == 6
    assert graphs[0] == graphs[2]
    apart = [max(float((o[n] - t[n]).abs().max()) for n in t) for o, t in zip(*latents.values(), strict=True)]
    print(f"\n{method}: graphs {graphs}, compiled and eager latents apart {apart}")
    assert apart[0] < 1e-4  # the same weights
    assert max(apart) < 0.05  # trained on images that rounding made a little different
