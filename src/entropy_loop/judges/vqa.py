"""A vision-language model as a judge: does the image show this? The evidence is P("yes") among "yes" and "no".

This is VQAScore's probability of the next token (Lin et al. 2024, arXiv 2404.01291, eq. 1), normalised over yes and no.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pandas as pd
from pydantic import Field

from entropy_loop import assets
from entropy_loop.contracts import Judge, Weights
from entropy_loop.data import Concept, Prompt, Samples, Tick
from entropy_loop.errors import ConfigError
from entropy_loop.judges import answers, embeddings
from entropy_loop.machine import device

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

FILES = ("*.json", "*.txt", "*.model", "*.jinja", "model*.safetensors")
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class VqaRecogniser(Judge):
    """A concept is recognised when P(yes) to its question is above the threshold.

    The model sees one image at a time, so no answer depends on the other images.
    """

    version: ClassVar[int] = 1

    model: Annotated[str, Field(min_length=1)]
    """The model: a folder or a hub id of one of transformers' image-text-to-text models."""
    revision: str | None = None
    """Commit of a hub model, 40 hex digits."""
    question: Annotated[str, Field(pattern=r"\{concept\}")] = "Does this image show {concept}? Answer yes or no."
    """Question about every concept; the concept's name replaces {concept}."""
    questions: dict[str, str] = field(default_factory=dict)
    """Questions about single concepts, by the concept's name. They replace `question`."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """P(yes) above which the answer is yes, in [0, 1]."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Precision of the model's weights."""

    @property
    def label(self) -> str:
        return Path(self.model).name

    def downloads(self) -> list[assets.Download]:
        return assets.download(self.model, self.revision, FILES)

    def weights(self) -> Weights:
        return Weights(self.model)

    def tflop_per_image(self) -> float | None:
        return None

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """Raises ConfigError when the model is missing, when `questions` names a concept that no prompt has, or when
        the device does not have the precision."""
        assets.find(self.model, self.revision)
        device.check_precision(self.precision, "judges: precision")
        if unknown := sorted(set(self.questions) - {concept.name for concept in concepts}):
            raise ConfigError(f"judges: questions: no prompt has the concept {unknown[0]!r}.")

    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick: Tick
    ) -> pd.DataFrame:
        """Raises EntropyLoopError at the first score that is not finite."""
        return answers.judgements(self._scores(samples, prompts, tick), self.label, samples)

    def _scores(
        self, samples: Samples, prompts: tuple[Prompt, ...], tick: Tick
    ) -> Iterator[tuple[str, str, float, float]]:
        """(id, concept, score, threshold) of each image and concept."""
        concepts = {prompt.text: prompt.concepts for prompt in prompts}
        loaded = _load(assets.find(self.model, self.revision), self.precision)
        pictures = embeddings.open_images(samples.folder / file for file in samples.table["file"])
        for done, (row, image) in enumerate(zip(samples.table.itertuples(), pictures, strict=True), start=1):
            for concept in concepts.get(str(row.prompt), ()):
                question = self.questions.get(concept, self.question).replace("{concept}", concept)
                yield str(row.id), concept, loaded.yes(image, question), self.threshold
            tick(done / len(samples.table))


@dataclass(frozen=True)
class _Loaded:
    """A model in memory. tokens: ids of the tokens that begin "yes", and of those that begin "no"."""

    model: PreTrainedModel
    processor: ProcessorMixin
    tokens: tuple[list[int], list[int]]

    def yes(self, image: Image.Image, question: str) -> float:
        """P(yes) / (P(yes) + P(no)) of the next token."""
        import torch

        with torch.inference_mode():
            logits = self.model(**self._inputs(image, question)).logits[0, -1].float()
        yes, no = (torch.logsumexp(logits[ids], dim=0) for ids in self.tokens)
        return float(torch.sigmoid(yes - no))

    def _inputs(self, image: Image.Image, question: str) -> dict[str, torch.Tensor]:
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = self.processor(images=image, text=text, return_tensors="pt").to(self.model.device)
        return {
            name: value.to(self.model.dtype) if value.is_floating_point() else value for name, value in inputs.items()
        }


@lru_cache(maxsize=1)
def _load(folder: Path, precision: str) -> _Loaded:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        processor = AutoProcessor.from_pretrained(folder, **options)
        dtype = getattr(torch, PRECISIONS[precision])
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, use_safetensors=True, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{folder}: transformers cannot load it ({error}).") from error
    if not getattr(processor, "chat_template", None):
        raise ConfigError(f"{folder}: has no chat template, so a question cannot be put to it; choose another model.")
    return _Loaded(model.eval().to(device.device()), processor, _answer_tokens(processor.tokenizer, folder))


def _answer_tokens(tokenizer: PreTrainedTokenizerBase, folder: Path) -> tuple[list[int], list[int]]:
    """Ids of the first tokens of "yes" and of "no", in every spelling that an answer may begin with; tokens that begin
    both are left out. Raises ConfigError when none are left."""

    def first_tokens(word: str) -> set[int]:
        spellings = (word, word.title(), f" {word}", f" {word.title()}")
        encoded = [tokenizer.encode(spelling, add_special_tokens=False) for spelling in spellings]
        return {ids[0] for ids in encoded if ids} - {tokenizer.unk_token_id}

    yes, no = first_tokens("yes"), first_tokens("no")
    if not (yes - no and no - yes):
        raise ConfigError(f"{folder}: its tokenizer has no tokens that tell yes from no; choose another model.")
    return sorted(yes - no), sorted(no - yes)
