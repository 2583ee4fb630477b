"""The safety checker that comes with a Stable Diffusion checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_loop import assets
from entropy_loop.errors import ConfigError
from entropy_loop.machine import device

if TYPE_CHECKING:
    import numpy as np

Checker = Callable[["np.ndarray"], list[bool]]
"""8-bit images (n, h, w, 3) -> for each image, whether the checker rejects it."""

CHECKER, EXTRACTOR = "safety_checker", "feature_extractor"


def check(folder: Path) -> None:
    """Raises ConfigError when the checkpoint has no safety checker, or a part of it is missing."""
    parts = [folder / CHECKER / "config.json", folder / EXTRACTOR / "preprocessor_config.json"]
    parts += assets.weights(folder / CHECKER, "model")
    if missing := [part.relative_to(folder).as_posix() for part in parts if not part.is_file()]:
        raise ConfigError(f"generator.safety_checker: {folder} lacks {', '.join(missing)}; set `safety_checker: off`.")


@lru_cache(maxsize=1)
def checker(folder: Path) -> Checker:
    """The checkpoint's own checker, in float32. It sees the 8-bit images, one at a time."""
    import numpy as np
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    extractor = CLIPImageProcessor.from_pretrained(folder / EXTRACTOR, local_files_only=True)
    model = StableDiffusionSafetyChecker.from_pretrained(folder / CHECKER, use_safetensors=True, local_files_only=True)
    model = model.float().eval().to(device.device())

    def rejects(images: np.ndarray) -> list[bool]:
        flags = []
        with torch.no_grad():
            for image in images:
                pixels = extractor(list(image[None]), return_tensors="pt").pixel_values.to(model.device)
                # The model blackens `images` in place, so it gets a dummy.
                flags.append(bool(model(clip_input=pixels, images=np.zeros((1, 1, 1, 3)))[1][0]))
        return flags

    return rejects
