"""A judge's calibration file: the thresholds above which its answer is yes, and how often its answers are right.

    {"format": 1, "judge": {options}, "concepts": {concept: entry}, "joint": {name: entry}, ...}

An entry has the judge's question (for clip: `yes` and `no` texts), the `threshold`, the `sensitivity` on `positives`
labelled images and the `specificity` on `negatives`, with their intervals. An entry for several concepts in one image
has `concepts` instead of question and threshold. `entropy-loop calibrate` writes such a file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from entropy_loop.contracts import Calibration, Judge
from entropy_loop.errors import ConfigError

OPTIONS = ("calibration", "calibration_revision")
"""A judge's options that name a calibration file."""


def of_model(path: Path) -> Calibration:
    """The calibration that comes with a model; empty when there is no such file. Raises ConfigError for a file that is
    no calibration."""
    return _parsed(path.read_bytes(), path)[0] if path.is_file() else Calibration()


def of_config(path: Path, expected: str | None, judge: Judge) -> Calibration:
    """The calibration in a file that the config names.

    Raises ConfigError when the file is missing, when it does not have the expected revision (which keys hold in the
    place of its content), and when it was fitted for a judge with other options.
    """
    if not path.is_file():
        raise ConfigError(f"calibration: {path}: no such file; `entropy-loop calibrate` writes one.")
    data = path.read_bytes()
    if expected != (actual := revision(data)):
        raise ConfigError(
            f"calibration_revision: {path} is {actual!r}, the config says {expected!r}; set "
            f'`calibration_revision: "{actual}"` if this is the right file.'
        )
    calibration, fitted = _parsed(data, path)
    if fitted != (configured := options(judge)):
        raise ConfigError(
            f"calibration: {path} was fitted for the judge {fitted}, not for {configured}; calibrate this one."
        )
    return replace(calibration, file=str(path))


def revision(data: bytes) -> str:
    """The first 16 hex digits of a file's SHA-256: they stand for its content in keys."""
    return hashlib.sha256(data).hexdigest()[:16]


def options(judge: Judge) -> dict[str, object]:
    """The options that a judge's scores depend on: all but those that name a calibration."""
    return {name: value for name, value in asdict(judge).items() if name not in OPTIONS}


def _parsed(data: bytes, path: Path) -> tuple[Calibration, dict[str, object] | None]:
    """(calibration, options of the judge that it was fitted for). A model's own has None as the options."""
    try:
        content = json.loads(data)
        if content["format"] != 1:
            raise ConfigError(f"{path}: has format {content['format']!r}; this version of entropy-loop reads 1.")
        joint, degradations = dict(content.get("joint", {})), tuple(content.get("degradations", ()))
        return Calibration(dict(content["concepts"]), joint, degradations), content.get("judge")
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: is no calibration file; `entropy-loop calibrate` writes one.") from None
