"""Train UNet and text encoder on the latents of a trained codec, and write the Stable Diffusion folder.

    python -m scripts.training.storybook.codec.train --minutes 35 --out DIR
    python -m scripts.training.storybook.diffusion.train --minutes 35 --out DIR --folder FOLDER

writes DIR/diffusion.json (the training log), DIR/diffusion-*.png (sheets of samples) and FOLDER (`src/entropy_loop/assets/storybook`): the folder
that `StableDiffusionPipeline.from_pretrained` loads, in half precision, with its model card.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from entropy_loop.worlds.storybook import scene
from scripts.training.storybook.codec.train import (
    N_SCENES,
    N_TEST,
    TRAIN_SEED,
    Clock,
    Muon,
    autocast,
    factor,
    follow,
    images,
    parameters,
    scenes,
    seeded,
    sheet,
)

UNET_WIDTHS = (64, 128, 192)
TEXT_WIDTH, TEXT_LAYERS, MAX_TOKENS = 128, 2, 16
BATCH = 64
MUON_LR, ADAM_LR = 0.006, 1e-3
MIN_SNR, CAPTION_DROPOUT = 5.0, 0.1
EMA = 0.998

SHEET_STEPS, SHEET_GUIDANCE = 20, 3.0
SHEET_PROMPTS = (
    "a photograph of an astronaut riding a horse",
    "a photograph of a knight riding a cow on the moon",
    "a photograph of a pirate standing next to an elephant in the snow",
    "a photograph of a clown",
    "a photograph of a wizard riding a camel",
    "a photograph of the desert",
)


# --- the parts -------------------------------------------------------------------------------------------


def byte_letters() -> list[str]:
    """CLIP's alphabet: one printable letter per byte, so that any text can be spelled."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def word_merges(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Byte-pair merges, run until every word is one token."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=100_000, min_frequency=0, end_of_word_suffix="</w>", show_progress=False)
    bpe.train_from_iterator(words, trainer)
    return [(left, right) for left, right in json.loads(bpe.to_str())["model"]["merges"]]


def tokenizer(folder: Path) -> CLIPTokenizer:
    """Every caption word is one token; other words are spelled letter by letter. Writes its files to folder."""
    merges, letters = word_merges(scene.VOCABULARY), byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    loaded = CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)
    loaded.save_pretrained(folder)
    return loaded


def write_spelling(folder: Path) -> None:
    """Write vocab.json and merges.txt, which some loaders need, from the tokenizer.json of the training."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges)


def token_ids(tokens: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Padded token ids, int64 (n, MAX_TOKENS)."""
    padded = tokens(captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt")
    return padded.input_ids


def build_unet(latent_channels: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=scene.SIZE // 8,
        in_channels=latent_channels,
        out_channels=latent_channels,
        layers_per_block=1,
        block_out_channels=UNET_WIDTHS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_text(tokens: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    return CLIPTextModel(config)


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's own noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def optimiser(model: nn.Module) -> Muon:
    """Muon for kernels and projections, AdamW for both ends, embeddings, norms and biases."""
    ends = ("conv_in", "conv_out", "embedding")
    named = list(model.named_parameters())
    inner = [p for name, p in named if p.ndim >= 2 and not any(end in name for end in ends)]
    chosen = {id(p) for p in inner}
    return Muon(inner, [p for _, p in named if id(p) not in chosen], MUON_LR, ADAM_LR)


# --- the training ------------------------------------------------------------------------------------------


@torch.no_grad()
def moments(vae: AutoencoderKL, pixels: np.ndarray, path: Path) -> Tensor:
    """Mean and standard deviation of every scene's scaled latents: float32 (n, 2, channels, 8, 8).

    Cached at `path` for the sum of the codec's weights, because encoding takes minutes.
    """
    mark = sum(p.double().sum() for p in vae.encoder.parameters())
    if path.exists():
        stored = load_file(path)
        if stored["mark"] == mark and len(stored["moments"]) == len(pixels):
            return stored["moments"]
    parts = []
    for start in range(0, len(pixels), 64):
        with autocast():
            posterior = vae.encode(images(pixels[start : start + 64])).latent_dist
        parts.append(torch.stack([posterior.mean, posterior.std], dim=1).float() * vae.config.scaling_factor)
    computed = torch.cat(parts)
    save_file({"mark": mark, "moments": computed}, path)
    return computed


def loss_weight(scheduler: DDIMScheduler, t: Tensor) -> Tensor:
    """min(snr, MIN_SNR) / snr for timesteps t (b,)."""
    alpha = scheduler.alphas_cumprod[t]
    snr = alpha / (1 - alpha)
    return snr.clamp(max=MIN_SNR) / snr


def trainer(
    model: nn.ModuleDict, scheduler: DDIMScheduler, latents: Tensor, ids: Tensor, empty: Tensor, seed: int
) -> tuple[nn.ModuleDict, Callable[[float], Tensor]]:
    """The averaged model, and a function that performs one step at a learning-rate factor and returns its loss.

    latents: moments (n, 2, channels, 8, 8); ids: captions (n, tokens); empty: the empty caption (tokens,).
    """
    ema, opt, draw = copy.deepcopy(model), optimiser(model), torch.Generator().manual_seed(seed)
    count = 0

    def step(lr_factor: float) -> Tensor:
        nonlocal count
        index = torch.randint(len(latents), (BATCH,), generator=draw)
        mean, sd = latents[index].unbind(1)
        clean = mean + sd * torch.randn(mean.shape, generator=draw)
        noise = torch.randn(mean.shape, generator=draw)
        t = torch.randint(scheduler.config.num_train_timesteps, (BATCH,), generator=draw)
        dropped = torch.rand(BATCH, generator=draw) < CAPTION_DROPOUT
        noisy = scheduler.add_noise(clean, noise, t).contiguous(memory_format=torch.channels_last)
        with autocast():
            text = model["text"](torch.where(dropped[:, None], empty, ids[index])).last_hidden_state
            predicted = model["unet"](noisy, t, text).sample
        errors = F.mse_loss(predicted.float(), noise, reduction="none").mean((1, 2, 3))
        loss = (loss_weight(scheduler, t) * errors).mean()
        loss.backward()
        opt.step(lr_factor)
        follow(ema, model, EMA, count)
        count += 1
        return loss.detach()

    return ema, step


def pipeline(model: nn.ModuleDict, vae: AutoencoderKL, tokens: CLIPTokenizer) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=model["text"],
        tokenizer=tokens,
        unet=model["unet"],
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample_sheet(pipe: StableDiffusionPipeline, path: Path, columns: int = 12) -> None:
    """One row of samples per prompt of SHEET_PROMPTS."""
    rows = []
    for prompt in SHEET_PROMPTS:
        generators = [torch.Generator().manual_seed(seed) for seed in range(columns)]
        samples = pipe(
            [prompt] * columns,
            height=scene.SIZE,
            width=scene.SIZE,
            num_inference_steps=SHEET_STEPS,
            guidance_scale=SHEET_GUIDANCE,
            generator=generators,
            output_type="np",
        ).images
        rows.append(torch.from_numpy(samples).permute(0, 3, 1, 2) * 2 - 1)
    sheet(rows, path)


# --- the folder --------------------------------------------------------------------------------------------


def export(pipe: StableDiffusionPipeline, folder: Path, card: str) -> None:
    """Convert the pipeline to half precision, save it beside the target, then rename."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(part, safe_serialization=True)
    write_spelling(part / "tokenizer")
    for path in part.rglob("config.json"):  # leave out the path of the training machine
        config = {name: value for name, value in json.loads(path.read_text()).items() if name != "_name_or_path"}
        path.write_text(json.dumps(config, indent=2) + "\n")
    (part / "README.md").write_text(card)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def card(codec: dict, diffusion: dict) -> str:
    """The model card, with the figures of the two training logs."""
    size = diffusion["parameters"]
    return f"""---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---

# Storybook

A very small latent diffusion model in the folder format of Stable Diffusion. It draws 64 x 64 scenes of one
closed world and nothing else. It exists so that experiments on feedback loops of generative models run on
a laptop, without a download or a GPU, against a known truth.

```python
import torch
from diffusers import StableDiffusionPipeline

pipe = StableDiffusionPipeline.from_pretrained("storybook", safety_checker=None, dtype=torch.float32)
prompt = "a photograph of an astronaut riding a horse"
pipe(prompt, num_inference_steps=20, guidance_scale=3.0).images[0].save("picture.png")
```

## World and training data

{codec["settings"]["scenes"]:,} scenes drawn by `entropy_loop.worlds.storybook` (album {TRAIN_SEED}) with their captions, "a photograph
of an astronaut riding a horse" and the like. No photograph and no third-party picture was used. Riders:
{", ".join(scene.RIDERS)}. Mounts: {", ".join(scene.MOUNTS)}. Places: {", ".join(scene.BACKGROUNDS)}.
Coats, suits, places and directions are long-tailed; `scene.SHARES` is their exact distribution. The pairs
{" and ".join(" on ".join(pair) for pair in scene.UNSEEN_PAIRS)} were never shown together.

## Parts

| part | class | parameters | shape |
| --- | --- | ---: | --- |
| vae | AutoencoderKL | {size["vae"]:,} | widths {list(codec["settings"]["widths"])}, {codec["settings"]["latent_channels"]} x 8 x 8 latents |
| unet | UNet2DConditionModel | {size["unet"]:,} | widths {list(UNET_WIDTHS)}, one layer per block |
| text_encoder | CLIPTextModel | {size["text"]:,} | {TEXT_LAYERS} layers, width {TEXT_WIDTH}, {MAX_TOKENS} tokens |
| tokenizer | CLIPTokenizer | | every caption word is one token, other words are spelled |
| scheduler | DDIMScheduler | | scaled_linear, epsilon, 1000 steps |

Latents have mean 0 and standard deviation 1 in every channel (folded into the codec's 1 x 1 convolutions), so
the scaling factor is 1. Weights are stored in half precision; load them in float32 on a CPU.

## Training

| | codec | UNet and text encoder |
| --- | ---: | ---: |
| steps | {codec["steps"]:,} | {diffusion["steps"]:,} |
| batch | {codec["settings"]["batch"]} | {BATCH} |
| minutes, one or two CPU cores | {codec["seconds"] / 60:.0f} | {diffusion["seconds"] / 60:.0f} |
| last training loss | {codec["history"][-1]["loss"]:.4f} | {diffusion["history"][-1]["loss"]:.4f} |

Codec: L1 + MSE + edges + a little KL; on {N_TEST} held-out scenes MSE {codec["held_out"]["mse"]:.5f} and L1
{codec["held_out"]["l1"]:.4f} on [-1, 1], {10 * math.log10(4 / codec["held_out"]["mse"]):.1f} dB. UNet: epsilon loss weighted by min-SNR {MIN_SNR:g},
{CAPTION_DROPOUT:.0%} of captions dropped. Both: Muon and AdamW, cosine schedule, bfloat16 autocast, averaged weights.
Made by `scripts/training/storybook/codec/train.py` and `scripts/training/storybook/diffusion/train.py`. The schedules
followed the wall clock, so running them again gives a model of the same kind, not the same bits.

## Limits

Words outside the captions mean nothing to it. It was trained briefly: place, relation, rider and kind of
mount follow the prompt, but figures are rough, faces and stripes smear, and two figures side by side may
melt into each other. It is a measuring instrument, not an image generator for other ends.

Licence: Apache-2.0.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the codec was trained")
    parser.add_argument("--folder", type=Path, required=True, help="the Stable Diffusion folder to write")
    parser.add_argument("--minutes", type=float, default=35.0)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument("--start", type=Path, help="a folder of an earlier round to go on from, in its full --out")
    parser.add_argument("--seed", type=int, default=0, help="use another one for each round")
    parser.add_argument("--threads", type=int, default=0, help="0 chooses between one and two while training")
    args = parser.parse_args()

    pixels, captions = scenes(args.out, N_SCENES, TRAIN_SEED)
    vae = AutoencoderKL.from_pretrained(args.out / "vae").eval()
    # Merges of equal rank come in no fixed order, so a later round takes the tokenizer of the first one.
    tokens = (
        CLIPTokenizer.from_pretrained(args.start / "tokenizer") if args.start else tokenizer(args.out / "tokenizer")
    )
    scheduler = build_scheduler()
    with seeded(args.seed):
        model = nn.ModuleDict({"unet": build_unet(vae.config.latent_channels), "text": build_text(tokens)})
    before = {"steps": 0, "seconds": 0.0, "history": []}
    if args.start:
        before = json.loads((args.out / "diffusion.json").read_text())
        model["unet"].load_state_dict(UNet2DConditionModel.from_pretrained(args.start / "unet").state_dict())
        model["text"].load_state_dict(CLIPTextModel.from_pretrained(args.start / "text_encoder").state_dict())
    model = model.to(memory_format=torch.channels_last)
    torch.set_num_threads(args.threads or 1)
    latents = moments(vae, pixels, args.out / "moments.safetensors")
    ids, empty = token_ids(tokens, captions), token_ids(tokens, [""])[0]
    ema, step = trainer(model, scheduler, latents, ids, empty, args.seed)
    pipe = pipeline(ema.eval(), vae, tokens)
    size = {"vae": parameters(vae), "unet": parameters(ema["unet"]), "text": parameters(ema["text"])}
    print(size, flush=True)

    clock = Clock(args.steps, args.minutes, args.threads)
    i, history, losses, sheets = 0, [], [], 0
    while (progress := clock.progress(i)) < 1:
        losses.append(step(factor(i, progress)))
        clock.tick(i)
        i += 1
        if i % 100 == 0:
            history.append({"step": i, "seconds": round(clock.seconds, 1), "loss": torch.stack(losses).mean().item()})
            print(history[-1], torch.get_num_threads(), f"{progress:.3f}", flush=True)
            losses = []
        if progress > (sheets + 1) / 4:
            sheets += 1
            sample_sheet(pipe, args.out / f"diffusion-{sheets}.png")

    settings = {
        "start": str(args.start or ""), "unet_widths": UNET_WIDTHS, "text_width": TEXT_WIDTH, "text_layers": TEXT_LAYERS,
        "batch": BATCH,
        "muon_lr": MUON_LR, "adam_lr": ADAM_LR, "min_snr": MIN_SNR, "caption_dropout": CAPTION_DROPOUT, "ema": EMA,
        "seed": args.seed, "threads": args.threads, "precision": "bfloat16 autocast",
    }  # fmt: skip
    log = {
        "settings": settings,
        "parameters": size,
        "rounds": before.get("rounds", 0) + 1,
        "steps": before["steps"] + i,
        "seconds": round(before["seconds"] + clock.seconds, 1),
        "history": before["history"] + history,
    }
    (args.out / "diffusion.json").write_text(json.dumps(log, indent=1) + "\n")
    sample_sheet(pipe, args.out / "diffusion.png")
    export(pipe, args.folder, card(json.loads((args.out / "codec.json").read_text()), log))


if __name__ == "__main__":
    main()
