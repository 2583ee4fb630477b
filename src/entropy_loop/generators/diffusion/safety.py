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
"""8-bit images (n, h, w, 3) -> for each whether the checker objects to it."""

CHECKER, EXTRACTOR = "safety_checker", "feature_extractor"


def refuse(folder: Path) -> None:
    """Raises ConfigError when the checkpoint has no safety checker, or not the whole of it."""
    parts = [folder / CHECKER / "config.json", folder / EXTRACTOR / "preprocessor_config.json"]
    parts += assets.weights(folder / CHECKER, "model")
    if lost := [part.relative_to(folder).as_posix() for part in parts if not part.is_file()]:
        raise ConfigError(f"generator.safety_checker: {folder} lacks {', '.join(lost)}; say `safety_checker: off`.")


@lru_cache(maxsize=1)
def checker(folder: Path) -> Checker:
    """The checkpoint's own, in float32. It sees the images as they are stored, one after the other."""
    import numpy as np
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    extractor = CLIPImageProcessor.from_pretrained(folder / EXTRACTOR, local_files_only=True)
    model = StableDiffusionSafetyChecker.from_pretrained(folder / CHECKER, use_safetensors=True, local_files_only=True)
    model = model.float().eval().to(device.device())

    def objects(images: np.ndarray) -> list[bool]:
        found = []
        with torch.no_grad():
            for image in images:
                pixels = extractor(list(image[None]), return_tensors="pt").pixel_values.to(model.device)
                # It blackens what it is given: that is a dummy.
                found.append(bool(model(clip_input=pixels, images=np.zeros((1, 1, 1, 3)))[1][0]))
        return found

    return objects
