"""Write a Stable Diffusion checkpoint with random weights, in the exact geometry of a published one.

    python -m scripts.tools.build_random_checkpoint sd15 --out FOLDER

Computation, memory and files are those of the real model, but its images are noise. Use it for tests and benchmarks
where nothing can be downloaded. sd15 takes 4 GB of disk, sd21 5 GB, sdxl 14 GB.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from entropy_loop.generators.diffusion.geometry import SD15, SD21, SDXL, Geometry

SHAPES = {"sd15": SD15, "sd21": SD21, "sdxl": SDXL}
START, END = "<|startoftext|>", "<|endoftext|>"


def build(shape: Geometry, folder: Path, seed: int = 0) -> Path:
    """Write the parts one after the other, so that only the largest has to fit into memory."""
    random = torch.Generator().manual_seed(seed)
    _save(UNet2DConditionModel, shape.unet, folder / "unet", random)
    _save(AutoencoderKL, shape.vae, folder / "vae", random)
    index: dict[str, Any] = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    for number, config in enumerate(shape.text):
        cls, end = (CLIPTextModelWithProjection, "_2") if number else (CLIPTextModel, "")
        ends = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
        encoder = cls(CLIPTextConfig(**config, **ends))
        fill(encoder, random)
        encoder.save_pretrained(folder / f"text_encoder{end}")
        write_tokenizer(folder / f"tokenizer{end}")
        index |= {
            f"text_encoder{end}": ["transformers", cls.__name__],
            f"tokenizer{end}": ["transformers", "CLIPTokenizer"],
        }
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1).save_pretrained(
        folder / "scheduler"
    )
    index |= {
        "scheduler": ["diffusers", "DDIMScheduler"],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
    }
    if len(shape.text) > 1:
        index |= {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True}
    else:
        index |= {
            "_class_name": "StableDiffusionPipeline",
            "safety_checker": [None, None],
            "requires_safety_checker": False,
        }
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    return folder


def _save(cls: Any, config: dict[str, Any], folder: Path, random: torch.Generator) -> None:
    model = cls.from_config(config)
    fill(model, random)
    model.save_pretrained(folder, safe_serialization=True)


def fill(model: torch.nn.Module, random: torch.Generator) -> None:
    """Set norms to one, biases to zero, and other weights to noise that preserves the scale of activations."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim < 2:
                value.fill_(float("norm" in name and name.endswith("weight")))
            else:
                value.normal_(0.0, value[0].numel() ** -0.5, generator=random)


def write_tokenizer(folder: Path) -> None:
    """CLIP's byte-level tokenizer without merges: any text becomes single letters, with the true vocabulary size."""
    folder.mkdir(parents=True)
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = [chr(c) for c in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [f"<unused{i}>" for i in range(49406 - len(tokens))] + [START, END]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": START, "eos_token": END}
    config |= {"unk_token": END, "pad_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(build(SHAPES[options.shape], options.out, options.seed))
