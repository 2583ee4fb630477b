"""CLIP scores as open_clip's README computes them: the peer of our curator."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from PIL import Image


def load(folder: Path) -> tuple[object, object, object]:
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return model.float().eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{folder}")


def score(loaded: tuple[object, object, object], files: list[Path], prompt: str, batch: int) -> list[float]:
    """logit_scale times the cosine of every image and the prompt."""
    model, preprocess, tokenizer = loaded
    found: list[float] = []
    with torch.no_grad():
        text = model.encode_text(tokenizer([prompt]), normalize=True)
        for first in range(0, len(files), batch):
            images = torch.stack([preprocess(Image.open(file).convert("RGB")) for file in files[first : first + batch]])
            scores = model.logit_scale.exp() * model.encode_image(images, normalize=True) @ text.T
            found += scores[:, 0].tolist()
    return found
