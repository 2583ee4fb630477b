"""The lines that load a generation elsewhere, on checkpoints that are not the bundled one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checkpoints import BUNDLED, tiny_xl
from PIL import Image

from entropy_loop.data import Checkpoint, Diet, Request, Samples, TrainSettings
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.worlds.storybook import scene

REQUEST = Request("i0", 'a photograph of a clown\'s "horse"', 0, 7)
COMMIT = "a" * 40


def ignore(share: float) -> None:
    """Progress that nobody watches."""


def on_the_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A checkpoint as `fetch` leaves it: in the hub's cache, without the safety checker that its index names."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = Path(shutil.copytree(BUNDLED, cache / "models--some--one" / "snapshots" / COMMIT))
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
    index |= {"feature_extractor": ["transformers", "CLIPImageProcessor"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return "some/one"


@pytest.mark.parametrize(
    ("kind", "method", "options"),
    [
        ("folder in the form of SDXL", "lora", {"scheduler": "pndm", "guidance_scale": 1.5}),
        ("hub", "full", {"scheduler": "euler_ancestral", "height": 128, "width": 64, "revision": COMMIT}),
    ],
)
def test_the_lines_make_what_the_loop_samples(tmp_path, monkeypatch, kind, method, options):
    """For other checkpoints, schedulers and sizes: run beside the weights, they make the same image to a grey level."""
    checkpoint = on_the_hub(tmp_path, monkeypatch) if kind == "hub" else str(tiny_xl(tmp_path / "xl"))
    generator = Diffusion(checkpoint, **{"num_inference_steps": 3, "block": 1, **options})
    settings = TrainSettings(method=method, max_train_steps=1, train_batch_size=1, learning_rate=1e-2)
    base, trained, pool = (tmp_path / name for name in ("base", "trained", "pool"))
    for folder in (base, trained, pool):
        folder.mkdir()
    Image.fromarray(scene.render(scene.sample(7, 0))).save(tmp_path / "0.png")
    diet = pd.DataFrame({"file": ["0.png"], "folder": str(tmp_path), "real": False, "prompt": "a photograph"})
    generator.base(base, ignore)
    generator.train(Checkpoint(base), Diet(diet), settings, [5], trained, ignore)
    generator.sample(Checkpoint(trained), [REQUEST], pool, ignore)
    lines = generator.loading(settings, REQUEST)
    monkeypatch.chdir(trained)
    exec(lines.replace("'xl'  # wherever it lies", repr(checkpoint)), {})
    ours, theirs = pool / Samples(pool).table["file"][0], tmp_path / "picture.png"
    assert abs(np.asarray(Image.open(ours)).astype(int) - np.asarray(Image.open(theirs))).max() <= 1
