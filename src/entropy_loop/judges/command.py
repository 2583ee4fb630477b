"""An external scorer in an environment of its own: one JSON object per line in, one per line out.

For models whose packages cannot live beside ours (HPS, ImageReward, VQAScore, ...). The command reads, on its standard
input, for every image `{"id": ..., "file": ..., "prompt": ...}` and as a judge also `"concept"`; `file` is absolute. On
its standard output it answers with the same `id` (and `concept`) and a `score`; what it says on standard error is shown
when it fails. A failure is an error and never an answer: nothing is recorded unless everything is answered once.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NotRequired, TypedDict

import pandas as pd
from pydantic import Field

from entropy_loop.contracts import Judge, Scorer, Weights
from entropy_loop.data import Concept, Prompt, Samples, Tick
from entropy_loop.errors import ConfigError, EntropyLoopError
from entropy_loop.judges import answers


class Question(TypedDict):
    """A line that the command reads. file: absolute. concept: asked of a judge."""

    id: str
    file: str
    prompt: str
    concept: NotRequired[str]


@dataclass(frozen=True)
class _Command:
    """What the scorer and the judge share: they start the command, ask it and check its answers."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """Program and arguments. No shell is started."""
    name: Annotated[str, Field(min_length=1)]
    """Name of the scorer in tables."""
    revision: str = "1"
    """Your name for what the command computes. Keys hold it, not the command's files: change it when they change."""
    range: tuple[float, float] | None = None
    """Lowest and highest score that the command can give. A score outside is an error."""
    timeout: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds for one set of images, above 0."""

    @property
    def label(self) -> str:
        """A short name for tables."""
        return self.name

    def weights(self) -> Weights:
        """The command line, which tells two commands apart."""
        return Weights(" ".join(self.command))

    def tflop_per_image(self) -> float | None:
        """For `plan`: not known."""
        return None

    def found(self) -> None:
        """Raises ConfigError when the program is not here."""
        if shutil.which(self.command[0]) is None:
            raise ConfigError(f"{self.name}: no program {self.command[0]!r} here, or it may not be executed.")

    def answers(self, asked: Sequence[Question]) -> dict[tuple[str, str], float]:
        """(id, concept) -> score. Raises EntropyLoopError unless every question has exactly one finite answer."""
        questions = "".join(json.dumps(one) + "\n" for one in asked)
        try:
            done = subprocess.run(  # noqa: S603 (the config's own command)
                self.command, input=questions, capture_output=True, text=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise EntropyLoopError(f"{self.name}: no end after {self.timeout:g} s; raise `timeout`.") from None
        except OSError as error:
            raise EntropyLoopError(f"{self.name}: {self.command[0]} cannot be started ({error}).") from None
        if done.returncode:
            told = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise EntropyLoopError(f"{self.name}: ended with code {done.returncode}; nothing was recorded.\n{told}")
        found = self._read(done.stdout)
        wanted = {(one["id"], one.get("concept", "")) for one in asked}
        self._refuse("did not answer", wanted - found.keys())
        self._refuse("answered what was not asked:", found.keys() - wanted)
        return found

    def _read(self, text: str) -> dict[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = {}
        for number, line in enumerate(filter(str.strip, text.splitlines()), start=1):
            try:
                row = json.loads(line)
                key, score = (str(row["id"]), str(row.get("concept", ""))), float(row["score"])
            except (ValueError, KeyError, TypeError, AttributeError):
                raise EntropyLoopError(f'{self.name}: line {number} is no {{"id", "score"}}: {line[:200]!r}.') from None
            low, high = self.range or (-math.inf, math.inf)
            if not (math.isfinite(score) and low <= score <= high):
                raise EntropyLoopError(f"{self.name}: score {score} of {key[0]} is not finite, or outside its range.")
            self._refuse("answered twice:", {key} & found.keys())
            found[key] = score
        return found

    def _refuse(self, what: str, keys: Iterable[tuple[str, str]]) -> None:
        if listed := sorted(" ".join(key).strip() for key in keys):
            more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
            raise EntropyLoopError(f"{self.name}: {what} {', '.join(listed[:3])}{more}; nothing was recorded.")


def _questions(samples: Samples, table: pd.DataFrame) -> Iterator[Question]:
    """One for each image of a part of the samples' table."""
    for image, file, prompt in table[["id", "file", "prompt"]].itertuples(index=False):
        yield {"id": image, "file": str((samples.folder / file).resolve()), "prompt": prompt}


@dataclass(frozen=True)
class CommandScorer(_Command, Scorer):
    """An external scorer as the curator: a score of every image for its prompt."""

    version: ClassVar[int] = 1

    def ready(self, prompts: tuple[str, ...]) -> None:
        """Raises ConfigError when the program is not here."""
        self.found()

    def score(self, samples: Samples, prompts: tuple[str, ...], tick: Tick) -> pd.DataFrame:
        table = samples.table[samples.table["prompt"].isin(prompts)]
        found = self.answers(list(_questions(samples, table)))
        return pd.DataFrame({"id": table["id"], "score": [found[image, ""] for image in table["id"]]})


@dataclass(frozen=True)
class CommandRecogniser(_Command, Judge):
    """An external scorer as a judge: a concept is recognised when its score is above the threshold."""

    version: ClassVar[int] = 1

    threshold: float = 0.5
    """Score above which the answer is yes, for every concept; in the command's own unit."""

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """Raises ConfigError when the program is not here."""
        self.found()

    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick: Tick
    ) -> pd.DataFrame:
        named = {prompt.text: prompt.concepts for prompt in prompts}
        asked: list[Question] = [
            {**question, "concept": concept}
            for question in _questions(samples, samples.table)
            for concept in named.get(question["prompt"], ())
        ]
        found = self.answers(asked)
        keys = [(one["id"], one["concept"]) for one in asked]
        return answers.judged([(*key, found[key], self.threshold) for key in keys], self.label, samples)
