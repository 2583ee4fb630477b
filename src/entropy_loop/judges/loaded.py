"""An open_clip model in memory, and images on their way into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, reduce
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from entropy_loop import assets
from entropy_loop.errors import ConfigError, nearest
from entropy_loop.judges import embeddings
from entropy_loop.machine import device

if TYPE_CHECKING:
    import torch
    from open_clip import CLIP
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
    from torchvision.transforms import Compose

BLOCK = 64  # images per call, the last one padded: an image's score never depends on how many are judged
LOCAL = "local-dir:"  # open_clip's prefix for a folder


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model of open_clip with its preprocessing and tokenizer. device: where it is, as torch names it."""

    model: CLIP
    preprocess: Compose
    tokenizer: SimpleTokenizer | HFTokenizer
    device: str

    def encode(self, files: list[Path], normalize: bool = True) -> Iterator[torch.Tensor]:
        """Image embeddings, (BLOCK, d) at a time. Rows after the last file are padding. Callers drop them at the very
        end, because rounding depends on shapes."""
        for images in self._blocks([files[start : start + BLOCK] for start in range(0, len(files), BLOCK)]):
            yield self.model.encode_image(images.to(self.device), normalize=normalize)

    def _blocks(self, blocks: list[list[Path]]) -> Iterator[torch.Tensor]:
        """The images of every block. With an accelerator, a thread reads the next block while one is computed; on a CPU
        that thread would only take cores from the model (measured: a quarter slower)."""
        if self.device == "cpu":
            yield from map(self._read, blocks)
            return
        with ThreadPoolExecutor(1) as reader:
            pending = [reader.submit(self._read, block) for block in blocks[:1]]
            for number in range(1, len(blocks) + 1):
                images = pending.pop().result()
                pending += [reader.submit(self._read, block) for block in blocks[number : number + 1]]
                yield images

    def _read(self, files: list[Path]) -> torch.Tensor:
        """Preprocessed images, float32 (BLOCK, 3, h, w); rows after the last file are padding. Images are resized one
        by one and normalised all at once: the same bits as open_clip's own way, a tenth faster."""
        import torch

        *resize, _, normalize = self.preprocess.transforms  # open_clip's always end with ToTensor and Normalize
        images = embeddings.open_images(files)
        pixels = np.stack([np.asarray(reduce(lambda image, step: step(image), resize, image)) for image in images])
        rows = normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous() / 255)
        return torch.cat([rows, torch.zeros(BLOCK - len(rows), *rows.shape[1:])])


class Tag(TypedDict, total=False):
    """open_clip's entry for an architecture's weights. hf_hub: their hub id. quick_gelu: whether they use QuickGELU."""

    hf_hub: str
    quick_gelu: bool


def tag(model: str, pretrained: str) -> Tag:
    """open_clip's entry for an architecture's weights. Raises ConfigError when it has none of that tag."""
    import open_clip

    entry: Tag = open_clip.get_pretrained_cfg(model, pretrained)
    if not entry:
        known = open_clip.list_pretrained_tags_by_model(model)
        raise ConfigError(f"{model}: open_clip has no weights {pretrained!r} for it; {nearest(pretrained, known)}")
    return entry


@lru_cache(maxsize=2)  # the curator and a judge
def load(repository: str, revision: str | None = None, quick_gelu: bool = False) -> Loaded:
    """The model in a folder that open_clip wrote. quick_gelu: use QuickGELU even if the folder's config does not.
    Raises ConfigError when the model is missing or cannot be loaded."""
    import open_clip
    import torch

    folder = assets.find(repository, revision)
    here, name = device.device(), f"{LOCAL}{folder}"
    with torch.random.fork_rng(devices=[]):  # open_clip draws initial weights before it loads the real ones
        try:
            model, preprocess = open_clip.create_model_from_pretrained(name, device=here, force_quick_gelu=quick_gelu)
            tokenizer = open_clip.get_tokenizer(name)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"{folder}: open_clip cannot load it ({error}).") from error
    return Loaded(model.float().eval(), preprocess, tokenizer, here)


@lru_cache(maxsize=2)
def describe(loaded: Loaded) -> str:
    """What a score depends on beside the image, as JSON: SHA-256 of the weights, preprocessing, and the activations of
    the loaded model, which can differ from what its name or config suggests."""
    digest = hashlib.sha256()
    for name, value in sorted(loaded.model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} ".encode())
        digest.update(value.cpu().float().contiguous().numpy().tobytes())
    layers = {type(module).__name__ for module in loaded.model.modules()}
    preprocess = getattr(loaded.model.visual, "preprocess_cfg", {})
    description = {
        "weights_sha256": digest.hexdigest(),
        "activations": sorted(layers & {"GELU", "QuickGELU", "ReLU", "SiLU"}),
        "preprocess": {name: list(value) if isinstance(value, tuple) else value for name, value in preprocess.items()},
        "open_clip_torch": version("open_clip_torch"),
    }
    return json.dumps(description, indent=1, sort_keys=True)
