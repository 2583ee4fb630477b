"""A judge's calibration file: from which score on its answer is yes, and how often its answers are right.

    {"format": 1, "judge": {options}, "concepts": {concept: entry}, "joint": {name: entry}, ...}

An entry has what the judge was asked (of clip: `yes` and `no` texts), the `threshold`, `sensitivity` on `positives`
labelled images and `specificity` on `negatives`, with their intervals. That of several concepts in one image has
`concepts` in place of question and threshold. `entropy-loop calibrate` writes such a file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from entropy_loop.contracts import Calibration, Judge
from entropy_loop.errors import ConfigError

OPTIONS = ("calibration", "calibration_revision")
"""The options that name a calibration file in a judge that can have one."""


def own(path: Path) -> Calibration:
    """A model's own calibration; an empty one when it has none. Raises ConfigError for a file that is none."""
    return _parsed(path.read_bytes(), path)[0] if path.is_file() else Calibration()


def given(path: Path, wanted: str | None, judge: Judge) -> Calibration:
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


def options(judge: Judge) -> dict[str, object]:
    """What of a judge's options its scores follow from: all but those that name a calibration."""
    return {name: value for name, value in asdict(judge).items() if name not in OPTIONS}


def _parsed(data: bytes, path: Path) -> tuple[Calibration, dict[str, object] | None]:
    """(calibration, the judge it was fitted for; None in a model's own, which lies with the model)."""
    try:
        content = json.loads(data)
        if content["format"] != 1:
            raise ConfigError(f"{path}: has format {content['format']!r}; this version of entropy-loop reads 1.")
        joint, degradations = dict(content.get("joint", {})), tuple(content.get("degradations", ()))
        return Calibration(dict(content["concepts"]), joint, degradations), content.get("judge")
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: is no calibration file; `entropy-loop calibrate` writes one.") from None
