"""The shape of a checkpoint: the configs of its parts, from its folder or, for well-known hub ids, from here.

Numbers as the models' authors published them in their repositories' config.json files. Loads no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entropy_loop import assets
from entropy_loop.errors import ConfigError
from entropy_loop.generators import pretrained


@dataclass(frozen=True)
class Geometry:
    """Configs in diffusers' and transformers' form. text: one per text encoder."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    text: tuple[dict[str, Any], ...]

    @property
    def factor(self) -> int:
        """Pixels along an edge of a latent."""
        return 2 ** (len(self.vae["block_out_channels"]) - 1)


_CROSS, _PLAIN = "CrossAttn{}Block2D", "{}Block2D"


def _unet(channels: list[int], attends: list[bool], **more: Any) -> dict[str, Any]:
    down = [(_CROSS if attend else _PLAIN).format("Down") for attend in attends]
    up = [(_CROSS if attend else _PLAIN).format("Up") for attend in reversed(attends)]
    fixed = {"in_channels": 4, "out_channels": 4, "layers_per_block": 2, "norm_num_groups": 32}
    return {**fixed, "block_out_channels": channels, "down_block_types": down, "up_block_types": up, **more}


def _vae(**more: Any) -> dict[str, Any]:
    channels = [128, 256, 512, 512]
    kinds = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    return {"block_out_channels": channels, "layers_per_block": 2, "latent_channels": 4, **kinds, **more}


def _text(width: int, layers: int, heads: int, **more: Any) -> dict[str, Any]:
    told = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**told, "intermediate_size": 4 * width, "vocab_size": 49408, "max_position_embeddings": 77, **more}


_CLIP_L = _text(768, 12, 12, hidden_act="quick_gelu", projection_dim=768)
_FOUR, _THREE = [True, True, True, False], [False, True, True]

SD15 = Geometry(
    _unet([320, 640, 1280, 1280], _FOUR, sample_size=64, cross_attention_dim=768, attention_head_dim=8),
    _vae(sample_size=512, scaling_factor=0.18215),
    (_CLIP_L,),
)
SD21 = Geometry(
    _unet(
        [320, 640, 1280, 1280],
        _FOUR,
        sample_size=96,
        cross_attention_dim=1024,
        attention_head_dim=[5, 10, 20, 20],
        use_linear_projection=True,
    ),
    _vae(sample_size=768, scaling_factor=0.18215),
    (_text(1024, 23, 16, hidden_act="gelu", projection_dim=512),),
)
SDXL = Geometry(
    _unet(
        [320, 640, 1280],
        _THREE,
        sample_size=128,
        cross_attention_dim=2048,
        attention_head_dim=[5, 10, 20],
        use_linear_projection=True,
        transformer_layers_per_block=[1, 2, 10],
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    ),
    _vae(sample_size=1024, scaling_factor=0.13025),
    (_CLIP_L, _text(1280, 32, 20, hidden_act="gelu", projection_dim=1280)),
)

KNOWN = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": SD15,
    "stabilityai/stable-diffusion-2-1": SD21,
    "stabilityai/stable-diffusion-xl-base-1.0": SDXL,
}


def geometry(checkpoint: str, revision: str | None) -> Geometry | None:
    """A checkpoint's shape: what its folder says if it is here, else what is known of its hub id; None if neither."""
    try:
        folder = assets.find(checkpoint, revision)
        return read(folder)
    except (ConfigError, OSError, KeyError, ValueError):
        return KNOWN.get(checkpoint)


def read(folder: Path) -> Geometry:
    """The shape of the checkpoint in a folder. Raises ConfigError or OSError when there is none."""
    parts = {part: _config(folder / part) for part in pretrained.PARTS[pretrained.family(folder)]}
    text = tuple(config for part, config in parts.items() if part.startswith("text_encoder"))
    return Geometry(parts["unet"], parts["vae"], text)


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config
