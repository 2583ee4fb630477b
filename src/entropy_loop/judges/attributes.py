"""The attribute reader: which coat, suit, background, ... an image shows, or that it cannot be read.

A model is a folder with `config.json` (a network of timm), `model.safetensors` and `attributes.json`. The latter has
the answers of each attribute in the order of the network's outputs, the least probability at which a value counts, and
confusion matrices on drawings that the network was not trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, cast

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop import assets
from entropy_loop.contracts import Attribute, Embedded, Embedder, Reader
from entropy_loop.data import ATTRIBUTES, Samples, Tick
from entropy_loop.errors import ConfigError, nearest
from entropy_loop.judges import embeddings
from entropy_loop.judges.answers import finite

if TYPE_CHECKING:
    import torch
    from PIL import Image

ABSENT, UNREADABLE = "absent", "unreadable"


class Network(Protocol):
    """A network of timm: from images, float32 (1, 3, 64, 64), to the logits of all answers."""

    def __call__(self, images: torch.Tensor, /) -> torch.Tensor: ...
    def forward_features(self, images: torch.Tensor, /) -> torch.Tensor: ...
    def forward_head(self, features: torch.Tensor, /, *, pre_logits: bool) -> torch.Tensor: ...


Part = Callable[[Network, "torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True)
class _Model:
    """What reader and embedder share: the network and its attributes."""

    model: Annotated[str, Field(min_length=1)] = "bundled:storybook-attributes"
    """The model: `bundled:...`, a folder, or a hub id."""
    revision: str | None = None
    """Commit of a hub model, 40 hex digits. A bundled model sets its own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "revision", assets.pinned(self.model, self.revision))

    @property
    def label(self) -> str:
        return Path(self.model.removeprefix(assets.PREFIX)).name

    def attributes(self) -> dict[str, Attribute]:
        """Attributes that the model knows, from its attributes.json. Raises ConfigError when it has no such file."""
        path = self._folder() / "attributes.json"
        if not path.is_file():
            raise ConfigError(f"{self.model}: no attributes.json in {path.parent}; it is no attribute reader.")
        attributes: dict[str, Attribute] = json.loads(path.read_text(encoding="utf-8"))["attributes"]
        return attributes

    def downloads(self) -> list[assets.Download]:
        return assets.download(self.model, self.revision, ("config.json", "model.safetensors", "attributes.json"))

    def _folder(self) -> Path:
        return assets.find(self.model, self.revision)

    def _outputs(self, part: Part, samples: Samples, tick: Tick) -> Iterator[np.ndarray]:
        """Output of a part of the network for each image, float32 (d,).

        Images pass through the network one by one, so no output depends on the other images.
        """
        import torch

        network, files = load(self._folder()), [samples.folder / file for file in samples.table["file"]]
        for i, image in enumerate(embeddings.open_images(files)):
            with torch.inference_mode():
                output = part(network, pixels(image))[0].numpy()
            yield output
            tick((i + 1) / len(files))


@dataclass(frozen=True)
class AttributeReader(_Model, Reader):
    """Reads every attribute that its model knows, such as coat, suit and background."""

    version: ClassVar[int] = 1

    def ready(self, attributes: Mapping[str, tuple[str, ...]]) -> None:
        known = {name: entry["values"] for name, entry in self.attributes().items()}
        for name, values in attributes.items():
            if name not in known:
                raise ConfigError(f"attributes.{name}: {self.label} does not read it; {nearest(name, list(known))}")
            for value in values:
                if value not in known[name]:
                    hint = nearest(value, known[name])
                    raise ConfigError(f"attributes.{name}: {self.label} does not read {value!r}; {hint}")

    def read(self, samples: Samples, tick: Tick) -> pd.DataFrame:
        """A row has the value and its probability as the score, or no value and the reason: 'absent' (no animal, so no
        coat) or 'unreadable'. Without a value, the score is that of the likeliest one. Raises EntropyLoopError at the
        first output that is not finite."""
        attributes, rows = self.attributes(), []
        outputs = self._outputs(lambda network, image: network(image), samples, tick)
        for image, logits in zip(samples.table["id"], outputs, strict=True):
            rows += [(image, *answer) for answer in answers(finite(logits, self.label, image), attributes)]
        return pd.DataFrame(rows, columns=list(ATTRIBUTES))


@dataclass(frozen=True)
class AttributeEmbedder(_Model, Embedder):
    """Embeddings of storybook scenes: the attribute reader's last hidden layer, mean over the picture.

    A vector is float32 (256,). Measured with the Vendi score on pools of 128 images of the essay's prompt:

    images                          | this embedder                          | the judge's embedding
    real scenes                     | 5.2 to 5.4, jackknife [4.6, 6.0]       | 5.1
    of one coat and one background  | 2.5, jackknife [2.3, 2.8]              | 2.0
    with pixel noise of .1 and .2   | 5.4 and 5.0                            | 5.0 and 5.1
    uncurated chain, g0 to g5       | 4.1 3.8 4.0 4.2 3.7 3.1                | 4.3 4.2 4.6 5.1 5.4 5.7
    a second one                    | 4.5 4.0 3.7 3.5 3.4 2.9                | 4.7 4.4 4.2 4.5 5.3 5.3

    The judge's embedding rises while figures dissolve. The codec's latents count noise as diversity (real 19, with
    noise of .2 31). 8 x 8 means of the pixels see little but the background (one coat: 2.5 of 2.8). The network was
    trained to read through noise, so distances do not see noise either (KID of noise .2 to real lies inside its null
    band): the noise indices do.
    """

    version: ClassVar[int] = 1

    def ready(self) -> None:
        self.attributes()

    def embed(self, samples: Samples, tick: Tick) -> Embedded:
        return embeddings.embedded(self._outputs(_penultimate, samples, tick), samples)


def _penultimate(network: Network, image: torch.Tensor) -> torch.Tensor:
    return network.forward_head(network.forward_features(image), pre_logits=True)


def answers(logits: np.ndarray, attributes: Mapping[str, Attribute]) -> Iterator[tuple[str, str | None, float, str]]:
    """(attribute, value, score, reason) of one image. logits: (all answers of all attributes,).

    Each attribute has a softmax of its own. There is a value when it is the likeliest answer and its probability
    reaches the attribute's threshold.
    """
    start = 0
    for name, entry in attributes.items():
        own = logits[start : start + len(entry["answers"])].astype(np.float64)
        start += len(own)
        shares = np.exp(own - own.max())
        shares /= shares.sum()
        likeliest = entry["answers"][int(shares.argmax())]
        score = max(float(p) for answer, p in zip(entry["answers"], shares, strict=True) if answer in entry["values"])
        if likeliest in entry["values"] and score >= entry["threshold"]:
            yield name, likeliest, score, ""
        else:
            yield name, None, score, ABSENT if likeliest == ABSENT else UNREADABLE


def pixels(image: Image.Image) -> torch.Tensor:
    """A PIL image of any size as the network's input, float32 (1, 3, 64, 64) in [-1, 1]."""
    import torch
    from PIL import Image

    rgb = image.convert("RGB")
    rgb = rgb if rgb.size == (64, 64) else rgb.resize((64, 64), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 127.5 - 1


@cache
def load(folder: Path) -> Network:
    """The network in a model's folder, float32, on the CPU: it takes milliseconds per image."""
    import timm
    import torch
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with torch.random.fork_rng(devices=[]):  # timm draws initial weights before the real ones are loaded
        network = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return cast(Network, network.eval())
