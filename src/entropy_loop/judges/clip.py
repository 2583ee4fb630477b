"""Any open_clip model: scores by similarity to the prompt, judgements by contrastive texts, and embeddings.

A model is `bundled:storybook-judge`, a folder that open_clip wrote, a hub id, or an open_clip architecture with its
`pretrained` tag. A folder may hold `calibration.json`: texts and fitted thresholds per concept.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Self

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop import assets
from entropy_loop.contracts import CalibratedJudge, Calibration, Embedded, Embedder, Entry, Scorer, Weights
from entropy_loop.data import Concept, Prompt, Samples, Tick
from entropy_loop.errors import ConfigError, nearest
from entropy_loop.judges import answers, embeddings, vision
from entropy_loop.judges.calibration import of_config, of_model
from entropy_loop.judges.loaded import BLOCK, Loaded, describe, load, tag

UNKNOWN = "[unk]"
FILES = (
    "open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "calibration.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt",
)  # fmt: skip
PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))  # which open_clip removes too


@dataclass(frozen=True)
class _Clip:
    """What scorer, judge and embedder share: the open_clip model."""

    model: Annotated[str, Field(min_length=1)]
    """The model: `bundled:...`, a folder, a hub id, or an open_clip architecture."""
    pretrained: str | None = None
    """Tag of the weights; for an open_clip architecture only, where it stands for a hub id."""
    revision: str | None = None
    """Commit of a hub model, 40 hex digits. A bundled model sets its own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "revision", assets.pinned(self.model, self.revision))

    @property
    def label(self) -> str:
        name = Path(self.model.removeprefix(assets.PREFIX)).name
        return f"{name}-{self.pretrained}" if self.pretrained else name

    def downloads(self) -> list[assets.Download]:
        return assets.download(self._repository(), self.revision, FILES)

    def tflop_per_image(self) -> float | None:
        return vision.tflop(self.model, self.revision, self.pretrained)

    def folder(self) -> Path:
        """The folder with the model's weights. Raises ConfigError when it is missing."""
        return assets.find(self._repository(), self.revision)

    def _repository(self) -> str:
        """A folder, a bundled model or a hub id; for an architecture, the hub id of its weights."""
        return tag(self.model, self.pretrained)["hf_hub"].rpartition("/")[0] if self.pretrained else self.model

    def loaded(self) -> Loaded:
        """The model in memory, with the activation that its weights were trained with: a tag may know it when the
        folder's config does not."""
        entry = tag(self.model, self.pretrained) if self.pretrained else {}
        return load(self._repository(), self.revision, bool(entry.get("quick_gelu")))

    def weights(self) -> Weights:
        return Weights(self.model, self.pretrained)

    def description(self) -> str:
        """Weights, preprocessing and activations of the loaded model, as JSON."""
        return describe(self.loaded())

    def readable(self, texts: Iterable[str], where: str) -> None:
        """Raises ConfigError when the model is missing or incomplete, and for a text that is too long for it or has
        words that it does not know. An architecture of open_clip's own knows every word."""
        folder = self.folder()
        config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
        tower = config.get("model_cfg", {}).get("text_cfg", {})
        if other := tower.get("hf_model_name"):
            raise ConfigError(
                f"{where}: {self.label} reads texts with {other!r}, another model that open_clip would download; "
                "choose a model with a text tower of its own."
            )
        if self.pretrained or not (folder / "tokenizer.json").is_file():
            return
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        longest = tower.get("context_length", 77) - tokenizer.num_special_tokens_to_add(False)
        for text in texts:
            plain = text.translate(PUNCTUATION)
            encoded = tokenizer.encode(plain, add_special_tokens=False)
            spans = zip(encoded.offsets, encoded.tokens, strict=True)
            if unknown := [plain[start:end] for (start, end), token in spans if token == UNKNOWN]:
                raise ConfigError(f"{where}: {self.label} does not know {', '.join(map(repr, unknown))} in {text!r}.")
            if (tokens := len(encoded)) > longest:
                raise ConfigError(f"{where}: {text!r} has {tokens} tokens; {self.label} reads {longest} of them.")

    def logits(self, files: list[Path], texts: list[str], tick: Tick) -> np.ndarray:
        """Similarities as in the model's training: logit_scale * cosine, float32 (images, texts).

        Texts pass through the model one by one, so no similarity depends on the other texts.
        """
        import torch

        clip = self.loaded()
        logits = np.empty((len(files), len(texts)), dtype=np.float32)
        with torch.inference_mode():
            embedded = [clip.model.encode_text(clip.tokenizer([t]).to(clip.device), normalize=True)[0] for t in texts]
            for block, vectors in enumerate(clip.encode(files)):
                images, rows = clip.model.logit_scale.exp() * vectors, logits[block * BLOCK : (block + 1) * BLOCK]
                for column, text in enumerate(embedded):
                    rows[:, column] = (images @ text)[: len(rows)].cpu().numpy()
                tick(min(1.0, (block + 1) * BLOCK / len(files)))
        return logits


@dataclass(frozen=True)
class ClipScorer(_Clip, Scorer):
    """The score of an image is the logit of its own prompt (CLIP score: Hessel et al. 2021, arXiv 2104.08718)."""

    version: ClassVar[int] = 1

    def ready(self, prompts: tuple[str, ...]) -> None:
        self.readable(prompts, "prompts")

    def score(self, samples: Samples, prompts: tuple[str, ...], tick: Tick) -> pd.DataFrame:
        """Raises EntropyLoopError for a score that is not finite."""
        table = samples.table[samples.table["prompt"].isin(prompts)]
        logits = self.logits([samples.folder / f for f in table["file"]], list(prompts), tick)
        own = logits[np.arange(len(table)), [prompts.index(prompt) for prompt in table["prompt"]]]
        scores = [
            answers.finite(float(score), self.label, image) for image, score in zip(table["id"], own, strict=True)
        ]
        return pd.DataFrame({"id": table["id"], "score": scores}).astype({"score": float})


@dataclass(frozen=True)
class ClipRecogniser(_Clip, CalibratedJudge):
    """A concept is recognised when its `yes` texts outweigh its `no` texts by more than the threshold.

    The score is log-sum-exp of the `yes` logits minus that of the `no` logits. The texts come from the config, else
    from the calibration. The calibration's own texts have its threshold; other texts have the threshold 0.
    """

    version: ClassVar[int] = 1

    calibration: Annotated[str, Field(min_length=1)] | None = None
    """Path of a file that `entropy-loop calibrate` wrote. Without it, the model's own calibration is used."""
    calibration_revision: str | None = None
    """First 16 hex digits of the calibration file's SHA-256. Keys hold them in the place of its content."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.calibration_revision and not self.calibration:
            raise ConfigError("calibration_revision: names no file; set `calibration` to the file's path.")

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """Raises ConfigError when the model or the calibration file is missing, when there are no texts for a concept,
        and when the model cannot read a text."""
        for concept in concepts:
            self._texts(concept)
            self.readable((*concept.yes, *concept.no), f"concepts.{concept.name}")

    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick: Tick
    ) -> pd.DataFrame:
        """Raises EntropyLoopError for a score that is not finite."""
        table = samples.table
        prompts = tuple(prompt for prompt in prompts if prompt.text in set(table["prompt"]))
        names = {name for prompt in prompts for name in prompt.concepts}
        asked = {concept.name: self._texts(concept) for concept in concepts if concept.name in names}
        texts = list(dict.fromkeys(text for yes, no, _ in asked.values() for text in (*yes, *no)))
        logits = self.logits([samples.folder / f for f in table["file"]], texts, tick).astype(np.float64)
        rows: list[tuple[str, str, float, float]] = []
        for prompt in prompts:
            images = np.flatnonzero(table["prompt"] == prompt.text)
            ids = table["id"].iloc[images]
            for name in prompt.concepts:
                yes, no, threshold = asked[name]
                pro, contra = ([texts.index(text) for text in side] for side in (yes, no))
                scores = _evidence(logits[images][:, pro]) - _evidence(logits[images][:, contra])
                rows += [(image, name, score, threshold) for image, score in zip(ids, scores, strict=True)]
        return answers.judgements(rows, self.label, samples)

    def calibration_in_force(self) -> Calibration:
        """The calibration that the config names, else the model's own, which may be empty."""
        if self.calibration:
            return of_config(Path(self.calibration), self.calibration_revision, self)
        return of_model(self.folder() / "calibration.json")

    def measured(self, concepts: tuple[Concept, ...]) -> dict[str, Entry]:
        return self.calibration_in_force().measured({concept.name: _question(concept) for concept in concepts})

    def without_calibration(self) -> Self:
        return replace(self, calibration=None, calibration_revision=None)

    def question(self, concept: Concept) -> dict[str, list[str]]:
        yes, no, _ = self._texts(concept)
        return {"yes": list(yes), "no": list(no)}

    def _texts(self, concept: Concept) -> tuple[tuple[str, ...], tuple[str, ...], float]:
        """(yes texts, no texts, threshold) of a concept. Raises ConfigError when neither the config nor the calibration
        has texts for it."""
        calibration = self.calibration_in_force()
        if entry := calibration.entry(concept.name, _question(concept)):
            return tuple(entry["yes"]), tuple(entry["no"]), float(entry["threshold"])
        if concept.yes:
            return concept.yes, concept.no, 0.0
        raise ConfigError(
            f"concepts.{concept.name}: {self.label} is not calibrated for it; give it `yes` and `no` texts. "
            f"Calibrated concepts: {nearest(concept.name, list(calibration.concepts))}"
        )


def _question(concept: Concept) -> dict[str, list[str]]:
    """The texts that the config gives for a concept; empty when it gives none."""
    return {"yes": list(concept.yes), "no": list(concept.no)} if concept.yes else {}


@dataclass(frozen=True)
class ClipEmbedder(_Clip, Embedder):
    """Image embeddings of an open_clip model, not normalised, and noise indices of the pixels."""

    version: ClassVar[int] = 1

    def ready(self) -> None:
        self.folder()

    def embed(self, samples: Samples, tick: Tick) -> Embedded:
        return embeddings.embedded(self._vectors([samples.folder / f for f in samples.table["file"]], tick), samples)

    def _vectors(self, files: list[Path], tick: Tick) -> Iterator[np.ndarray]:
        import torch

        clip = self.loaded()
        with torch.inference_mode():
            for block, vectors in enumerate(clip.encode(files, normalize=False)):
                yield from vectors[: len(files) - block * BLOCK].cpu().numpy()
                tick(min(1.0, (block + 1) * BLOCK / len(files)))


def _evidence(logits: np.ndarray) -> np.ndarray:
    """log sum exp over the texts: float64 (images, texts) to (images,)."""
    highest = logits.max(axis=1, keepdims=True)
    return (highest + np.log(np.exp(logits - highest).sum(axis=1, keepdims=True)))[:, 0]
