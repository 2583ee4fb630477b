"""Train and measure storybook-attributes, the network that reads coat, suit, background, facing and relation.

    python -m scripts.training.storybook.attributes.train render  --vae DIR    # scenes and their round trips, cached
    python -m scripts.training.storybook.attributes.train train   --vae DIR    # one network, one head per attribute
    python -m scripts.training.storybook.attributes.train measure --vae DIR    # thresholds, confusions, model card

A small timm network is trained with cross-entropy. Each attribute has a softmax over its values and two more answers,
`absent` (no animal, so no coat) and `unreadable` (junk). Attributes are drawn uniformly, because rare values would
otherwise be too rare to learn and to measure. The network shares no weights, seeds, scenes or architecture with the
checkpoint, the curator and the judge.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from entropy_loop.worlds.storybook import scene
from scripts.training.storybook.attributes.measures import ANSWERS, NAME, STREAMS, even_scenes, measure, truth
from scripts.training.storybook.batches import Batches
from scripts.training.storybook.codec.train import Clock, Muon, factor, seeded
from scripts.training.storybook.pictures import augment, pictures, to_float, to_pixels, truth_table
from scripts.training.storybook.round_trips import Codec, all_junk

SCENES, TRIPPED = 12_000, 4_000
BATCH = 64
MUON_LR, ADAM_LR = 0.012, 2e-3
CONFIG = {
    "architecture": "resnet10t",
    "num_classes": sum(map(len, ANSWERS.values())),
    "model_args": {"channels": [48, 96, 160, 256], "stem_width": 24},
    "pretrained_cfg": {"input_size": [3, scene.SIZE, scene.SIZE], "mean": [0.5] * 3, "std": [0.5] * 3,
                       "first_conv": "conv1.0", "classifier": "fc"},
}  # fmt: skip


def render(work: Path, vae: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Pixels uint8 (n, 64, 64, 3) and truth of all scenes, and of the first TRIPPED of them through the codec: five
    eighths once, the rest three times or with shaken latents. They are cached in `work`."""
    scenes = even_scenes(SCENES, STREAMS["train"])
    table = truth_table(scenes)
    path = work / f"{NAME}-scenes.npy"
    if not path.exists():
        codec, rng = Codec(vae, fast=True), torch.Generator().manual_seed(STREAMS["codec"])
        pixels = pictures(scenes)
        once, thrice = TRIPPED * 5 // 8, TRIPPED * 13 // 16
        some = to_float(pixels[:TRIPPED])
        parts = [
            codec.round_trips(some[:once]),
            codec.round_trips(some[once:thrice], 3),
            codec.shaken(some[thrice:], rng),
        ]
        np.save(path, np.concatenate([pixels, to_pixels(torch.cat(parts))]))
    # About half of the shown pictures have been through the codec.
    pixels, repeats = np.load(path), SCENES // TRIPPED
    seen = np.concatenate([np.arange(SCENES), *[np.arange(SCENES, SCENES + TRIPPED)] * repeats])
    return pixels[seen], pd.concat([table, *[table.iloc[:TRIPPED]] * repeats], ignore_index=True)


def new_network() -> nn.Module:
    with seeded(STREAMS["train"]):
        network = timm.create_model(CONFIG["architecture"], num_classes=CONFIG["num_classes"], **CONFIG["model_args"])
    return network.to(memory_format=torch.channels_last)


def optimiser(network: nn.Module) -> Muon:
    """Muon for the inner 3 x 3 kernels, AdamW for the first one, the heads, 1 x 1 kernels, norms and biases."""
    inner = [
        p for name, p in network.named_parameters() if p.ndim == 4 and p.shape[2] == 3 and name != "conv1.0.weight"
    ]
    chosen = {id(p) for p in inner}
    return Muon(inner, [p for p in network.parameters() if id(p) not in chosen], MUON_LR, ADAM_LR)


def loss(logits: Tensor, table: pd.DataFrame) -> Tensor:
    """Cross-entropy of each attribute's softmax, summed over the attributes."""
    true = truth(table)
    parts = logits.float().split([len(kinds) for kinds in ANSWERS.values()], 1)
    return sum(F.cross_entropy(own, torch.tensor(true[name])) for name, own in zip(ANSWERS, parts, strict=True))


def train(work: Path, vae: Path, steps: int | None, minutes: float) -> None:
    """Train on scenes, their round trips and junk from the first step, in bfloat16."""
    pixels, table = render(work, vae)
    change = functools.partial(augment, mirror=False, tint=0.04)
    batches = Batches(pixels, table, all_junk(Codec(vae, fast=True)), BATCH, STREAMS["batches"], change=change)
    network, clock, i, losses, history = new_network().train(), Clock(steps, minutes, 1), 0, [], []
    opt = optimiser(network)
    while (progress := clock.progress(i)) < 1:
        images, true = batches(i)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network((images * 2 - 1).contiguous(memory_format=torch.channels_last))
        value = loss(logits, true)
        value.backward()
        opt.step(factor(i, progress))
        losses.append(value.item())
        i += 1
        if i % 50 == 0:
            history.append({"step": i, "seconds": round(clock.seconds), "loss": round(sum(losses[-50:]) / 50, 4)})
            print(history[-1], flush=True)
            save(network, work / NAME)
    save(network, work / NAME)
    log = {"scenes": SCENES, "through_codec": TRIPPED, "batch": BATCH, "steps": i, "history": history}
    (work / "training.json").write_text(json.dumps(log, indent=1) + "\n")


def save(network: nn.Module, folder: Path) -> None:
    """Weights in half precision and the configuration, as timm reads them."""
    folder.mkdir(exist_ok=True)
    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in network.state_dict().items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("render", "train", "measure"))
    parser.add_argument("--vae", type=Path, required=True, help="folder of the codec, an AutoencoderKL")
    parser.add_argument("--work", type=Path, default=Path("attributes"), help="folder for intermediate files")
    parser.add_argument("--minutes", type=float, default=25.0, help="of training")
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage == "render":
        render(options.work, options.vae)
    elif options.stage == "train":
        train(options.work, options.vae, options.steps, options.minutes)
    else:
        measure(options.work, options.vae)


if __name__ == "__main__":
    main()
