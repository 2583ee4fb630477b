"""CLIP scores, computed as in open_clip's README. The peer of our curator."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from PIL import Image


def load(folder: Path) -> tuple[object, object, object]:
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return model.float().eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{folder}")


def score(loaded: tuple[object, object, object], files: list[Path], prompts: list[str], batch: int) -> torch.Tensor:
    """logit_scale times the cosine of every image and every prompt, float32 (images, prompts)."""
    model, preprocess, tokenizer = loaded
    scores = []
    with torch.no_grad():
        texts = model.encode_text(tokenizer(prompts), normalize=True)
        for first in range(0, len(files), batch):
            images = torch.stack([preprocess(Image.open(file).convert("RGB")) for file in files[first : first + batch]])
            scores.append(model.logit_scale.exp() * model.encode_image(images, normalize=True) @ texts.T)
    return torch.cat(scores)
