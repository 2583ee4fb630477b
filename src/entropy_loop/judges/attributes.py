"""The attribute reader: which coat, suit, background, ... an image shows, or that it cannot be read.

A model is a folder with `config.json` (a network of timm), `model.safetensors` and `attributes.json`: what
each attribute's answers are, in the order of the network's outputs, the least probability at which a value
counts, and confusion matrices on drawings it was not trained on.

reader.read(samples, out, tick)  -> attributes.parquet (COLUMNS), one row per image and attribute
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop import assets
from entropy_loop.data import Samples, Tick
from entropy_loop.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torch

COLUMNS = ("id", "attribute", "value", "score", "reason")
ABSENT, UNREADABLE = "absent", "unreadable"


@dataclass(frozen=True)
class AttributeReader:
    """Reads every attribute that its model knows. model: `bundled:...` or a folder."""

    version: ClassVar[int] = 1

    model: Annotated[str, Field(min_length=1)] = "bundled:storybook-attributes"
    revision: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "revision", assets.pinned(self.model, self.revision))

    @property
    def label(self) -> str:
        """A short name for tables."""
        return Path(self.model.removeprefix(assets.PREFIX)).name

    def ready(self, attributes: Mapping[str, tuple[str, ...]]) -> None:
        """Raises ConfigError when the model is not here, or does not read one of these attributes or values."""
        known = {name: entry["values"] for name, entry in self.calibration()["attributes"].items()}
        for name, values in attributes.items():
            if name not in known:
                raise ConfigError(f"attributes.{name}: {self.label} does not read it; {nearest(name, list(known))}")
            for value in values:
                if value not in known[name]:
                    told = nearest(value, known[name])
                    raise ConfigError(f"attributes.{name}: {self.label} does not read {value!r}; {told}")

    def read(self, samples: Samples, out: Path, tick: Tick) -> None:
        """Write attributes.parquet: `value` and how probable it is (`score`), or no value and the reason,
        'absent' (no animal, so no coat) or 'unreadable'; then the score is that of the likeliest value.

        Images pass through the network one by one: an answer never depends on what else is read.
        """
        import torch
        from PIL import Image

        network, attributes = load(self._folder()), self.calibration()["attributes"]
        rows = []
        for i, (name, file) in enumerate(samples.table[["id", "file"]].itertuples(index=False)):
            with Image.open(samples.folder / file) as image, torch.inference_mode():
                logits = network(pixels(image))[0].numpy()
            rows += [(name, *answer) for answer in answers(logits, attributes)]
            tick((i + 1) / len(samples.table))
        pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(out / "attributes.parquet", index=False)

    def calibration(self) -> dict[str, Any]:
        """The model's attributes.json. Raises ConfigError when it has none."""
        path = self._folder() / "attributes.json"
        if not path.is_file():
            raise ConfigError(f"{self.model}: no attributes.json in {path.parent}; it is no attribute reader.")
        return json.loads(path.read_text(encoding="utf-8"))

    def _folder(self) -> Path:
        return assets.find(self.model, self.revision)


def answers(logits: np.ndarray, attributes: Mapping[str, Any]) -> Iterator[tuple[str, str | None, float, str]]:
    """(attribute, value, score, reason) for one image's logits, shape (all answers of all attributes,).

    Each attribute has a softmax of its own. A value is given when it is the likeliest of all answers and its
    probability reaches the attribute's threshold.
    """
    start = 0
    for name, entry in attributes.items():
        own = logits[start : start + len(entry["answers"])].astype(np.float64)
        start += len(own)
        odds = np.exp(own - own.max())
        odds /= odds.sum()
        said = entry["answers"][int(odds.argmax())]
        score = max(float(p) for answer, p in zip(entry["answers"], odds, strict=True) if answer in entry["values"])
        if said in entry["values"] and score >= entry["threshold"]:
            yield name, said, score, ""
        else:
            yield name, None, score, ABSENT if said == ABSENT else UNREADABLE


def pixels(image: Any) -> torch.Tensor:
    """A PIL image as the network's input, float32 (1, 3, 64, 64) in [-1, 1]; another size is resized."""
    import torch
    from PIL import Image

    size = (64, 64)
    fitting = (
        image.convert("RGB") if image.size == size else image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    )
    return torch.from_numpy(np.array(fitting)).permute(2, 0, 1)[None].float() / 127.5 - 1


@cache
def load(folder: Path) -> Any:
    """The network of a reader's folder, in float32 on the CPU: it takes milliseconds per image."""
    import timm
    import torch
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with torch.random.fork_rng(devices=[]):  # timm draws initial weights before the real ones are loaded
        network = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval()
