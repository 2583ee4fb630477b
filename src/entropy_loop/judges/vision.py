"""TFLOP per image of an open_clip model, without loading open_clip."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from entropy_loop import assets
from entropy_loop.errors import ConfigError
from entropy_loop.machine import flops


@cache
def tflop(model: str, revision: str | None, pretrained: str | None) -> float | None:
    """TFLOP of one image's embedding; None when the model is missing, or is no vision transformer."""
    config = _config(model, revision, pretrained)
    return flops.tflop(flops.vision(config)) if {"width", "layers", "patch_size"} <= config.keys() else None


def _config(model: str, revision: str | None, pretrained: str | None) -> dict[str, object]:
    """The model's `vision_cfg`, from open_clip's package for an architecture, else from the model's folder; empty when
    it is missing."""
    spec = find_spec("open_clip") if pretrained else None
    if pretrained and not (spec and spec.origin):
        return {}
    try:
        if spec and spec.origin:
            file = Path(spec.origin).parent / "model_configs" / f"{model}.json"
        else:
            file = assets.find(model, revision) / "open_clip_config.json"
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ConfigError, OSError):
        return {}
    config: dict[str, object] = content.get("model_cfg", content).get("vision_cfg", {})
    return config
