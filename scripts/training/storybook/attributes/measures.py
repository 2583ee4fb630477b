"""Calibrate and measure the attribute reader: thresholds, confusion matrices, junk, degradations.

Everything runs through the package's own reader, on drawings of album seeds used for nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from entropy_loop.judges.attributes import ABSENT, UNREADABLE, answers, load
from entropy_loop.worlds.storybook import scene
from scripts.training.storybook.attributes.card import card, diagonal_table, diagonals, junk_table
from scripts.training.storybook.pictures import pictures, to_float, to_pixels, train_scenes, truth_table
from scripts.training.storybook.round_trips import Codec, degradations, junk_set

ASSETS = Path(__file__).parents[4] / "src/entropy_loop/assets"
NAME = "storybook-attributes"
FILES = ("config.json", "model.safetensors", "attributes.json", "README.md")

# Album seeds and noise: none is used by the checkpoint, the curator, the judge or the tests.
USES = ("train", "batches", "fit", "report", "fit_junk", "report_junk", "codec", "degradations")
STREAMS = {use: 9_300_000 + i for i, use in enumerate(USES)}

VALUES = {name: tuple(scene.SHARES[name]) for name in ("coat", "suit", "background", "facing", "relation")}
ALWAYS = ("background", "relation")  # every scene has these
ANSWERS = {name: (*values, *(() if name in ALWAYS else (ABSENT,)), UNREADABLE) for name, values in VALUES.items()}
LEAST_DIAGONAL, LEAST_N = 0.95, 100


def even_scenes(n: int, seed: int) -> list[scene.Scene]:
    """n scenes with coat, suit, background, facing, rider and mount drawn uniformly."""
    return train_scenes(2 * n, seed)[1::2]


def truth(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Attribute -> index of the true answer, int64 (images,)."""
    junk = table["junk"].ne("").to_numpy()
    right = {name: table[name].replace("", ABSENT).mask(junk, UNREADABLE) for name in ANSWERS}
    return {name: column.map(ANSWERS[name].index).to_numpy(np.int64) for name, column in right.items()}


@torch.inference_mode()
def logits(folder: Path, images: Tensor) -> np.ndarray:
    """Logits float32 (n, answers) of images float32 (n, 3, 64, 64) in [0, 1], rounded to 8-bit pixels first."""
    network = load(folder)
    whole = to_float(to_pixels(images))
    return torch.cat([network(part * 2 - 1) for part in whole.split(100)]).numpy()


def read_answers(outputs: np.ndarray, spec: Mapping[str, dict]) -> dict[str, np.ndarray]:
    """Attribute -> index of the reader's answer, int64 (images,)."""
    rows = [[value or reason for _, value, _, reason in answers(row, spec)] for row in outputs]
    indices = [[spec[name]["answers"].index(answer) for name, answer in zip(spec, row, strict=True)] for row in rows]
    return dict(zip(spec, np.array(indices).T, strict=True))


def thresholds(junk: np.ndarray, spec: Mapping[str, dict]) -> dict[str, float]:
    """The least threshold of each attribute, from 1/2, at which at most one in 200 junk images is read as a value."""
    table = pd.DataFrame([a for row in junk for a in answers(row, spec)], columns=["name", "value", "score", "reason"])
    scores = table["score"].where(table["value"].notna(), 0.0)
    return {name: max(0.5, float(np.quantile(group, 0.995))) for name, group in scores.groupby(table["name"])}


def confusion(true: np.ndarray, answer: np.ndarray, size: int) -> list[list[int]]:
    """Counts by true answer (row) and given answer (column)."""
    counts = np.zeros((size, size), int)
    np.add.at(counts, (true, answer), 1)
    return counts.tolist()


def degraded(folder: Path, codec: Codec, spec: Mapping[str, dict], n: int = 300) -> list[dict[str, object]]:
    """Shares of right, wrong and refused readings of each attribute at each level of degradation."""
    scenes = even_scenes(n, STREAMS["degradations"])
    true, rows = truth(truth_table(scenes)), []
    for kind, level, damaged in degradations(to_float(pictures(scenes)), codec, STREAMS["degradations"]):
        for name, given in read_answers(logits(folder, damaged), spec).items():
            refused = given == ANSWERS[name].index(UNREADABLE)
            right = float((given == true[name]).mean())
            wrong = float(((given != true[name]) & ~refused).mean())
            rows.append({"kind": kind, "level": level, "attribute": name, "n": n}
                        | {"right": round(right, 4), "wrong": round(wrong, 4)})  # fmt: skip
    return rows


def measure(work: Path, vae: Path, n: int = 3000) -> None:
    """Fit thresholds, measure on other drawings (clean and through the codec), and copy the folder into the package."""
    folder, codec = work / NAME, Codec(vae)
    spec = {k: {"values": list(VALUES[k]), "answers": list(ANSWERS[k]), "threshold": 0.0} for k in ANSWERS}
    for name, cut in thresholds(logits(folder, junk_set(STREAMS["fit_junk"], codec).images), spec).items():
        spec[name]["threshold"] = round(cut, 4)
    scenes = even_scenes(n, STREAMS["report"])
    true, drawn = truth(truth_table(scenes)), to_float(pictures(scenes))
    junk = junk_set(STREAMS["report_junk"], codec)
    for version, images in (("clean", drawn), ("round_trip", codec.round_trips(drawn))):
        for name, given in read_answers(logits(folder, images), spec).items():
            spec[name].setdefault("confusion", {})[version] = confusion(true[name], given, len(ANSWERS[name]))
    refused = read_answers(logits(folder, junk.images), spec)
    kinds = junk.table["junk"].to_numpy()
    result = {
        "format": 1,
        "attributes": spec,
        "junk": {
            kind: {"n": int((kinds == kind).sum())}
            | {name: int((own[kinds == kind] < len(VALUES[name])).sum()) for name, own in refused.items()}
            for kind in dict.fromkeys(kinds)
        },
        "degradations": degraded(folder, codec, spec),
        "scenes": {"seeds": STREAMS, "n": n, "how": "attributes, riders and mounts uniform, relations as in the world"},
        "training": json.loads((work / "training.json").read_text()),
    }
    (folder / "attributes.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "README.md").write_text(card(folder, result))
    print(diagonal_table(result), junk_table(result), sep="\n\n")
    low = [f"{k}={a} ({v})" for k, e in spec.items() for a, cells in diagonals(e) for v, (right, n) in cells.items()
           if n < LEAST_N or right / n < LEAST_DIAGONAL]  # fmt: skip
    if low:
        raise SystemExit(f"not published; too often wrong or too rarely seen: {', '.join(low)}")
    (ASSETS / NAME).mkdir(exist_ok=True)
    for name in FILES:
        (ASSETS / NAME / name).write_bytes((folder / name).read_bytes())
