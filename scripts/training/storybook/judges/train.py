"""Train and calibrate the two bundled open_clip models, storybook-curator and storybook-judge.

    python -m scripts.training.storybook.judges.train render    judge            # scenes with truth, cached
    python -m scripts.training.storybook.judges.train train     judge            # phase 1: scenes and junk
    python -m scripts.training.storybook.judges.train refine    judge --vae DIR  # phase 2: the codec's pictures too
    python -m scripts.training.storybook.judges.train robust    judge --chains DIR --start FILE  # phase 3: loops, too
    python -m scripts.training.storybook.judges.train calibrate judge --vae DIR  # thresholds, Se, Sp, model card

Phase 3 starts from the weights of phase 2. Those of the shipped models stand in this repository's history:

    git show bed8679:src/entropy_loop/assets/storybook-judge/open_clip_model.safetensors > FILE

It shows the chains of the recipe (`loop_truth/chains.py --generations 6 --out DIR NAME ...`) and
`experiments/loop-truth`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from entropy_loop.worlds.storybook import scene
from scripts.training.storybook.batches import Batches, Mixture
from scripts.training.storybook.judges.calibration import ASSETS, calibrate
from scripts.training.storybook.judges.claims import UNKNOWN, UNNAMED, Claim, answers, bank, known, statement, truths
from scripts.training.storybook.judges.losses import Loss, attribute_loss, balanced_loss, columns_of, concept_loss
from scripts.training.storybook.judges.model import (
    RECIPES,
    STREAMS,
    WEIGHTS,
    Recipe,
    Recogniser,
    new_model,
    prepare_folder,
    save_weights,
)
from scripts.training.storybook.judges.robust import KINDS, mixture
from scripts.training.storybook.pictures import (
    FIRST_JUNK,
    pictures,
    to_float,
    to_pixels,
    train_scenes,
    truth_table,
)
from scripts.training.storybook.round_trips import Codec, all_junk


def captions(table: pd.DataFrame, rng: np.random.Generator, n: int) -> list[Claim]:
    """The captions of n scenes, each with a hard negative that changes relation, rider or mount."""
    shown = table[["rider", "mount", "relation"]]
    rows = table[table["junk"].eq("") & ~shown.isin(["empty", UNKNOWN, UNNAMED]).any(axis=1)].iloc[:n]
    return [claim for row in rows.itertuples() for claim in _pair(row, rng)]


def _pair(row: object, rng: np.random.Generator) -> tuple[Claim, Claim]:
    place = row.background if row.place_named else ""
    wrong = {"rider": row.rider, "mount": row.mount, "relation": row.relation}
    values = {"rider": scene.RIDERS, "mount": scene.MOUNTS, "relation": ("riding", "next_to")}
    name = str(rng.choice([name for name in values if wrong[name] in values[name]]))
    wrong[name] = str(rng.choice([v for v in values[name] if v != wrong[name]]))
    return statement(row.rider, row.mount, row.relation, place), statement(**wrong, place=place)


def learn(
    model: torch.nn.Module,
    folder: Path,
    batches: Batches | Mixture,
    losses: Iterable[Loss],
    steps: int,
    rate: float,
    watch: Callable[[int], None],
) -> None:
    """AdamW with warm-up and a cosine; bfloat16 in the image tower, float32 everywhere else."""
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    claims = bank()
    tokens, columns = tokenizer([claim.text for claim in claims]), columns_of(claim.text for claim in claims)
    model.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(_groups(model), lr=rate, betas=(0.9, 0.98), fused=True)
    start = time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        images, table = batches(step)
        extra = captions(table, np.random.default_rng([batches.seed, step]), 20)
        all_tokens = torch.cat([tokens, tokenizer([claim.text for claim in extra])])
        logits = _logits(model, images, all_tokens)
        every = [*claims, *extra]
        claim_loss = balanced_loss(logits + model.logit_bias, truths(every, table), known(every, table))
        loss = claim_loss + sum(term(logits, table, columns) for term in losses)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(60))
        if step % 50 == 0 or step == steps - 1:
            seconds = (time.monotonic() - start) / (step + 1)
            print(f"{step:5d} claims {claim_loss.item():.4f} loss {loss.item():.4f} {seconds:.3f} s/step", flush=True)
        if step % 300 == 299 or step == steps - 1:
            watch(step)


def _logits(model: torch.nn.Module, images: Tensor, tokens: Tensor) -> Tensor:
    """scale cos(image, text), float32 (images, texts)."""
    inputs = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        image = model.encode_image(inputs)
    text = model.encode_text(tokens, normalize=True)
    return model.logit_scale.exp() * F.normalize(image.float(), dim=1) @ text.T


def _groups(model: torch.nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices and kernels only."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def watcher(model: torch.nn.Module, folder: Path, recipe: Recipe, codec: Codec | None = None) -> Callable[[int], None]:
    """A function that saves the weights and prints balanced accuracies at threshold 0 on validation scenes."""
    scenes = train_scenes(700, recipe.seed + STREAMS["watch"])
    images, table = to_float(pictures(scenes)), truth_table(scenes)
    images = codec.round_trips(images) if codec else images

    def watch(step: int) -> None:
        save_weights(model, folder)
        scores, true = Recogniser(folder).scores(images), answers(table)
        balanced = {c: ((scores[c][true[c]] > 0).mean() + (scores[c][~true[c]] <= 0).mean()) / 2 for c in true}
        worst = min(balanced, key=balanced.__getitem__)
        shown = " ".join(f"{c} {balanced[c]:.3f}" for c in ("astronaut", "horse", "riding"))
        mean = np.mean(list(balanced.values()))
        print(f"{step:5d} watch: mean {mean:.4f} worst {worst} {balanced[worst]:.3f} {shown}", flush=True)

    return watch


# -- stages --------------------------------------------------------------------------------------------


def render(recipe: Recipe, work: Path) -> None:
    """Draw the training scenes once."""
    target = work / f"{recipe.name}-scenes.npy"
    if not target.exists():
        np.save(target, pictures(train_scenes(recipe.scenes, recipe.seed + STREAMS["train"])))


def load_scenes(recipe: Recipe, work: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """The rendered scenes and their truth."""
    render(recipe, work)
    table = truth_table(train_scenes(recipe.scenes, recipe.seed + STREAMS["train"]))
    return np.load(work / f"{recipe.name}-scenes.npy"), table


def train(recipe: Recipe, work: Path, steps: int) -> None:
    """Phase 1: scenes and the junk that needs no codec."""
    folder = work / recipe.name
    prepare_folder(recipe, folder)
    model = new_model(recipe, folder)
    pixels, table = load_scenes(recipe, work)
    batches = Batches(pixels, table, FIRST_JUNK, recipe.batch, recipe.seed + STREAMS["batches"])
    learn(model, folder, batches, [concept_loss], steps, recipe.learning_rate, watcher(model, folder, recipe))
    (work / f"{recipe.name}-phase1.safetensors").write_bytes((folder / WEIGHTS).read_bytes())


def refine(recipe: Recipe, work: Path, steps: int, vae: Path) -> None:
    """Phase 2, at half the rate: also round trips as scenes, melted scenes and decoded noise as junk, and colours."""
    folder = work / recipe.name
    model = new_model(recipe, folder)
    model.load_state_dict(load_file(work / f"{recipe.name}-phase1.safetensors"))  # halves become float32
    codec = Codec(vae, fast=True)
    pixels, table = codec_scenes(recipe, work, codec)
    batches = Batches(pixels, table, all_junk(codec), recipe.batch, recipe.seed + STREAMS["batches"] + 50)
    losses = [concept_loss, attribute_loss]
    learn(model, folder, batches, losses, steps, recipe.learning_rate / 2, watcher(model, folder, recipe, codec))
    save_weights(model, folder)


def robust(recipe: Recipe, work: Path, steps: int, start: Path, chains: Path, without: tuple[str, ...]) -> None:
    """Phase 3: see `robust.py`. start: the weights of phase 2."""
    folder = work / "-without-".join((recipe.name, *without))
    codec = Codec(ASSETS / "storybook/vae", fast=True)
    prepare_folder(recipe, folder)
    model = new_model(recipe, folder)
    model.load_state_dict({k: v.float() for k, v in load_file(start).items()})
    batches = mixture(recipe, work, chains, codec, without)
    losses = [concept_loss, attribute_loss]
    learn(model, folder, batches, losses, steps, recipe.learning_rate / 2, watcher(model, folder, recipe, codec))


def codec_scenes(recipe: Recipe, work: Path, codec: Codec) -> tuple[np.ndarray, pd.DataFrame]:
    """All scenes, and 3,600 of them through the codec: 2,000 once, 800 three times, 800 with shaken latents."""
    rng = torch.Generator().manual_seed(recipe.seed + STREAMS["codec"])
    pixels, table = load_scenes(recipe, work)
    some = to_float(pixels[:3600])
    parts = [codec.round_trips(some[:2000]), codec.round_trips(some[2000:2800], 3), codec.shaken(some[2800:], rng)]
    trips = to_pixels(torch.cat(parts))
    # About half of the shown pictures have been through the codec.
    return np.concatenate([pixels, *[trips] * 5]), pd.concat([table, *[table.iloc[:3600]] * 5], ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("render", "train", "refine", "robust", "calibrate"))
    parser.add_argument("model", choices=tuple(RECIPES))
    parser.add_argument("--vae", type=Path, help="folder of the codec, an AutoencoderKL in diffusers' format")
    parser.add_argument("--work", type=Path, default=Path("judges"), help="folder for intermediate files")
    parser.add_argument("--chains", type=Path, help="where loop_truth/chains.py left the chains")
    parser.add_argument("--start", type=Path, help="weights of phase 2, for phase 3")
    parser.add_argument("--without", nargs="*", default=[], choices=KINDS, help="leave kinds of pictures out")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe, work = RECIPES[options.model], options.work
    work.mkdir(parents=True, exist_ok=True)
    if options.stage in ("refine", "calibrate") and options.vae is None:
        parser.error(f"{options.stage} needs --vae")
    if options.stage == "robust" and not (options.chains and options.start):
        parser.error("robust needs --chains and --start")
    if options.stage == "render":
        render(recipe, work)
    elif options.stage == "train":
        train(recipe, work, options.steps or recipe.steps)
    elif options.stage == "refine":
        refine(recipe, work, options.steps or recipe.refine_steps, options.vae)
    elif options.stage == "robust":
        steps = options.steps or recipe.robust_steps
        robust(recipe, work, steps, options.start, options.chains, tuple(options.without))
    else:
        calibrate(
            recipe,
            work,
            options.vae,
            {"train": recipe.steps, "refine": recipe.refine_steps, "robust": recipe.robust_steps},
        )


if __name__ == "__main__":
    main()
