"""What passes between the stages, and the columns of every table; `dictionary` says what those of results mean.

Things with an identity are dataclasses; things that come by the thousand are rows of tables. A missing number is an
empty cell with a reason beside it, never 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, cast

import pandas as pd
from pydantic import ConfigDict, Field

from entropy_loop.dictionary import TABLES

Tick = Callable[[float], None]
"""Progress callback: a maker calls it with the share of its work that is done, in [0, 1]."""

KEPT = ".kept"
"""Name of a folder that a maker may keep inside its output folder. It survives a kill, so the next process can resume
from it. It is not part of the result."""

ALL = "all"
"""The joint concept: every concept of the prompt in one and the same image."""

POOL, EVALUATION, REAL, HELD_OUT, TAUGHT = "pool", "evaluation", "real", "held-out", "taught"
CHECK, MOVED = "check", "moved"
"""The image sets. Generated: `pool` with fresh noise in each generation, `evaluation` with the same noise in each one,
and `check` from check prompts. `moved` are moved copies of pool images; like `check` they check the judges. Real:
`real` of a diet, `held-out` in no diet, which pools are compared with, and `taught` of concepts that are taught
again."""

GENERATED = (POOL, EVALUATION, CHECK)
"""The image sets that the generator makes."""

MOVES = ("mirror", "shift")
"""Ways to move an image without changing what it shows."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, its role, and the concepts that its images should show. Images of a 'target' are fed back, images of a
    'check' prompt measure the judges, all others are only measured."""

    text: str
    role: str = "target"
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Concept:
    """A concept and its contrastive texts. Empty tuples mean the judge's own calibration."""

    name: str
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One image to make. `index` numbers the images of one prompt; a negative index counts from the end, as in a list.
    `seed` (32 bits) fixes the noise."""

    id: str
    prompt: str
    index: int
    seed: int


@dataclass(frozen=True)
class TrainSettings:
    """One feedback step's training, in the spelling of diffusers' training examples."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    method: Literal["full", "lora", "none"] = "full"
    """`full` fine-tunes the whole UNet. `lora` trains low-rank updates of its attention (Hu et al. 2021, arXiv
    2106.09685), which the next generation goes on training. `none` trains nothing: every generation is generation 0's
    model."""
    start_from: Literal["previous", "base"] = "previous"
    """`previous` continues from the last generation, `base` starts each one from generation 0."""
    roundtrip: Literal["pixels", "latents"] = "pixels"
    """`pixels` trains on the 8-bit images, through the VAE's encoder. `latents` trains on the very latents that were
    generated; real images have none and are encoded."""
    max_train_steps: Annotated[int, Field(ge=1, lt=1 << 18)] = 100
    """Optimisation steps, 1 to 262,143."""
    train_batch_size: Annotated[int, Field(ge=1)] = 16
    """Images per backward pass, of all processes together; at least 1."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Backward passes per optimisation step, at least 1."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Precision of activations and of a LoRA's frozen weights; `no` is float32. Trained weights are float32."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Learning rate of AdamW, above 0."""
    lr_scheduler: Literal[
        "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"
    ] = "constant"
    """Schedule of the learning rate, as in diffusers' training examples."""
    lr_warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Optimisation steps in which the learning rate rises from 0, at least 0. `constant` ignores it."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """AdamW's decay of the mean gradient, 0 to below 1."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """AdamW's decay of the mean squared gradient, 0 to below 1."""
    adam_weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """AdamW's weight decay, at least 0."""
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """AdamW's term against division by zero, above 0."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Largest global L2 norm of the gradient, above 0. A longer gradient is scaled down to it."""
    snr_gamma: Annotated[float, Field(gt=0)] | None = None
    """Gamma of min-SNR weighting, above 0 (Hang et al. 2023, arXiv 2303.09556, eq. 4 with the noise parametrisation).
    Default: plain noise MSE."""
    noise_offset: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of extra noise that is constant over each image's channel, at least 0."""
    proportion_empty_prompts: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of captions replaced by the empty prompt, 0 to 1."""
    checkpointing_steps: Annotated[int, Field(ge=1)] | None = 500
    """Optimisation steps between checkpoints of weights and optimizer, at least 1; `null` writes none. An interrupted
    training resumes from the last one. No result depends on it."""
    use_ema: bool = False
    """Pass on the exponential moving average of the weights instead of the last weights."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.9999
    """Decay of that average, between 0 and 1."""
    rank: Annotated[int, Field(ge=1)] = 4
    """Rank r of a LoRA's updates lora_alpha / r B A, at least 1. Only for `method: lora`."""
    lora_alpha: Annotated[float, Field(gt=0)] | None = None
    """Scale of a LoRA's updates, above 0. Default: the rank. Only for `method: lora`."""
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] = ("to_q", "to_k", "to_v", "to_out.0")
    """Modules of the UNet that a LoRA updates, at least one. Only for `method: lora`."""

    @property
    def images(self) -> int:
        """Number of images per optimisation step."""
        return self.train_batch_size * self.gradient_accumulation_steps


Verb = Literal["base", "generate", "move", "draw", "recognise", "embed", "read", "measure", "score", "curate", "train"]
"""What a stage does. `draw` takes real images, `move` makes moved copies, `read` reads attributes."""


@dataclass(frozen=True)
class Stage:
    """One piece of work. Its `key` is a hash over `reads`: everything that the result depends on.

    needs: keys of the stages whose folders it opens. set: the image set that it makes or reads; empty if there is no
    single one. images: number of images that it makes, reads or, in training, presents. cost: model evaluations, for
    progress and `plan`.
    """

    verb: Verb
    generation: int
    key: str
    reads: Mapping[str, object] = field(repr=False)
    needs: tuple[str, ...] = ()
    set: str = ""
    images: int = 0
    cost: float = 0.0

    @property
    def name(self) -> str:
        """The verb and the set, as in 'generate-pool'."""
        return f"{self.verb}-{self.set}" if self.set else self.verb

    @property
    def threads(self) -> int:
        """CPU threads that make it."""
        return cast(int, self.reads["threads"])

    @property
    def awaited(self) -> bool:
        """Whether the next generation is made from it; all other stages only measure."""
        makes = self.verb in ("base", "generate", "draw", "score", "curate", "train")
        return makes and self.set not in (EVALUATION, CHECK, HELD_OUT)

    @property
    def folder(self) -> str:
        return f"g{self.generation:02d}-{self.name}-{self.key}"


@dataclass(frozen=True)
class Checkpoint:
    """A generation's model: a folder that a generator wrote and that only generators open."""

    folder: Path


@dataclass(frozen=True)
class Samples:
    """An image set on disk: a folder with a table (`SAMPLES` columns) and the files that it names."""

    folder: Path

    @cached_property
    def table(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "samples.parquet")

    def of_prompt(self, text: str) -> pd.DataFrame:
        return self.table[self.table["prompt"] == text]


@dataclass(frozen=True)
class Selection:
    """The curation of one pool: the pool and a table with `SELECTION` columns."""

    pool: Samples
    table: pd.DataFrame

    @property
    def fed(self) -> pd.DataFrame:
        """One row per image and copy that is passed on, with the pool's own columns (prompt, file)."""
        rows = self.table[self.table["kept"]].merge(self.pool.table, on="id", validate="one_to_one")
        rows = rows.loc[rows.index.repeat(rows["copies"])]
        return rows.assign(folder=str(self.pool.folder), real=False)


@dataclass(frozen=True)
class Diet:
    """What a generation is trained on: one row per training image; an image passed on twice has two rows.

    Columns: id, prompt, folder, file in that folder, real (whether it comes from outside the loop), and the generator's
    own columns of samples.parquet.
    """

    table: pd.DataFrame


# ---- columns of the tables inside the store ----------------------------------------------------------

SAMPLES = ("id", "prompt", "image_seed", "file", "latent_sha256")
JUDGEMENTS = ("id", "concept", "score", "threshold", "answer", "reason")
SCORES = ("id", "score")
ATTRIBUTES = ("id", "attribute", "value", "score", "reason")
SELECTION = ("id", "score", "rank", "kept", "copies")
DIET = ("id", "prompt", "real")
MEASURES = (
    "table", "prompt", "reference", "metric", "item", "n", "value", "low", "high", "null_low", "null_high", "null_mean",
    "null_sd", "reason",
)  # fmt: skip

# ---- columns of the tables of a results folder -------------------------------------------------------

RATES = tuple(TABLES["rates"])
CHANGES = tuple(TABLES["changes"])
SUMMARY = tuple(TABLES["summary"])
LEDGER = tuple(TABLES["ledger"])
CHECKS = tuple(TABLES["checks"])
MEASURED = tuple(TABLES["diversity"])  # noise has the same
TAILS = tuple(TABLES["tails"])
VERDICTS = tuple(TABLES["verdicts"])
INSTRUMENTS = tuple(TABLES["instruments"])
AGREEMENT = tuple(TABLES["agreement"])
IMAGES = tuple(TABLES["images"])
RUN_JUDGEMENTS = tuple(TABLES["judgements"])
WITHHELD = ("run", "generation", "set", "asked", "withheld")  # in no file


def columns(table: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """The table with exactly these columns in this order; absent columns are filled with missing values. Raises
    ValueError for a column that is not in `names`."""
    if unknown := set(map(str, table)) - set(names):
        raise ValueError(f"unknown columns {', '.join(sorted(unknown))}; expected {', '.join(names)}")
    return table.reindex(columns=list(names))


def canonical(value: object) -> str:
    """A value as sorted JSON, for keys. Raises TypeError for objects, ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
