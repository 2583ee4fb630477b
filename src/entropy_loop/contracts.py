"""The contract of every kind of plug-in.

A plug-in is a frozen dataclass whose fields are its options, with a `version` of its own. One that extends the class of
its kind inherits the optional members and writes the abstract ones; one that does not writes every member. `registry`
checks the names when a plug-in is loaded, mypy checks the types, and `validation` checks the tables that come back.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypedDict, TypeVar

import numpy as np
import pandas as pd

from entropy_loop.assets import Download
from entropy_loop.data import ALL, Checkpoint, Concept, Diet, Prompt, Request, Samples, Tick, TrainSettings
from entropy_loop.errors import ConfigError
from entropy_loop.storage.store import Store

Of = TypeVar("Of")
ChainT = TypeVar("ChainT")


class Plugin(Protocol):
    """What every plug-in has.

    version: enters keys; raise it when the same options come to mean something else. Every class sets its own.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    version: ClassVar[int]

    def downloads(self) -> list[Download]:
        """The models of the hub that it needs. Nothing, unless it says so."""
        return []


# ---- generators and real data --------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """What one image costs a generator.

    TFLOP: `sample` for one image in all, `encode` for one image of a diet, `present` for one image of a training step.
    half: whether images are made at two bytes per number. Bytes: `image` and `weights` of a generation on disk;
    `sampling` and `training` in the device's memory, for which activations are only estimated and judges are left out.
    """

    sample: float = 0.0
    encode: float = 0.0
    present: float = 0.0
    half: bool = False
    image: int = 0
    weights: int = 0
    sampling: int = 0
    training: int = 0


class Origin(NamedTuple):
    """The checkpoint that generation 0 is: its name and, where it has one, its revision."""

    checkpoint: str
    revision: str | None


class Generator(Plugin, Protocol):
    """Makes images from a model and trains the next generation's model on a diet.

    withholds: whether a set may have fewer images than were asked for, as with a safety checker.
    """

    @property
    def withholds(self) -> bool:
        return False

    @property
    def origin(self) -> Origin | None:
        """The checkpoint that generation 0 is; None for a toy, which has no weights."""
        return None

    @abstractmethod
    def evaluations_per_image(self) -> float:
        """Model evaluations that an image takes."""
        ...

    @abstractmethod
    def ready(self, prompts: tuple[str, ...], settings: TrainSettings) -> None:
        """Raises ConfigError when it cannot make images of these prompts here, or cannot be trained so."""
        ...

    @abstractmethod
    def base(self, out: Path, tick: Tick) -> None:
        """Write generation 0's model."""
        ...

    @abstractmethod
    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet (columns `data.SAMPLES` and the generator's own, none of images.parquet's other ones),
        one row per image in the order of the requests, and the files that it names; each image has its request's
        seed."""
        ...

    @abstractmethod
    def train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path, tick: Tick
    ) -> None:
        """Write the model that comes of training `start` on the diet. step_seeds: one per optimisation step."""
        ...

    def costs(self, settings: TrainSettings) -> Costs | None:
        """What an image costs; None where nobody can tell yet. A toy costs nothing."""
        return Costs()

    def for_few(self, images: int) -> Self:
        """The same generator for sets with so few images of a prompt."""
        return self

    def split(self, requests: list[Request]) -> list[list[Request]]:
        """The parts of a set that can be sampled apart."""
        return [requests]

    def join(self, parts: list[Path], out: Path) -> None:
        """Put parts that were sampled apart together, in the order of the requests. Only called with several parts."""
        raise NotImplementedError(f"{type(self).__name__} splits nothing, so there is nothing to join.")

    def loading(self, settings: TrainSettings, request: Request) -> str:
        """Lines of Python that load a trained generation without this package and make the picture of a request; empty
        where there is no way."""
        return ""


class Real(Plugin, Protocol):
    """Images from outside the loop."""

    @abstractmethod
    def ready(self) -> None:
        """Raises ConfigError when the images are not here."""
        ...

    @abstractmethod
    def stock(self, prompt: str) -> int | None:
        """How many images of a prompt there are; None for no end."""
        ...

    @abstractmethod
    def draw(self, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet and its files: image `index` of each request's prompt."""
        ...

    def check_prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Check prompts for a config with these prompts; none where the world knows no others."""
        return []

    def can_teach(self, concept: str) -> bool:
        """Whether it has images of a concept, under captions of their own."""
        return False

    def ready_to_teach(self, concepts: tuple[str, ...], images: int, prompts: tuple[str, ...]) -> None:
        """Raises ConfigError when there are fewer than so many images of a concept."""
        raise ConfigError(f"reteach: {type(self).__name__} has no images to teach concepts with.")

    def teach(self, requests: list[Request], prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
        """As `draw`, but a request's prompt is a concept, and each image has a caption of its own."""
        raise ConfigError(f"reteach: {type(self).__name__} has no images to teach concepts with.")


# ---- what looks at images ------------------------------------------------------------------------------


class Weights(NamedTuple):
    """Which weights a scorer or a judge looks with: a model, and the tag where the model's name has several."""

    model: str
    pretrained: str | None = None


class _Observer(Plugin, Protocol):
    """What scorers, judges, embedders and readers have in common."""

    def tflop_per_image(self) -> float | None:
        """TFLOP that an image takes; None where nobody can tell yet."""
        return 0.0

    def readable(self, texts: Iterable[str], where: str) -> None:
        """Raises ConfigError, with the place `where`, for a text that it cannot read whole. Reads any, unless it says
        so."""
        return

    def weights(self) -> Weights | None:
        """The weights that it looks with; None where it has none. What selects must not measure."""
        return None

    def description(self) -> str | None:
        """What its answers depend on beside the images, as JSON: kept beside its table as model.json."""
        return None


class Scorer(_Observer, Protocol):
    """Scores the images of target prompts, for the curation."""

    @abstractmethod
    def ready(self, prompts: tuple[str, ...]) -> None:
        """Raises ConfigError when it cannot score images of these prompts."""
        ...

    @abstractmethod
    def score(self, samples: Samples, prompts: tuple[str, ...], tick: Tick) -> pd.DataFrame:
        """One row (columns `data.SCORES`: id, score) for every image of these prompts."""
        ...


class Entry(TypedDict, total=False):
    """What a calibration says of a concept, or of several in one image.

    threshold: from which score on the answer is yes. sensitivity, specificity: on so many `positives` and `negatives`.
    reason: why these are missing. concepts: of an entry of several. yes, no: the texts that were asked.
    """

    threshold: float
    sensitivity: float
    specificity: float
    positives: int
    negatives: int
    reason: str
    concepts: list[str]
    yes: list[str]
    no: list[str]


Question = Mapping[str, list[str]]
"""What a judge is asked for a concept, as it stands in an entry; empty: whatever the calibration asked."""


class Degradation(TypedDict):
    """How often a judge is right on images that were made worse. concept: or the name of several."""

    kind: str
    level: float
    concept: str
    n: int
    sensitivity: float | None
    specificity: float | None


@dataclass(frozen=True)
class Calibration:
    """What a calibration file says of single concepts, of several in one image, and of both on degraded images.

    file: its path if the config names it.
    """

    concepts: Mapping[str, Entry] = field(default_factory=dict)
    joint: Mapping[str, Entry] = field(default_factory=dict)
    degradations: tuple[Degradation, ...] = ()
    file: str = ""

    def entry(self, concept: str, asked: Question) -> Entry | None:
        """The concept's entry if it was calibrated with this very question. Raises ConfigError where a file that the
        config names was fitted with another one: the config says two things."""
        entry = self.concepts.get(concept)
        if entry is None or all(entry.get(name) == value for name, value in asked.items()):
            return entry
        if self.file:
            raise ConfigError(
                f"concepts.{concept}: its texts are not those that {self.file} was fitted with; calibrate anew, or "
                "leave the texts out."
            )
        return None

    def measured(self, asked: Mapping[str, Question]) -> dict[str, Entry]:
        """The entries of the concepts that were calibrated so, and as `all` that of all of them in one image."""
        entries = {name: entry for name, question in asked.items() if (entry := self.entry(name, question))}
        if len(entries) < len(asked):
            return entries
        joint = [entry for entry in self.joint.values() if sorted(entry.get("concepts", ())) == sorted(asked)]
        if len(entries) == 1:  # of one concept, all of them is that one
            joint = list(entries.values())
        return entries | {ALL: joint[0]} if joint else entries


class Judge(_Observer, Protocol):
    """Says of every image which concepts of its prompt it recognises.

    averages_mirror: whether an answer averages an image and its mirror image; then no mirror check is reported.
    """

    averages_mirror: ClassVar[bool] = False

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in tables."""
        ...

    @abstractmethod
    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """Raises ConfigError when it cannot be asked for these concepts."""
        ...

    @abstractmethod
    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick: Tick
    ) -> pd.DataFrame:
        """One row (columns `data.JUDGEMENTS`: id, concept, score, threshold, answer, reason) for every image of these
        prompts and every concept of its prompt. An answer is true or false; where there is none it is missing, with the
        reason. Score and threshold may be missing."""
        ...

    def calibration_in_force(self) -> Calibration | None:
        """Its calibration, which may be empty; None for a kind of judge that has none. Raises ConfigError when the
        file or the model is not here."""
        return None

    def measured(self, concepts: tuple[Concept, ...]) -> dict[str, Entry] | None:
        """What the calibration says of these concepts as they are asked here, and of `all` of them in one image; None
        for a kind of judge that has none."""
        return None

    def without_calibration(self) -> CalibratedJudge | None:
        """The judge with no calibration but its model's own, for `calibrate`; None for a kind that cannot have one."""
        return None


class CalibratedJudge(Judge, Protocol):
    """A judge whose thresholds `calibrate` can fit."""

    @abstractmethod
    def question(self, concept: Concept) -> dict[str, list[str]]:
        """What is asked for a concept, as a calibration file keeps it."""
        ...


class Embedded(NamedTuple):
    """What an embedder made of a set, row by row as its table. vectors: float32 (images, d). noise: one column per
    index, from the files' own pixels."""

    vectors: np.ndarray
    noise: pd.DataFrame


class Embedder(_Observer, Protocol):
    """Makes image embeddings, for diversity, distance and copying."""

    @abstractmethod
    def ready(self) -> None:
        """Raises ConfigError when the model is not here."""
        ...

    @abstractmethod
    def embed(self, samples: Samples, tick: Tick) -> Embedded:
        """One vector and one row of noise indices for every image, in the samples' order."""
        ...


class Attribute(TypedDict):
    """An attribute that a reader knows. answers: in the order of the network's outputs. values: those of them that are
    values. threshold: the least probability of a value. confusion: by version of the images, a matrix of shares."""

    answers: list[str]
    values: list[str]
    threshold: float
    confusion: dict[str, list[list[float]]]


class Reader(_Observer, Protocol):
    """Reads attributes, such as the coat of a horse."""

    @abstractmethod
    def ready(self, attributes: Mapping[str, tuple[str, ...]]) -> None:
        """Raises ConfigError when it does not read one of these attributes or values."""
        ...

    @abstractmethod
    def attributes(self) -> Mapping[str, Attribute]:
        """Every attribute that it knows."""
        ...

    @abstractmethod
    def read(self, samples: Samples, tick: Tick) -> pd.DataFrame:
        """One row (columns `data.ATTRIBUTES`: id, attribute, value, score, reason) for every image and attribute; where
        there is no value it is missing, with the reason."""
        ...


# ---- curation and feedback -----------------------------------------------------------------------------


class Policy(Plugin, Protocol):
    """Which of a pool's images are passed on: a pure function of their scores.

    reads_scores: whether a scorer is asked at all; a policy without scores is not touched by the scorer. asks_people:
    whether the scores are people's picks, for which a run waits. raters: how many people pick. repeats: whether an
    image can be chosen more than once. size_known: whether the config tells how many are passed on.
    """

    reads_scores: ClassVar[bool] = True
    asks_people: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    size_known: ClassVar[bool] = True
    raters: int = 0

    @property
    def selects(self) -> bool:
        """Whether some images are preferred to others."""
        return self.reads_scores or self.asks_people

    def most_kept(self, images: int) -> int:
        """How many of a pool's images are passed on, at most."""
        return images

    def check(self, images: int) -> None:
        """Raises ConfigError when no pool of that size can serve this policy."""
        return

    def kept(self, images: int) -> str:
        """What it passes on of a pool, in words, as in 'the 32 best'."""
        return f"at most {self.most_kept(images)}, by the policy {type(self).__name__}"

    @abstractmethod
    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        """One prompt's scores (columns id, score; one row per image of the pool) and the seed of this curation; returns
        the same images with columns `data.SELECTION`. The order of the rows must not matter."""
        ...


class Regime(Plugin, Protocol):
    """Which generations' kept images enter a diet, and how much real data.

    real_fraction: share of the diet that is real data. fresh: new real images in every step, else one fixed set.
    subsamples: the eaten images are cut to as many as the newest generation kept.
    """

    real_fraction: float = 0.0
    fresh: ClassVar[bool] = False
    subsamples: ClassVar[bool] = False

    def eats(self, history: Sequence[Of]) -> Sequence[Of]:
        """The generations whose kept images enter the diet, oldest first. It must never look inside an entry."""
        return history[-1:]

    def real_images(self, kept: int) -> int:
        """How many real images make up `real_fraction` beside `kept` synthetic ones. At 1 the real images take the
        place of the kept ones, one for one."""
        return kept if self.real_fraction == 1 else round(kept * self.real_fraction / (1 - self.real_fraction))

    def fed(self) -> str:
        """What it feeds back of the kept images, in words."""
        return f"what the regime {type(self).__name__} makes of the kept images"


# ---- engines -------------------------------------------------------------------------------------------


class Engine(Plugin, Protocol):
    """Where chains are carried. No result depends on it, and it is in no key."""

    @abstractmethod
    def ready(self) -> None:
        """Raises ConfigError when it cannot run here."""
        ...

    @abstractmethod
    def carry(
        self,
        chains: Sequence[ChainT],
        store: Store,
        work: Callable[[ChainT, Store], None],
        between: Callable[[], None],
        threads: int,
    ) -> None:
        """Call `work` for every chain, and `between` now and then. threads: of each worker."""
        ...
