"""Any open_clip model as a judge: ranking by similarity to the prompt, recognition by contrastive texts.

A model is `bundled:storybook-judge`, a local folder that open_clip wrote, or an open_clip architecture with
its `pretrained` tag. A folder may hold `calibration.json`: texts and fitted thresholds per concept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop import assets
from entropy_loop.data import JUDGEMENTS, SCORES, Concept, Prompt, Samples, Tick
from entropy_loop.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torch

BLOCK = 64  # images per call, the last one padded: an image's score never depends on how many are judged


@dataclass(frozen=True)
class _Clip:
    """model: `bundled:...`, a folder, or an open_clip architecture; pretrained: its tag in the last case."""

    version: ClassVar[int] = 1

    model: Annotated[str, Field(min_length=1)]
    pretrained: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        if bundled := assets.revision(self.model):
            object.__setattr__(self, "revision", bundled)

    @property
    def label(self) -> str:
        """A short name for tables."""
        name = Path(self.model.removeprefix(assets.PREFIX)).name
        return f"{name}-{self.pretrained}" if self.pretrained else name

    def folder(self) -> Path | None:
        """The model's folder, None for an architecture of open_clip's own. Raises ConfigError."""
        return None if self.pretrained else assets.find(self.model)

    def logits(self, files: list[Path], texts: list[str], tick: Tick) -> np.ndarray:
        """Similarities as the model was trained to read them: logit_scale * cosine, float32 (images, texts)."""
        import torch

        clip = _load(f"local-dir:{self.folder()}" if not self.pretrained else self.model, self.pretrained)
        rows = []
        with torch.inference_mode():
            text = clip.model.encode_text(clip.tokenizer(texts).to(clip.device), normalize=True)
            for start in range(0, len(files), BLOCK):
                block = files[start : start + BLOCK]
                similar = clip.model.logit_scale.exp() * clip.encode(block) @ text.T
                rows.append(similar.float().cpu().numpy()[: len(block)])
                tick(min(1.0, (start + BLOCK) / len(files)))
        return np.concatenate(rows)


@dataclass(frozen=True)
class ClipScorer(_Clip):
    """An image's score is the logit of its own prompt (CLIP score: Hessel et al. 2021, arXiv 2104.08718)."""

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """Raises ConfigError when the model is not here."""
        self.folder()

    def score(self, samples: Samples, prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
        table = samples.table[samples.table["prompt"].isin(prompts)]
        logits = self.logits([samples.folder / f for f in table["file"]], list(prompts), tick)
        own = logits[np.arange(len(table)), [prompts.index(prompt) for prompt in table["prompt"]]]
        rows = pd.DataFrame({"id": table["id"], "score": own.astype(np.float64)})
        rows[list(SCORES)].to_parquet(out / "scores.parquet", index=False)


@dataclass(frozen=True)
class ClipRecogniser(_Clip):
    """A concept is recognised when log-sum-exp of its `yes` logits minus that of its `no` logits is above the
    threshold. Texts come from the config, else from the model's calibration, which also has the threshold;
    texts of the config have the threshold 0: the side with more evidence wins.
    """

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """Raises ConfigError when the model is not here, or does not know what a concept looks like."""
        for concept in concepts:
            self._texts(concept)

    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], out: Path, tick: Tick
    ) -> None:
        known = {concept.name: self._texts(concept) for concept in concepts}
        texts = list(dict.fromkeys(text for yes, no, _ in known.values() for text in (*yes, *no)))
        table = samples.table
        logits = self.logits([samples.folder / f for f in table["file"]], texts, tick).astype(np.float64)
        rows = []
        for prompt in prompts:
            asked = np.flatnonzero(table["prompt"] == prompt.text)
            for name in prompt.concepts:
                yes, no, threshold = known[name]
                for_it, against = ([texts.index(text) for text in side] for side in (yes, no))
                scores = _evidence(logits[asked][:, for_it]) - _evidence(logits[asked][:, against])
                rows += [
                    (image, name, score, threshold, bool(score > threshold), "")
                    for image, score in zip(table["id"].iloc[asked], scores, strict=True)
                ]
        pd.DataFrame(rows, columns=list(JUDGEMENTS)).to_parquet(out / "judgements.parquet", index=False)

    def _texts(self, concept: Concept) -> tuple[tuple[str, ...], tuple[str, ...], float]:
        if concept.yes:
            return concept.yes, concept.no, 0.0
        known = self.calibration().get("concepts", {})
        if concept.name not in known:
            raise ConfigError(
                f"concepts.{concept.name}: {self.label} is not calibrated for it; give it `yes` and `no` texts. "
                f"Calibrated concepts: {nearest(concept.name, list(known))}"
            )
        entry = known[concept.name]
        return tuple(entry["yes"]), tuple(entry["no"]), float(entry["threshold"])

    def calibration(self) -> dict[str, Any]:
        """The model's calibration file; empty when it has none."""
        folder = self.folder()
        path = folder / "calibration.json" if folder else None
        return json.loads(path.read_text()) if path and path.is_file() else {}


def _evidence(logits: np.ndarray) -> np.ndarray:
    """log sum exp over the texts, float64 (images,)."""
    highest = logits.max(axis=1, keepdims=True)
    return (highest + np.log(np.exp(logits - highest).sum(axis=1, keepdims=True)))[:, 0]


@dataclass(frozen=True)
class _Loaded:
    model: Any
    preprocess: Any
    tokenizer: Any
    device: str

    def encode(self, files: list[Path]) -> torch.Tensor:
        """Normalised image embeddings, (BLOCK, d); the rows after the last file are padding."""
        import torch

        images = torch.stack([self.preprocess(image) for image in _opened(files)])
        padding = torch.zeros(BLOCK - len(images), *images.shape[1:])
        return self.model.encode_image(torch.cat([images, padding]).to(self.device), normalize=True)


def _opened(files: list[Path]) -> Iterator[Any]:
    from PIL import Image

    for file in files:
        with Image.open(file) as image:
            yield image.convert("RGB")


@cache
def _load(name: str, pretrained: str | None) -> _Loaded:
    import open_clip
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.random.fork_rng(devices=[]):  # open_clip draws initial weights before it loads the real ones
        model, preprocess = open_clip.create_model_from_pretrained(name, pretrained=pretrained, device=device)
    return _Loaded(model.float().eval(), preprocess, open_clip.get_tokenizer(name), device)
