"""A checkpoint in memory, kept between stages: only the UNet's weights are exchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_loop import assets
from entropy_loop.errors import ConfigError, EntropyLoopError
from entropy_loop.generators.diffusion import lora, pretrained
from entropy_loop.machine import device
from entropy_loop.machine.flops import UnetConfig

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Text:
    """Text embeddings of prompts, one row per prompt.

    states: float32 (n, tokens, width). pooled: float32 (n, width); an XL model only.
    """

    states: torch.Tensor
    pooled: torch.Tensor | None = None

    def rows(self, index: torch.Tensor | list[int]) -> Text:
        """The rows of these numbers; a row may be taken several times."""
        return Text(self.states[index], None if self.pooled is None else self.pooled[index])

    def unet_arguments(self, size: tuple[int, int], dtype: torch.dtype) -> dict[str, object]:
        """Keyword arguments of the UNet. size: height and width in pixels. An XL model takes it as the size of an image
        that was neither scaled nor cropped (Podell et al. 2023, arXiv 2307.01952, section 2.2)."""
        arguments: dict[str, object] = {"encoder_hidden_states": self.states.to(dtype)}
        if self.pooled is not None:
            ids = self.pooled.new_tensor([[*size, 0, 0, *size]]).expand(len(self.pooled), -1)
            arguments["added_cond_kwargs"] = {"text_embeds": self.pooled.to(dtype), "time_ids": ids}
        return arguments


@dataclass
class Resident:
    """A UNet in memory.

    holds: the folder whose weights are loaded; None when nothing is, or training has changed them. compiled: the same
    UNet, compiled on first use.
    """

    unet: UNet2DConditionModel
    holds: Path | None = None
    compiled: UNet2DConditionModel | None = None

    def load(self, base: Path, trained: Path | None) -> None:
        """Load a generation's weights in place: those of the checkpoint `base`, a full UNet from `trained`/unet, or
        those of `base` plus the low-rank update in `trained`, added in float32.

        Raises EntropyLoopError when weights are missing or do not fit the UNet.
        """
        if self.holds == (source := trained or base):
            return
        self.holds = None
        update = lora.update(trained) if trained and lora.is_update(trained) else {}
        full = base if update or not trained else trained
        _copy(full / "unet", self.unet, update)
        self.unet.requires_grad_(False).eval()
        self.holds = source

    def compile(self) -> UNet2DConditionModel:
        """The compiled UNet. It shares this one's weights, so `load` needs no second compilation."""
        import torch

        if self.compiled is None:
            self.compiled = torch.compile(self.unet, dynamic=False)
        return self.compiled


@dataclass(frozen=True)
class Model:
    """A checkpoint's parts. pipe: diffusers' pipeline in float32, without a UNet. unets: by precision. moments: the
    VAE's posterior moments of images, by a hash of their pixels (see `codec.moments`)."""

    folder: Path
    pipe: StableDiffusionPipeline | StableDiffusionXLPipeline
    unets: dict[str, Resident] = field(default_factory=dict)
    moments: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def config(self) -> UnetConfig:
        """The UNet's config."""
        config: UnetConfig = json.loads((self.folder / "unet" / "config.json").read_text(encoding="utf-8"))
        return config

    def unet(self, precision: str) -> Resident:
        """The UNet of this precision. Any generation's weights may be in it: call `load`."""
        if precision not in self.unets:
            self.unets[precision] = Resident(_unet(self.folder, precision))
        return self.unets[precision]

    def text(self, prompts: tuple[str, ...]) -> Text:
        """One row per prompt, each embedded alone, so no row depends on the others. '' is the unconditional row of
        guidance: zeros if the checkpoint says so."""
        import torch

        rows = [self._text(prompt) for prompt in prompts]
        pooled = [row.pooled for row in rows if row.pooled is not None]
        return Text(torch.cat([row.states for row in rows]), torch.cat(pooled) if pooled else None)

    def _text(self, prompt: str) -> Text:
        embeddings = self.pipe.encode_prompt(
            prompt=[prompt],
            device=self.pipe.vae.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=not prompt,
        )
        # In turn: prompt, negative prompt, and for XL both pooled.
        return Text(*(embeddings[::2] if prompt else embeddings[1::2]))


@lru_cache(maxsize=1)
def model(folder: str) -> Model:
    """The checkpoint in a folder, loaded. Raises ConfigError when diffusers cannot load it."""
    import diffusers
    import torch
    import transformers

    for library in (diffusers, transformers):  # the run shows its own progress
        library.utils.logging.disable_progress_bar()
    name = pretrained.family(Path(folder))
    omitted: dict[str, bool | None] = {"unet": None, "feature_extractor": None, "image_encoder": None}
    if name != pretrained.XL:
        omitted |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        pipe = getattr(diffusers, name).from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, **omitted
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{folder}: diffusers cannot load it ({error}).") from error
    if getattr(pipe.vae.config, "latents_mean", None):
        raise ConfigError(f"{folder}: its VAE shifts latents by a mean, which is not supported.")
    for part in pretrained.PARTS[name]:
        if part != "unet":
            getattr(pipe, part).requires_grad_(False).eval().to(device.device())
    pipe.vae.to(memory_format=torch.channels_last)  # decoding is a quarter faster, on a CPU too
    return Model(Path(folder), pipe)


def empty(folder: Path) -> UNet2DConditionModel:
    """A UNet of the checkpoint's shape without memory for its weights."""
    from accelerate import init_empty_weights
    from diffusers import UNet2DConditionModel

    with init_empty_weights():
        return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))


def _unet(folder: Path, precision: str) -> UNet2DConditionModel:
    """A UNet on the device with memory for its weights, which `_copy` fills."""
    import torch

    unet = empty(folder)
    # Keep this machine's path out of saved configs. Later, this change would make torch compile the UNet again.
    unet.register_to_config(_name_or_path="")
    # diffusers' own `to` would warn of layers that must stay float32, though there are none.
    unet = torch.nn.Module.to(unet, getattr(torch, DTYPES[precision])).to_empty(device=device.device())
    # The memory order that is fast on tensor cores; on a CPU it gains nothing.
    order = torch.channels_last if device.device().startswith("cuda") else torch.preserve_format
    return unet.to(memory_format=order).requires_grad_(False).eval()


def _copy(folder: Path, unet: UNet2DConditionModel, update: dict[str, torch.Tensor]) -> None:
    """Copy weights from disk into the UNet, one by one, and add `update` to those that it names."""
    import torch

    parameters = dict(unet.named_parameters()) | dict(unet.named_buffers())
    if missing := [part.name for part in assets.weights(folder) if not part.is_file()]:
        raise EntropyLoopError(f"{folder}: {', '.join(missing)} is gone; delete this stage's folder and run again.")
    loaded = set()
    with torch.no_grad():
        for name, value in _stored(folder):
            if name not in parameters or parameters[name].shape != value.shape:
                raise EntropyLoopError(f"{folder}: does not hold the weights of this UNet ({name}).")
            if name in update:
                value = value.float() + update[name]
            parameters[name].copy_(value)
            loaded.add(name)
    if absent := sorted({*parameters, *update} - loaded):
        raise EntropyLoopError(f"{folder}: does not hold the weights of this UNet ({absent[0]} is missing).")


def _stored(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import safe_open

    for part in assets.weights(folder):
        with safe_open(part, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                yield name, file.get_tensor(name)
