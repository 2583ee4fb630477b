"""A Stable Diffusion folder on disk: which of its files are loaded, and the checks before anything is."""

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
"""The supported pipelines, each with its parts that have weights. No other pipeline is ever loaded."""

CLASSES = (
    "AutoencoderKL", "CLIPFeatureExtractor", "CLIPImageProcessor", "CLIPTextModel", "CLIPTextModelWithProjection",
    "CLIPTokenizer", "CLIPTokenizerFast", "CLIPVisionModelWithProjection", "StableDiffusionSafetyChecker",
    "UNet2DConditionModel",
)  # fmt: skip
LIBRARIES = ("diffusers", "transformers", "stable_diffusion")
"""Allowed classes of a pipeline's parts, besides diffusers' own schedulers, and the libraries they may come from."""


def family(folder: Path) -> str:
    """Name of the pipeline's class. Raises ConfigError for a folder that is no pipeline, or an unsupported one."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ConfigError(f"{folder} lacks {index.name}; name a folder in diffusers' format.")
    parts = json.loads(index.read_text(encoding="utf-8"))
    name = parts.get("_class_name") if isinstance(parts, dict) else None
    if not isinstance(name, str) or name not in PARTS:
        raise ConfigError(f"{folder}: a {name}; only {' and '.join(PARTS)} can be run.")
    for part, origin in parts.items():
        if isinstance(origin, list) and origin != [None, None] and not _allowed(origin):
            raise ConfigError(f"{index}: {part} is {origin}, which is none of the classes that are ever loaded.")
    return name


def _allowed(origin: list[object]) -> bool:
    """Whether a part's [library, class] may be loaded."""
    library, name = origin if len(origin) == 2 else (None, None)
    scheduler = library == "diffusers" and str(name).endswith("Scheduler") and str(name).isidentifier()
    return library in LIBRARIES and (name in CLASSES or scheduler)


def patterns(safety_checker: bool) -> list[str]:
    """Patterns of the files that a checkpoint is loaded from: configs, vocabularies and float32 weights."""
    parts = ["scheduler", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "unet", "vae"]
    parts += [safety.CHECKER, safety.EXTRACTOR] if safety_checker else []
    names = [f"{name}{part}" for name in ("model", "diffusion_pytorch_model") for part in ("", "-?????-of-?????")]
    kinds = ["*.json", "*.txt", *(f"{name}.safetensors" for name in names)]
    return ["model_index.json", *(f"{part}/{kind}" for part in parts for kind in kinds)]


def files(folder: Path) -> list[Path]:
    """The files that a checkpoint is loaded from, whether they exist or not."""
    paths = [folder / "model_index.json", folder / "scheduler" / "scheduler_config.json"]
    for part in PARTS[family(folder)]:
        name = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
        paths += [folder / part / "config.json", *assets.weights(folder / part, name)]
    paths += [file for tokenizer in tokenizers(folder) for file in sorted(tokenizer.glob("*")) if file.is_file()]
    return paths


def tokenizers(folder: Path) -> list[Path]:
    """The folder of each text encoder's tokenizer."""
    encoders = [part for part in PARTS[family(folder)] if part.startswith("text_encoder")]
    return [folder / part.replace("text_encoder", "tokenizer") for part in encoders]


def schedule(folder: Path) -> dict[str, object]:
    """Config of the scheduler that the checkpoint was trained with."""
    config: dict[str, object] = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    return config


def check(folder: Path, prompts: tuple[str, ...]) -> None:
    """Raises ConfigError when a file of the checkpoint is missing, or a prompt is too long for its text encoder."""
    if missing := [file.relative_to(folder).as_posix() for file in files(folder) if not file.is_file()]:
        half = any(folder.glob("unet/*.fp16.safetensors"))
        hint = "; the fp16 variant alone is not enough: the float32 weights are needed" if half else ""
        raise ConfigError(f"{folder} lacks {', '.join(missing)}{hint}. If it was downloaded: {assets.FETCH}.")
    for tokenizer in tokenizers(folder):
        _check_length(tokenizer, prompts)


def _check_length(folder: Path, prompts: tuple[str, ...]) -> None:
    """Raises ConfigError for a prompt whose end the text encoder would not see. folder: of the tokenizer."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    longest = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    for prompt in prompts:
        spans = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False).offset_mapping
        if len(spans) > longest:
            unread = prompt[spans[longest][0] :]
            raise ConfigError(
                f"prompts: {prompt!r} has {len(spans)} tokens and the checkpoint reads {longest}: it would never "
                f"see {unread!r}; shorten it."
            )
