"""The two bundled open_clip models: their recipes, their folders, and the scores of a trained one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor

from scripts.training.storybook.judges.claims import concepts, vocabulary
from scripts.training.storybook.judges.losses import columns_of, concept_scores
from scripts.training.storybook.pictures import SIZE

# -- what is trained ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """One model. vision, text: open_clip's configuration. seed: of weights, scenes and batches. chains: their pictures
    are shown in the third phase; the models share none. specificity: least specificity of the thresholds on clean
    scenes and on junk; None balances sensitivity and specificity."""

    name: str
    seed: int
    vision: Mapping[str, object]
    text: Mapping[str, object]
    embed_dim: int
    scenes: int
    batch: int
    steps: int
    refine_steps: int
    learning_rate: float
    robust_steps: int
    specificity: tuple[float, float] | None
    chains: tuple[str, ...]
    about: str


RECIPES = {
    "judge": Recipe(
        name="storybook-judge",
        seed=7_100_000,
        vision={"layers": [2, 2, 2, 2], "width": 16, "head_width": 64},
        text={"width": 64, "heads": 2, "layers": 2},
        embed_dim=96,
        scenes=20_000,
        batch=128,
        steps=1200,
        refine_steps=500,
        learning_rate=2e-3,
        robust_steps=800,
        specificity=(0.997, 0.99),
        chains=(
            "train-mixed-1",
            "train-mixed-2",
            "train-robot-horse",
            "train-target",
            "train-astronaut-zebra",
            "train-knight-camel",
        ),
        about="a small ModifiedResNet (bottlenecks, attention pooling)",
    ),
    "curator": Recipe(
        name="storybook-curator",
        seed=8_200_000,
        vision={"timm_model_name": "edgenext_xx_small", "timm_pool": "avg", "timm_proj": "linear"},
        text={"width": 64, "heads": 4, "layers": 2},
        embed_dim=64,
        scenes=20_000,
        batch=96,
        steps=1300,
        refine_steps=600,
        learning_rate=2e-3,
        robust_steps=800,
        specificity=None,
        chains=(
            "train-mixed-3",
            "train-chef-horse",
            "train-wizard-elephant",
            "train-clown-cow",
            "train-cat-reindeer",
        ),
        about="a small EdgeNeXt (depthwise convolutions and channel attention)",
    ),
}

# Added to a recipe's seed, so that no two uses share scenes or noise.
STREAMS = {"train": 0, "batches": 1, "fit": 2, "report": 3, "fit_junk": 4, "report_junk": 5, "watch": 6, "codec": 7}


# -- the model folder ----------------------------------------------------------------------------------


WEIGHTS = "open_clip_model.safetensors"  # the name open_clip looks for
CONTEXT = 16  # tokens: the longest caption has 13 words, and two ends


def prepare_folder(recipe: Recipe, folder: Path) -> None:
    """Write the configuration and the tokenizer, which open_clip needs besides the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary_size = write_tokenizer(folder)
    text = {
        "context_length": CONTEXT,
        "vocab_size": vocabulary_size,
        "hf_tokenizer_name": ".",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        **recipe.text,
    }
    model = {
        "embed_dim": recipe.embed_dim,
        "init_logit_scale": math.log(10),
        "init_logit_bias": 0.0,
        "vision_cfg": {"image_size": SIZE, **recipe.vision},
        "text_cfg": text,
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {"model_cfg": model, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_tokenizer(folder: Path) -> int:
    """A word-level tokenizer; returns its number of tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    # open_clip pools the text at the highest token id, so the end token comes last.
    tokens = ["[pad]", "[unk]", *vocabulary(), "[start]", "[end]"]
    ids = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[unk]"))  # noqa: S106
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, ids[token]) for token in ("[start]", "[end]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[start] $A [end]", special_tokens=ends)
    names = {"pad_token": "[pad]", "unk_token": "[unk]", "bos_token": "[start]", "eos_token": "[end]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, **names).save_pretrained(folder)
    return len(tokens)


def new_model(recipe: Recipe, folder: Path) -> torch.nn.Module:
    """Random weights from the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(recipe.seed)
        return open_clip.create_model(f"local-dir:{folder}", load_weights=False)


def save_weights(model: torch.nn.Module, folder: Path) -> None:
    """Save the weights in half precision."""
    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    save_file(half, folder / WEIGHTS, metadata={"format": "pt"})


class Recogniser:
    """A trained model, loaded from its folder as a user would load it."""

    def __init__(self, folder: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            self.model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    @torch.inference_mode()
    def logits(self, images: Tensor, texts: list[str]) -> Tensor:
        """float32 (images, texts)."""
        text_features = self.model.encode_text(self.tokenizer(texts), normalize=True)
        parts = [self.model.encode_image(part * 2 - 1, normalize=True) for part in images.split(128)]
        return self.model.logit_scale.exp() * torch.cat(parts) @ text_features.T

    def scores(self, images: Tensor) -> dict[str, np.ndarray]:
        """Each concept's score, float32 (images,)."""
        texts = sorted({text for spec in concepts().values() for text in spec["yes"] + spec["no"]})
        scored = concept_scores(self.logits(images, texts), columns_of(texts))
        return dict(zip(concepts(), scored.numpy().T, strict=True))
