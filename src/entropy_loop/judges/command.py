"""An external scorer in an environment of its own: one JSON object per line in, one per line out.

For models whose packages conflict with ours (HPS, ImageReward, VQAScore, ...). The command reads a line
`{"id": ..., "file": ..., "prompt": ...}` for every image from its standard input, as a judge also with a `"concept"`;
`file` is absolute. It writes a line with the same `id` (and `concept`) and a `score` to its standard output. When it
fails, the end of its standard error is shown. Nothing is recorded unless every question has exactly one answer.
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
    """A line that the command reads. file: absolute path. concept: for a judge only."""

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
        return self.name

    def weights(self) -> Weights:
        """The command line stands for the weights."""
        return Weights(" ".join(self.command))

    def tflop_per_image(self) -> float | None:
        return None

    def check_program(self) -> None:
        """Raises ConfigError when the program is missing."""
        if shutil.which(self.command[0]) is None:
            raise ConfigError(f"{self.name}: no program {self.command[0]!r} here, or it is not executable.")

    def ask(self, questions: Sequence[Question]) -> dict[tuple[str, str], float]:
        """(id, concept) -> score. Raises EntropyLoopError unless every question has exactly one finite answer."""
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        try:
            process = subprocess.run(  # noqa: S603 (the config's own command)
                self.command, input=lines, capture_output=True, text=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise EntropyLoopError(f"{self.name}: not finished after {self.timeout:g} s; raise `timeout`.") from None
        except OSError as error:
            raise EntropyLoopError(f"{self.name}: {self.command[0]} cannot be started ({error}).") from None
        if code := process.returncode:
            stderr = "\n".join(process.stderr.strip().splitlines()[-5:])
            raise EntropyLoopError(f"{self.name}: ended with code {code}; nothing was recorded.\n{stderr}")
        scores = self._parse(process.stdout)
        expected = {(question["id"], question.get("concept", "")) for question in questions}
        self._fail("did not answer", expected - scores.keys())
        self._fail("answered what was not asked:", scores.keys() - expected)
        return scores

    def _parse(self, text: str) -> dict[tuple[str, str], float]:
        """(id, concept) -> score. Raises EntropyLoopError for a line or score that is wrong, and a second answer."""
        scores: dict[tuple[str, str], float] = {}
        for number, line in enumerate(filter(str.strip, text.splitlines()), start=1):
            try:
                row = json.loads(line)
                key, score = (str(row["id"]), str(row.get("concept", ""))), float(row["score"])
            except (ValueError, KeyError, TypeError, AttributeError):
                raise EntropyLoopError(f'{self.name}: line {number} is no {{"id", "score"}}: {line[:200]!r}.') from None
            low, high = self.range or (-math.inf, math.inf)
            if not (math.isfinite(score) and low <= score <= high):
                raise EntropyLoopError(f"{self.name}: score {score} of {key[0]} is not finite, or outside its range.")
            self._fail("answered twice:", {key} & scores.keys())
            scores[key] = score
        return scores

    def _fail(self, fault: str, keys: Iterable[tuple[str, str]]) -> None:
        """Raises EntropyLoopError when there are keys with this fault."""
        if listed := sorted(" ".join(key).strip() for key in keys):
            more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
            raise EntropyLoopError(f"{self.name}: {fault} {', '.join(listed[:3])}{more}; nothing was recorded.")


def _questions(samples: Samples, table: pd.DataFrame) -> Iterator[Question]:
    """One question for each row of a part of the samples' table."""
    for image, file, prompt in table[["id", "file", "prompt"]].itertuples(index=False):
        yield {"id": image, "file": str((samples.folder / file).resolve()), "prompt": prompt}


@dataclass(frozen=True)
class CommandScorer(_Command, Scorer):
    """An external scorer as the curator: a score of every image for its prompt."""

    version: ClassVar[int] = 1

    def ready(self, prompts: tuple[str, ...]) -> None:
        self.check_program()

    def score(self, samples: Samples, prompts: tuple[str, ...], tick: Tick) -> pd.DataFrame:
        table = samples.table[samples.table["prompt"].isin(prompts)]
        scores = self.ask(list(_questions(samples, table)))
        return pd.DataFrame({"id": table["id"], "score": [scores[image, ""] for image in table["id"]]})


@dataclass(frozen=True)
class CommandRecogniser(_Command, Judge):
    """An external scorer as a judge: a concept is recognised when its score is above the threshold."""

    version: ClassVar[int] = 1

    threshold: float = 0.5
    """Score above which the answer is yes, for every concept; in the command's own unit."""

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        self.check_program()

    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick: Tick
    ) -> pd.DataFrame:
        of_prompt = {prompt.text: prompt.concepts for prompt in prompts}
        questions: list[Question] = [
            {**question, "concept": concept}
            for question in _questions(samples, samples.table)
            for concept in of_prompt.get(question["prompt"], ())
        ]
        scores = self.ask(questions)
        keys = [(question["id"], question["concept"]) for question in questions]
        return answers.judgements([(*key, scores[key], self.threshold) for key in keys], self.label, samples)
