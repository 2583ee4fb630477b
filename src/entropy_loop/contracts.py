"""The contract of every kind of plug-in.

A plug-in is a frozen dataclass with a `version` of its own; its fields are its options, each described by the docstring
under it. Extend the class of its kind and implement the abstract members; the others have defaults. A plug-in that does
not extend it implements every member. `registry` checks the names when a plug-in is loaded, mypy checks the types, and
`validation` checks the tables that it returns.
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
    """Base of all plug-ins.

    version: enters keys; raise it when the same options give another result. Every class sets its own.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    version: ClassVar[int]

    def downloads(self) -> list[Download]:
        """The models of the hub that it needs; none by default."""
        return []


# ---- generators and real data --------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """A generator's costs.

    In TFLOP: `sample` per generated image, `encode` per image of a diet, `present` per image of a training step. half:
    whether images are made at two bytes per number. In bytes: `image` and `weights` of a generation on disk; `sampling`
    and `training` in the device's memory, with estimated activations and without judges.
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
    """Generation 0's checkpoint: its name and, if it has one, its revision."""

    checkpoint: str
    revision: str | None


class Generator(Plugin, Protocol):
    """Makes images from a model and trains the next generation's model on a diet.

    withholds: whether a set may have fewer images than requested, as with a safety checker.
    """

    @property
    def withholds(self) -> bool:
        return False

    @property
    def origin(self) -> Origin | None:
        """Generation 0's checkpoint; None for a toy, which has no weights."""
        return None

    @abstractmethod
    def evaluations_per_image(self) -> float:
        """Number of model evaluations per image."""
        ...

    @abstractmethod
    def ready(self, prompts: tuple[str, ...], settings: TrainSettings) -> None:
        """Raises ConfigError if it cannot make images of these prompts here, or cannot be trained like this."""
        ...

    @abstractmethod
    def base(self, out: Path, tick: Tick) -> None:
        """Write generation 0's model."""
        ...

    @abstractmethod
    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet and the files that it names: one row per image in the order of the requests, with its
        request's seed. Columns: `data.SAMPLES` and the generator's own, whose names must not be other columns of
        images.parquet."""
        ...

    @abstractmethod
    def train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path, tick: Tick
    ) -> None:
        """Train `start` on the diet and write the new model. step_seeds: one per optimisation step."""
        ...

    def costs(self, settings: TrainSettings) -> Costs | None:
        """The costs of an image; None if they are not known yet. A toy costs nothing."""
        return Costs()

    def for_few(self, images: int) -> Self:
        """The same generator, for sets with at most this many images per prompt."""
        return self

    def split(self, requests: list[Request]) -> list[list[Request]]:
        """The set in parts that can be sampled independently."""
        return [requests]

    def join(self, parts: list[Path], out: Path) -> None:
        """Merge the folders of several independently sampled parts, in the order of the requests."""
        raise NotImplementedError(f"{type(self).__name__} does not split sets, so it cannot join parts.")

    def loading(self, settings: TrainSettings, request: Request) -> str:
        """Python lines that load a trained generation without this package and make a request's image, or ''."""
        return ""


class Real(Plugin, Protocol):
    """Images from outside the loop."""

    @abstractmethod
    def ready(self) -> None:
        """Raises ConfigError if the images are not available."""
        ...

    @abstractmethod
    def stock(self, prompt: str) -> int | None:
        """Number of images of a prompt; None if unlimited."""
        ...

    @abstractmethod
    def draw(self, requests: list[Request], out: Path, tick: Tick) -> None:
        """Write samples.parquet and its files: for each request, image `index` of its prompt."""
        ...

    def check_prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Check prompts for a config with these prompts; none by default."""
        return []

    def can_teach(self, concept: str) -> bool:
        """Whether it has images of a concept, with captions of their own."""
        return False

    def ready_to_teach(self, concepts: tuple[str, ...], images: int, prompts: tuple[str, ...]) -> None:
        """Raises ConfigError if a concept has fewer images than `images`."""
        raise ConfigError(f"reteach: {type(self).__name__} has no images of single concepts.")

    def teach(self, requests: list[Request], prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
        """Like `draw`, but a request's prompt is a concept, and each image has a caption of its own."""
        raise ConfigError(f"reteach: {type(self).__name__} has no images of single concepts.")


# ---- scorers, judges, embedders and readers ------------------------------------------------------------


class Weights(NamedTuple):
    """The weights of a scorer or judge: the model, and the tag if there are several weights of that name."""

    model: str
    pretrained: str | None = None


class _Observer(Plugin, Protocol):
    """Base of scorers, judges, embedders and readers."""

    def tflop_per_image(self) -> float | None:
        """TFLOP per image; None if not known yet."""
        return 0.0

    def readable(self, texts: Iterable[str], where: str) -> None:
        """Raises ConfigError for a text that it cannot read whole. where: the text's place in the config."""
        return

    def weights(self) -> Weights | None:
        """Its weights; None if it has none. The same weights must not both select and measure."""
        return None

    def description(self) -> str | None:
        """JSON of everything besides the images that its answers depend on; it becomes model.json."""
        return None


class Scorer(_Observer, Protocol):
    """Scores the images of target prompts for curation."""

    @abstractmethod
    def ready(self, prompts: tuple[str, ...]) -> None:
        """Raises ConfigError if it cannot score images of these prompts."""
        ...

    @abstractmethod
    def score(self, samples: Samples, prompts: tuple[str, ...], tick: Tick) -> pd.DataFrame:
        """One row (columns `data.SCORES`: id, score) for every image of these prompts."""
        ...


class Entry(TypedDict, total=False):
    """The calibration of one concept, or of several in one image.

    threshold: the score above which the answer is yes. sensitivity, specificity: measured on `positives` and
    `negatives` images. reason: why these are missing. concepts: set only in an entry of several. yes, no: the
    contrastive texts.
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
"""The texts that a judge is asked for a concept, by their key in an Entry; empty: those of the calibration."""


class Degradation(TypedDict):
    """A judge's accuracy on `n` degraded images. concept: one concept, or the name of several in one image."""

    kind: str
    level: float
    concept: str
    n: int
    sensitivity: float | None
    specificity: float | None


@dataclass(frozen=True)
class Calibration:
    """A calibration file: entries for single concepts, for several in one image, and for both on degraded images.

    file: its path, if the config names it.
    """

    concepts: Mapping[str, Entry] = field(default_factory=dict)
    joint: Mapping[str, Entry] = field(default_factory=dict)
    degradations: tuple[Degradation, ...] = ()
    file: str = ""

    def entry(self, concept: str, asked: Question) -> Entry | None:
        """The concept's entry, if it was calibrated with this question. Raises ConfigError if the config names a file
        that was fitted with another question."""
        entry = self.concepts.get(concept)
        if entry is None or all(entry.get(name) == value for name, value in asked.items()):
            return entry
        if self.file:
            raise ConfigError(
                f"concepts.{concept}: {self.file} was fitted with other texts; calibrate again, or remove the texts "
                "from the config."
            )
        return None

    def measured(self, asked: Mapping[str, Question]) -> dict[str, Entry]:
        """The entries of concepts calibrated with these questions, and as `all` that of all in one image."""
        entries = {name: entry for name, question in asked.items() if (entry := self.entry(name, question))}
        if len(entries) < len(asked):
            return entries
        joint = [entry for entry in self.joint.values() if sorted(entry.get("concepts", ())) == sorted(asked)]
        if len(entries) == 1:  # the joint entry of a single concept is its own
            joint = list(entries.values())
        return entries | {ALL: joint[0]} if joint else entries


class Judge(_Observer, Protocol):
    """Recognises the concepts of an image's prompt.

    averages_mirror: whether an answer averages an image and its mirror image. Then no mirror check is reported.
    """

    averages_mirror: ClassVar[bool] = False

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in tables."""
        ...

    @abstractmethod
    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """Raises ConfigError if it cannot recognise these concepts."""
        ...

    @abstractmethod
    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick: Tick
    ) -> pd.DataFrame:
        """One row (columns `data.JUDGEMENTS`: id, concept, score, threshold, answer, reason) for every image of these
        prompts and every concept of its prompt. An answer is true, false, or missing with a reason. Score and threshold
        may be missing."""
        ...

    def calibration_in_force(self) -> Calibration | None:
        """Its calibration, which may be empty; None if judges of this kind have none. Raises ConfigError if the file or
        the model is missing."""
        return None

    def measured(self, concepts: tuple[Concept, ...]) -> dict[str, Entry] | None:
        """The calibration's entries for these concepts and their texts, and for `all` of them in one image; None if
        judges of this kind have none."""
        return None

    def without_calibration(self) -> CalibratedJudge | None:
        """The judge with only its model's own calibration, for `calibrate`; None if judges of this kind have none."""
        return None


class CalibratedJudge(Judge, Protocol):
    """A judge whose thresholds `calibrate` can fit."""

    @abstractmethod
    def question(self, concept: Concept) -> dict[str, list[str]]:
        """The texts that it is asked for a concept, as in a calibration file."""
        ...


class Embedded(NamedTuple):
    """An embedder's result for a set, in the order of its table. vectors: float32 (images, d). noise: one column per
    noise index, computed from the files' own pixels."""

    vectors: np.ndarray
    noise: pd.DataFrame


class Embedder(_Observer, Protocol):
    """Computes image embeddings for diversity, distance and copying."""

    @abstractmethod
    def ready(self) -> None:
        """Raises ConfigError if the model is missing."""
        ...

    @abstractmethod
    def embed(self, samples: Samples, tick: Tick) -> Embedded:
        """One vector and one row of noise indices for every image, in the samples' order."""
        ...


class Attribute(TypedDict):
    """An attribute that a reader knows. answers: in the order of the network's outputs. values: the answers that are
    values. threshold: lowest probability of a value. confusion: version of the images -> matrix of shares."""

    answers: list[str]
    values: list[str]
    threshold: float
    confusion: dict[str, list[list[float]]]


class Reader(_Observer, Protocol):
    """Reads attributes, such as the coat of a horse."""

    @abstractmethod
    def ready(self, attributes: Mapping[str, tuple[str, ...]]) -> None:
        """Raises ConfigError for an attribute or value that it cannot read."""
        ...

    @abstractmethod
    def attributes(self) -> Mapping[str, Attribute]:
        """Every attribute that it knows."""
        ...

    @abstractmethod
    def read(self, samples: Samples, tick: Tick) -> pd.DataFrame:
        """One row (columns `data.ATTRIBUTES`: id, attribute, value, score, reason) for every image and attribute. A
        value may be missing, with a reason."""
        ...


# ---- curation and feedback -----------------------------------------------------------------------------


class Policy(Plugin, Protocol):
    """Selects the images of a pool that are passed on: a pure function of their scores.

    reads_scores: whether it needs a scorer; if not, the scorer enters no key. asks_people: whether the scores are
    people's picks, for which a run waits. raters: number of people who pick. repeats: whether an image can be chosen
    more than once. size_known: whether the config fixes how many images are passed on.
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
        """Largest number of images that are passed on from a pool of `images`."""
        return images

    def check(self, images: int) -> None:
        """Raises ConfigError if a pool of `images` is too small."""
        return

    def kept(self, images: int) -> str:
        """What it passes on from a pool, in words, as in 'the 32 best'."""
        return f"at most {self.most_kept(images)}, by the policy {type(self).__name__}"

    @abstractmethod
    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        """The same images with columns `data.SELECTION`. scores: one prompt's (columns id, score; one row per image of
        the pool). seed: of this curation. The result must not depend on the order of the rows."""
        ...


class Regime(Plugin, Protocol):
    """Says which generations' kept images enter a diet, and how many real images.

    real_fraction: share of real images in the diet. fresh: whether every step has new real images, else all have the
    same. subsamples: whether the diet is a random part of these images, as many as the newest generation kept.
    """

    real_fraction: float = 0.0
    fresh: ClassVar[bool] = False
    subsamples: ClassVar[bool] = False

    def eats(self, history: Sequence[Of]) -> Sequence[Of]:
        """The generations whose kept images enter the diet, oldest first. It must not look inside an entry."""
        return history[-1:]

    def real_images(self, kept: int) -> int:
        """Number of real images that are `real_fraction` of a diet with `kept` generated ones. At 1 real images replace
        the kept ones, one for one."""
        return kept if self.real_fraction == 1 else round(kept * self.real_fraction / (1 - self.real_fraction))

    def fed(self) -> str:
        """What the next generation is trained on, in words, as in 'what the generation before it kept'."""
        return f"what the regime {type(self).__name__} makes of the kept images"


# ---- engines -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Needs:
    """What one worker takes: CPU threads, and bytes of memory, roughly. tflop: the work of the whole plan; infinite if
    the generator's is unknown."""

    threads: int
    memory: int
    tflop: float


class Engine(Plugin, Protocol):
    """Runs the chains. No result depends on it, and it is in no key."""

    @abstractmethod
    def ready(self, needs: Needs) -> None:
        """Raises ConfigError if it cannot run on this machine. needs: of one worker."""
        ...

    @abstractmethod
    def carry(
        self,
        chains: Sequence[ChainT],
        store: Store,
        work: Callable[[ChainT, Store], None],
        between: Callable[[], None],
        needs: Needs,
    ) -> None:
        """Call `work` for every chain, and `between` now and then. needs: of one worker."""
        ...
