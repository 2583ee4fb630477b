"""A checkpoint in memory, kept between stages: only the UNet's weights change from one to the next."""

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
    """What the UNet is told of prompts, one row each.

    states: float32 (n, tokens, width). pooled: float32 (n, width), of an XL model alone.
    """

    states: torch.Tensor
    pooled: torch.Tensor | None = None

    def rows(self, index: torch.Tensor | list[int]) -> Text:
        """Some of the rows, or the same row several times."""
        return Text(self.states[index], None if self.pooled is None else self.pooled[index])

    def told(self, size: tuple[int, int], dtype: torch.dtype) -> dict[str, object]:
        """The UNet's arguments. size: height and width in pixels, which an XL model is told as the size of an
        image that was neither scaled nor cut (Podell et al. 2023, arXiv 2307.01952, section 2.2)."""
        told: dict[str, object] = {"encoder_hidden_states": self.states.to(dtype)}
        if self.pooled is not None:
            ids = self.pooled.new_tensor([[*size, 0, 0, *size]]).expand(len(self.pooled), -1)
            told["added_cond_kwargs"] = {"text_embeds": self.pooled.to(dtype), "time_ids": ids}
        return told


@dataclass
class Resident:
    """A UNet in memory. holds: whose weights are in it, if they are still as they were loaded."""

    unet: UNet2DConditionModel
    holds: Path | None = None
    compiled: UNet2DConditionModel | None = None

    def load(self, base: Path, trained: Path | None) -> None:
        """Put a generation's weights in, in place: generation 0's from the checkpoint `base`, a whole UNet from
        `trained`/unet, or generation 0's with the low-rank update in `trained` added in float32.

        Raises EntropyLoopError if they are not there, or do not fit.
        """
        if self.holds == (source := trained or base):
            return
        self.holds = None
        update = lora.update(trained) if trained and lora.here(trained) else {}
        whole = base if update or not trained else trained
        _copy(whole / "unet", self.unet, update)
        self.unet.requires_grad_(False).eval()
        self.holds = source

    def compile(self) -> UNet2DConditionModel:
        """The compiled UNet, which reads the weights of this one: they can be changed without compiling again."""
        import torch

        if self.compiled is None:
            self.compiled = torch.compile(self.unet, dynamic=False)
        return self.compiled


@dataclass(frozen=True)
class Model:
    """A checkpoint's parts. pipe: diffusers' pipeline in float32, without a UNet. unets: by type of their weights.
    moments: what the VAE made of images, by a hash of their pixels."""

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
        """The UNet in memory with weights of this precision, whoever's they are."""
        if precision not in self.unets:
            self.unets[precision] = Resident(_unet(self.folder, precision))
        return self.unets[precision]

    def text(self, prompts: tuple[str, ...]) -> Text:
        """One row per prompt, each embedded by itself: a row never depends on the others. '' is what guidance holds
        against a prompt: zeros, where the checkpoint says so."""
        import torch

        rows = [self._text(prompt) for prompt in prompts]
        pooled = [row.pooled for row in rows if row.pooled is not None]
        return Text(torch.cat([row.states for row in rows]), torch.cat(pooled) if pooled else None)

    def _text(self, prompt: str) -> Text:
        told = self.pipe.encode_prompt(
            prompt=[prompt],
            device=self.pipe.vae.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=not prompt,
        )
        mine = told[1::2] if not prompt else told[::2]  # prompt, negative prompt, and for XL both pooled
        return Text(*mine)


@lru_cache(maxsize=1)
def model(folder: str) -> Model:
    """The checkpoint in a folder."""
    import diffusers
    import torch
    import transformers

    for library in (diffusers, transformers):  # the run has a bar of its own
        library.utils.logging.disable_progress_bar()
    name = pretrained.family(Path(folder))
    absent: dict[str, bool | None] = {"unet": None, "feature_extractor": None, "image_encoder": None}
    if name != pretrained.XL:
        absent |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        pipe = getattr(diffusers, name).from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, **absent
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{folder}: diffusers cannot load it ({error}).") from error
    if getattr(pipe.vae.config, "latents_mean", None):
        raise ConfigError(f"{folder}: its VAE shifts latents by a mean, which is not supported.")
    for part in pretrained.PARTS[name]:
        if part != "unet":
            getattr(pipe, part).requires_grad_(False).eval().to(device.device())
    pipe.vae.to(memory_format=torch.channels_last)  # decodes a quarter faster on a CPU, too
    return Model(Path(folder), pipe)


def empty(folder: Path) -> UNet2DConditionModel:
    """A UNet of the checkpoint's geometry without weights."""
    from accelerate import init_empty_weights
    from diffusers import UNet2DConditionModel

    with init_empty_weights():
        return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))


def _unet(folder: Path, precision: str) -> UNet2DConditionModel:
    """A UNet in memory whose weights are still to be loaded."""
    import torch

    unet = empty(folder)
    # Saved, its config tells no path of this machine. Later than here, a compiled UNet would be compiled again.
    unet.register_to_config(_name_or_path="")
    # Past diffusers' own `to`, which warns of layers that are to stay float32 though there are none.
    unet = torch.nn.Module.to(unet, getattr(torch, DTYPES[precision])).to_empty(device=device.device())
    # Next to each other in memory as tensor cores want them; on a CPU it gains nothing.
    order = torch.channels_last if device.device().startswith("cuda") else torch.preserve_format
    return unet.to(memory_format=order).requires_grad_(False).eval()


def _copy(folder: Path, unet: UNet2DConditionModel, update: dict[str, torch.Tensor]) -> None:
    """Weights from disk into the UNet, one after the other; `update` is added to those that it names."""
    import torch

    parameters = dict(unet.named_parameters()) | dict(unet.named_buffers())
    if lost := [part.name for part in assets.weights(folder) if not part.is_file()]:
        raise EntropyLoopError(f"{folder}: {', '.join(lost)} is gone; delete this stage's folder and run again.")
    seen = set()
    with torch.no_grad():
        for name, value in _stored(folder):
            if name not in parameters or parameters[name].shape != value.shape:
                raise EntropyLoopError(f"{folder}: does not hold the weights of this UNet ({name}).")
            if name in update:
                value = value.float() + update[name]
            parameters[name].copy_(value)
            seen.add(name)
    if lost := sorted({*parameters, *update} - seen):
        raise EntropyLoopError(f"{folder}: does not hold the weights of this UNet ({lost[0]} is missing).")


def _stored(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import safe_open

    for part in assets.weights(folder):
        with safe_open(part, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                yield name, file.get_tensor(name)
