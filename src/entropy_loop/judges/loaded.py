"""An open_clip model in memory, and images on their way into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
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
    from PIL import Image
    from torchvision.transforms import Compose

BLOCK = 64  # images per call, the last one padded: an image's score never depends on how many are judged
LOCAL = "local-dir:"  # how open_clip is told of a folder


@dataclass(frozen=True, eq=False)
class Loaded:
    """model, preprocess, tokenizer: as open_clip makes them."""

    model: CLIP
    preprocess: Compose
    tokenizer: SimpleTokenizer | HFTokenizer
    device: str

    def encode(self, files: list[Path], normalize: bool = True) -> Iterator[torch.Tensor]:
        """Image embeddings, (BLOCK, d) at a time; what stands after the last file's is padding, which callers cut off
        when all is computed: rounding depends on shapes."""
        for images in self._blocks([files[start : start + BLOCK] for start in range(0, len(files), BLOCK)]):
            yield self.model.encode_image(images.to(self.device), normalize=normalize)

    def _blocks(self, blocks: list[list[Path]]) -> Iterator[torch.Tensor]:
        """The images of every block. An accelerator looks at some while the next are read; where the processor looks
        at them itself, a reader beside it would only take its cores (measured: a quarter slower)."""
        if self.device == "cpu":
            yield from map(self._read, blocks)
            return
        with ThreadPoolExecutor(1) as reader:
            coming = [reader.submit(self._read, block) for block in blocks[:1]]
            for number in range(1, len(blocks) + 1):
                images = coming.pop().result()
                coming += [reader.submit(self._read, following) for following in blocks[number : number + 1]]
                yield images

    def _read(self, files: list[Path]) -> torch.Tensor:
        """The images as the model wants them, (BLOCK, 3, h, w); the rows after the last file are padding. Each image is
        fitted by itself, then all pixels become numbers at once: the same bits, a tenth faster."""
        import torch

        *fit, _, normalize = self.preprocess.transforms  # whatever the model, open_clip ends with ToTensor, Normalize
        pixels = np.stack([np.asarray(reduce(_then, fit, image)) for image in embeddings.opened(files)])
        images = normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous() / 255)
        return torch.cat([images, torch.zeros(BLOCK - len(images), *images.shape[1:])])


def _then(image: Image.Image, transform: Callable[[Image.Image], Image.Image]) -> Image.Image:
    return transform(image)


class Tag(TypedDict, total=False):
    """What open_clip says of an architecture's weights. hf_hub: where they lie. quick_gelu: their activation."""

    hf_hub: str
    quick_gelu: bool


def tag(model: str, pretrained: str) -> Tag:
    """What open_clip says of an architecture's weights. Raises ConfigError when it has none of that tag."""
    import open_clip

    told: Tag = open_clip.get_pretrained_cfg(model, pretrained)
    if not told:
        known = open_clip.list_pretrained_tags_by_model(model)
        raise ConfigError(f"{model}: open_clip has no weights {pretrained!r} for it; {nearest(pretrained, known)}")
    return told


@lru_cache(maxsize=2)  # the curator and a judge
def load(repository: str, revision: str | None = None, quick_gelu: bool = False) -> Loaded:
    """The model of a folder that open_clip wrote: inspected, and read, once. quick_gelu: whatever its config says of
    the activation. Raises ConfigError when it is not here or cannot be loaded."""
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
def described(loaded: Loaded) -> str:
    """What a score depends on beside the image, as JSON: the weights' SHA-256, how an image is prepared, and the
    activation that the loaded model really has. All this can differ from what a name or a config suggests."""
    digest = hashlib.sha256()
    for name, value in sorted(loaded.model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} ".encode())
        digest.update(value.cpu().float().contiguous().numpy().tobytes())
    kinds = {type(module).__name__ for module in loaded.model.modules()}
    prepared = getattr(loaded.model.visual, "preprocess_cfg", {})
    told = {
        "weights_sha256": digest.hexdigest(),
        "activations": sorted(kinds & {"GELU", "QuickGELU", "ReLU", "SiLU"}),
        "preprocess": {name: list(value) if isinstance(value, tuple) else value for name, value in prepared.items()},
        "open_clip_torch": version("open_clip_torch"),
    }
    return json.dumps(told, indent=1, sort_keys=True)
