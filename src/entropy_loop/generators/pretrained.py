"""A Stable Diffusion folder on disk: which of its files count, what is refused of it, and how it is loaded."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_loop import assets
from entropy_loop.errors import ConfigError, EntropyLoopError

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel


def files(folder: Path) -> list[Path]:
    """The files of a checkpoint that the pipeline loads, whether they exist or not; nothing else that lies there."""
    found = [folder / "model_index.json", folder / "scheduler" / "scheduler_config.json"]
    found += [file for file in (folder / "tokenizer").glob("*") if file.is_file()]
    parts = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
    for part, name in parts.items():
        found += [folder / part / "config.json", *assets.weights(folder / part, name)]
    return found


def schedule(folder: Path) -> dict[str, Any]:
    """The config of the scheduler that the checkpoint was trained with."""
    config: dict[str, Any] = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    return config


def refuse(folder: Path, prompts: tuple[str, ...]) -> None:
    """Raises ConfigError when a folder is not whole, or when a prompt is longer than what it reads."""
    if lost := [file.relative_to(folder).as_posix() for file in files(folder) if not file.is_file()]:
        half = any(folder.glob("unet/*.fp16.safetensors"))
        told = "; the fp16 variant alone is not enough, weights are float32 here" if half else ""
        raise ConfigError(f"{folder} lacks {', '.join(lost)}{told}.")
    _refuse_cut(folder, prompts)


def _refuse_cut(folder: Path, prompts: tuple[str, ...]) -> None:
    """Raises ConfigError for a prompt of which the text encoder would not see the end."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    longest = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    for prompt in prompts:
        places = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False).offset_mapping
        if len(places) > longest:
            unread = prompt[places[longest][0] :]
            raise ConfigError(
                f"prompts: {prompt!r} has {len(places)} tokens and the checkpoint reads {longest}: it would never "
                f"see {unread!r}; shorten it."
            )


@lru_cache(maxsize=1)
def pipeline(folder: str) -> StableDiffusionPipeline:
    """The checkpoint in float32, kept between stages: only the UNet's weights change from one to the next."""
    import diffusers
    import torch
    import transformers
    from diffusers import StableDiffusionPipeline

    for library in (diffusers, transformers):  # the run has a bar of its own
        library.utils.logging.disable_progress_bar()
    try:
        pipe = StableDiffusionPipeline.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            safety_checker=None,
            requires_safety_checker=False,
            feature_extractor=None,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{folder}: diffusers cannot load it ({error}).") from error
    for part in (pipe.vae, pipe.text_encoder, pipe.unet):
        part.requires_grad_(False).eval()
    return pipe.to("cuda" if torch.cuda.is_available() else "cpu")


def load_unet(unet: UNet2DConditionModel, folder: Path) -> None:
    """Put a generation's weights into the resident UNet, in float32.

    Raises EntropyLoopError if they are not there, or do not fit.
    """
    from safetensors.torch import load_file

    parts = assets.weights(folder)
    if lost := [part.name for part in parts if not part.is_file()]:
        raise EntropyLoopError(f"{folder}: {', '.join(lost)} is gone; delete this stage's folder and run again.")
    try:
        unet.load_state_dict({name: value for part in parts for name, value in load_file(part).items()})
    except RuntimeError as error:
        raise EntropyLoopError(f"{folder}: does not hold the weights of this UNet ({error}).") from None
    unet.requires_grad_(False).eval()


def embed(pipe: StableDiffusionPipeline, prompts: tuple[str, ...]) -> torch.Tensor:
    """Text embeddings, float32 (len(prompts), tokens, width)."""
    tokens = pipe.tokenizer(
        list(prompts),
        padding="max_length",
        max_length=pipe.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return pipe.text_encoder(tokens.input_ids.to(pipe.text_encoder.device))[0]
