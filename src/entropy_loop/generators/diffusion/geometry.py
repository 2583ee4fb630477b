"""The shape of a checkpoint: the configs of its parts, from its folder or, for well-known hub ids, from this module.

The numbers are those of the config.json files that the models' authors published. Loads no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from entropy_loop import assets
from entropy_loop.errors import ConfigError
from entropy_loop.generators.diffusion import pretrained
from entropy_loop.machine.flops import TextConfig, UnetConfig, UnetOptions, VaeConfig


@dataclass(frozen=True)
class Geometry:
    """Configs in diffusers' and transformers' form. text: one per text encoder."""

    unet: UnetConfig
    vae: VaeConfig
    text: tuple[TextConfig, ...]

    @property
    def factor(self) -> int:
        """Pixels of an image per latent pixel, along an edge."""
        return 2 ** (len(self.vae["block_out_channels"]) - 1)


_CROSS, _PLAIN = "CrossAttn{}Block2D", "{}Block2D"


def _unet(
    channels: list[int], attends: list[bool], edge: int, width: int, heads: int | list[int], **more: Unpack[UnetOptions]
) -> UnetConfig:
    """edge: height and width of a latent. width: of the text embeddings."""
    return {
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "block_out_channels": channels,
        "down_block_types": [(_CROSS if attend else _PLAIN).format("Down") for attend in attends],
        "up_block_types": [(_CROSS if attend else _PLAIN).format("Up") for attend in reversed(attends)],
        "sample_size": edge,
        "cross_attention_dim": width,
        "attention_head_dim": heads,
        **more,
    }


def _vae(edge: int, scaling_factor: float) -> VaeConfig:
    return {
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "sample_size": edge,
        "scaling_factor": scaling_factor,
    }


def _text(width: int, layers: int, heads: int, activation: str, projection: int) -> TextConfig:
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "hidden_act": activation,
        "projection_dim": projection,
    }


_CLIP_L = _text(768, 12, 12, "quick_gelu", 768)
_FOUR, _THREE = [True, True, True, False], [False, True, True]

SD15 = Geometry(
    _unet([320, 640, 1280, 1280], _FOUR, edge=64, width=768, heads=8),
    _vae(512, 0.18215),
    (_CLIP_L,),
)
SD21 = Geometry(
    _unet(
        [320, 640, 1280, 1280],
        _FOUR,
        edge=96,
        width=1024,
        heads=[5, 10, 20, 20],
        use_linear_projection=True,
    ),
    _vae(768, 0.18215),
    (_text(1024, 23, 16, "gelu", 512),),
)
SDXL = Geometry(
    _unet(
        [320, 640, 1280],
        _THREE,
        edge=128,
        width=2048,
        heads=[5, 10, 20],
        use_linear_projection=True,
        transformer_layers_per_block=[1, 2, 10],
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    ),
    _vae(1024, 0.13025),
    (_CLIP_L, _text(1280, 32, 20, "gelu", 1280)),
)

KNOWN = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": SD15,
    "stabilityai/stable-diffusion-2-1": SD21,
    "stabilityai/stable-diffusion-xl-base-1.0": SDXL,
}


def geometry(checkpoint: str, revision: str | None) -> Geometry | None:
    """A checkpoint's shape: from its folder if it is here, else from KNOWN; None if neither has it."""
    try:
        return read(assets.find(checkpoint, revision))
    except (ConfigError, OSError, KeyError, ValueError):
        return KNOWN.get(checkpoint)


def read(folder: Path) -> Geometry:
    """The shape of the checkpoint in a folder. Raises ConfigError or OSError when it cannot be read."""
    parts = pretrained.PARTS[pretrained.family(folder)]
    configs = {part: json.loads((folder / part / "config.json").read_text(encoding="utf-8")) for part in parts}
    text = tuple(config for part, config in configs.items() if part.startswith("text_encoder"))
    return Geometry(configs["unet"], configs["vae"], text)
