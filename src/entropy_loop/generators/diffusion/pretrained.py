"""A Stable Diffusion folder on disk: which of its files count, and what is refused of it."""

from __future__ import annotations

import json
from pathlib import Path

from entropy_loop import assets
from entropy_loop.errors import ConfigError
from entropy_loop.generators.diffusion import safety

XL = "StableDiffusionXLPipeline"
PARTS = {
    "StableDiffusionPipeline": ("text_encoder", "vae", "unet"),
    XL: ("text_encoder", "text_encoder_2", "vae", "unet"),
}
"""Pipelines that are known, each with its parts that have weights. No other class is ever loaded."""

CLASSES = (
    "AutoencoderKL", "CLIPFeatureExtractor", "CLIPImageProcessor", "CLIPTextModel", "CLIPTextModelWithProjection",
    "CLIPTokenizer", "CLIPTokenizerFast", "CLIPVisionModelWithProjection", "StableDiffusionSafetyChecker",
    "UNet2DConditionModel",
)  # fmt: skip
LIBRARIES = ("diffusers", "transformers", "stable_diffusion")
"""What a pipeline's parts may be, beside diffusers' own schedulers, and whose."""


def family(folder: Path) -> str:
    """The pipeline's class. Raises ConfigError for a folder that is no pipeline, or one of another kind."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ConfigError(f"{folder} lacks {index.name}; name a folder in diffusers' format.")
    told = json.loads(index.read_text(encoding="utf-8"))
    name = told.get("_class_name") if isinstance(told, dict) else None
    if not isinstance(name, str) or name not in PARTS:
        raise ConfigError(f"{folder}: a {name}; only {' and '.join(PARTS)} can be run.")
    for part, of in told.items():
        if isinstance(of, list) and of != [None, None] and not _known(of):
            raise ConfigError(f"{index}: {part} is {of}, which is none of the classes that are ever loaded.")
    return name


def _known(of: list[object]) -> bool:
    """Whether [library, class] of a part is one that is ever loaded."""
    library, name = of if len(of) == 2 else (None, None)
    scheduler = library == "diffusers" and str(name).endswith("Scheduler") and str(name).isidentifier()
    return library in LIBRARIES and (name in CLASSES or scheduler)


def wanted(safety_checker: bool) -> list[str]:
    """Patterns of the files that a checkpoint is loaded from: configs, vocabularies and whole weights, no variant."""
    parts = ["scheduler", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "unet", "vae"]
    parts += [safety.CHECKER, safety.EXTRACTOR] if safety_checker else []
    names = [f"{name}{part}" for name in ("model", "diffusion_pytorch_model") for part in ("", "-?????-of-?????")]
    kinds = ["*.json", "*.txt", *(f"{name}.safetensors" for name in names)]
    return ["model_index.json", *(f"{part}/{kind}" for part in parts for kind in kinds)]


def files(folder: Path) -> list[Path]:
    """The files of a checkpoint that are loaded, whether they exist or not; nothing else that lies there."""
    found = [folder / "model_index.json", folder / "scheduler" / "scheduler_config.json"]
    for part in PARTS[family(folder)]:
        name = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
        found += [folder / part / "config.json", *assets.weights(folder / part, name)]
    found += [file for tokenizer in tokenizers(folder) for file in sorted(tokenizer.glob("*")) if file.is_file()]
    return found


def tokenizers(folder: Path) -> list[Path]:
    """The folder of each text encoder's tokenizer."""
    encoders = [part for part in PARTS[family(folder)] if part.startswith("text_encoder")]
    return [folder / part.replace("text_encoder", "tokenizer") for part in encoders]


def schedule(folder: Path) -> dict[str, object]:
    """The config of the scheduler that the checkpoint was trained with."""
    config: dict[str, object] = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    return config


def refuse(folder: Path, prompts: tuple[str, ...]) -> None:
    """Raises ConfigError when a folder is not whole, or when a prompt is longer than what it reads."""
    if lost := [file.relative_to(folder).as_posix() for file in files(folder) if not file.is_file()]:
        half = any(folder.glob("unet/*.fp16.safetensors"))
        told = "; the fp16 variant alone is not enough, weights are float32 here" if half else ""
        raise ConfigError(f"{folder} lacks {', '.join(lost)}{told}. If it was downloaded: {assets.FETCH}.")
    for tokenizer in tokenizers(folder):
        _refuse_cut(tokenizer, prompts)


def _refuse_cut(folder: Path, prompts: tuple[str, ...]) -> None:
    """Raises ConfigError for a prompt of which the text encoder would not see the end."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    longest = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    for prompt in prompts:
        places = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False).offset_mapping
        if len(places) > longest:
            unread = prompt[places[longest][0] :]
            raise ConfigError(
                f"prompts: {prompt!r} has {len(places)} tokens and the checkpoint reads {longest}: it would never "
                f"see {unread!r}; shorten it."
            )
