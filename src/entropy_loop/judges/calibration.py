"""A judge's calibration file: from which score on its answer is yes, and how often its answers are right.

    {"format": 1, "judge": {options}, "concepts": {concept: entry}, "joint": {name: entry}, ...}

An entry has what the judge was asked (of clip: `yes` and `no` texts), the `threshold`, `sensitivity` on `positives`
labelled images and `specificity` on `negatives`, with their intervals. That of several concepts in one image has
`concepts` in place of question and threshold. `entropy-loop calibrate` writes such a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from entropy_loop.data import ALL
from entropy_loop.errors import ConfigError

Entry = dict[str, Any]
Question = Mapping[str, Any]
"""What a judge is asked for a concept, as it stands in an entry; empty: whatever the calibration asked."""

OPTIONS = ("calibration", "calibration_revision")
"""The options that name a calibration file in a judge that can have one."""


@dataclass(frozen=True)
class Calibration:
    """What a file says of single concepts, of several in one image, and of both on degraded images (rows with kind,
    level, concept or name of several, n). file: its path if the config names it."""

    concepts: dict[str, Entry] = field(default_factory=dict)
    joint: dict[str, Entry] = field(default_factory=dict)
    degradations: tuple[Entry, ...] = ()
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


def own(path: Path) -> Calibration:
    """A model's own calibration; an empty one when it has none. Raises ConfigError for a file that is none."""
    return _parsed(path.read_bytes(), path)[0] if path.is_file() else Calibration()


def given(path: Path, wanted: str | None, judge: Any) -> Calibration:
    """The calibration in a file that the config names.

    Raises ConfigError when the file is not there or not of the wanted revision, which enters keys in the place of
    its content, and when it was fitted for a judge with other options.
    """
    if not path.is_file():
        raise ConfigError(f"calibration: {path}: no such file; `entropy-loop calibrate` writes one.")
    data = path.read_bytes()
    if wanted != (found := revision(data)):
        raise ConfigError(
            f"calibration_revision: {path} is {found!r}, the config says {wanted!r}; write the former into the config "
            "if the file is the one that is meant."
        )
    calibration, fitted = _parsed(data, path)
    if fitted != (asked := options(judge)):
        raise ConfigError(
            f"calibration: {path} was fitted for the judge {fitted}, not for {asked}; calibrate this one."
        )
    return replace(calibration, file=str(path))


def revision(data: bytes) -> str:
    """What enters keys for a file's content: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def options(judge: Any) -> dict[str, Any]:
    """What of a judge's options its scores follow from: all but those that name a calibration."""
    return {name: value for name, value in asdict(judge).items() if name not in OPTIONS}


def _parsed(data: bytes, path: Path) -> tuple[Calibration, dict[str, Any] | None]:
    """(calibration, the judge it was fitted for; None in a model's own, which lies with the model)."""
    try:
        content = json.loads(data)
        if content["format"] != 1:
            raise ConfigError(f"{path}: has format {content['format']!r}; this version of entropy-loop reads 1.")
        joint, degradations = dict(content.get("joint", {})), tuple(content.get("degradations", ()))
        return Calibration(dict(content["concepts"]), joint, degradations), content.get("judge")
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: is no calibration file; `entropy-loop calibrate` writes one.") from None
