"""torch.compile of the UNet: a minute or two of compilation, once."""

from __future__ import annotations

import pytest
import torch

from entropy_loop.data import Checkpoint, Request
from entropy_loop.generators.diffusion import Diffusion

pytestmark = pytest.mark.slow
ESSAY = "a photograph of an astronaut riding a horse"


def test_other_weights_do_not_compile_again(tmp_path):
    """Compiled and eager latents agree to 1e-4; after the weights were exchanged in place they still do, and nothing
    was compiled anew."""
    options = {"num_inference_steps": 3, "guidance_scale": 3.0, "block": 4}
    eager, compiled = (Diffusion("bundled:storybook", **options, compile=one) for one in (False, True))
    eager.base(tmp_path, lambda share: None)
    asked = [Request(f"i{i}", ESSAY, i, i) for i in range(4)]
    parts, unet = eager._loaded(Checkpoint(tmp_path))
    first = [one._made(parts, unet, asked, 4)[0] for one in (eager, compiled)]
    assert torch.allclose(*first, atol=1e-4)
    frames = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert frames > 0
    with torch.no_grad():
        for value in unet.unet.parameters():
            value.mul_(1.01)
    unet.holds = None
    second = [one._made(parts, unet, asked, 4)[0] for one in (eager, compiled)]
    assert torch.allclose(*second, atol=1e-4)
    assert not torch.allclose(first[0], second[0], atol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == frames
