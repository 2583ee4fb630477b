"""Thresholds, sensitivity and specificity of a trained judge, and the finished folder in the package."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from entropy_loop.metrics.calibration import performance, threshold
from scripts.training.storybook.judges.card import SCENES, SCORE, card, table_of
from scripts.training.storybook.judges.claims import ATTRIBUTES, ESSAY, JOINT, answers, concepts, expected
from scripts.training.storybook.judges.loop_truth.parts import by_eye, nobody, pixels
from scripts.training.storybook.judges.loop_truth.parts import labelled as labelled_by_eye
from scripts.training.storybook.judges.model import STREAMS, WEIGHTS, Recipe, Recogniser
from scripts.training.storybook.pictures import pictures, test_scenes, to_float, to_pixels, train_scenes, truth_table
from scripts.training.storybook.round_trips import Codec, Labelled, degradations, junk_set, labelled

ASSETS = Path(__file__).parents[4] / "src/entropy_loop/assets"


BALANCED = (
    "the cut that serves the worst served best: the least of three shares, of scenes with the concept above it and of "
    "scenes without it and of junk below it, is greatest"
)


def rule(recipe: Recipe) -> str:
    """How a threshold is chosen, in words."""
    if recipe.specificity is None:
        return BALANCED
    clean, junk = recipe.specificity
    return f"the lowest cut with specificity >= {clean} on clean scenes and >= {junk} on junk"


def cut(*refused: tuple[np.ndarray, float]) -> float:
    """The lowest cut t for which `score > t` refuses, of each set of scores, at least the share beside it."""
    return max(float(np.quantile(scores, least, method="higher")) for scores, least in refused)


def thresholds(recipe: Recipe, judge: Recogniser, fit: Labelled, junk: Labelled) -> dict[str, float]:
    """`rule`, by concept."""
    clean, spoilt, true = judge.scores(fit.images), judge.scores(junk.images), answers(fit.table)
    if recipe.specificity is None:
        return {c: threshold(clean[c][true[c]], clean[c][~true[c]], spoilt[c]) for c in clean}
    least, least_junk = recipe.specificity
    return {c: cut((clean[c][~true[c]], least), (spoilt[c], least_junk)) for c in clean}


def decide(scores: dict[str, np.ndarray], cuts: dict[str, float]) -> dict[str, np.ndarray]:
    """The answers, bool (images,), to each concept and to each conjunction."""
    said = {c: scores[c] > cuts[c] for c in scores}
    return said | {name: np.logical_and.reduce([said[c] for c in parts]) for name, parts in JOINT.items()}


def measured_on(said: np.ndarray, true: np.ndarray, junk: np.ndarray) -> dict[str, float | int]:
    """Sensitivity and specificity with intervals, and how much junk is taken for the concept."""
    rates = {name: round(value, 4) for name, value in asdict(performance(said, true)).items()}
    return rates | {"junk": len(junk), "junk_false_positives": int(junk.sum())}


def degraded_rows(judge: Recogniser, seed: int, codec: Codec, cuts: dict[str, float]) -> list[dict[str, object]]:
    """Sensitivity and specificity at each level, on every third of the last 1,800 test scenes."""
    scenes = test_scenes(seed)[1200::3]
    true, images = expected(truth_table(scenes)), to_float(pictures(scenes))
    rows = []
    for kind, level, damaged in degradations(images, codec, seed):
        said = decide(judge.scores(to_float(to_pixels(damaged))), cuts)
        rows += [
            {"kind": kind, "level": level, "concept": c, "n": len(scenes), "positives": int(true[c].sum())}
            | {"sensitivity": round(float(said[c][true[c]].mean()), 4)}
            | {"specificity": round(float((~said[c])[~true[c]].mean()), 4)}
            for c in true
        ]
    return rows


def loop_rows(judge: Recogniser, cuts: dict[str, float]) -> list[dict[str, object]]:
    """Sensitivity and specificity in each generation of loop-truth's test part, where the eye has an answer."""
    table = labelled_by_eye("test")
    said = decide(judge.scores(to_float(pixels(table.index))), cuts)
    seen, rows = by_eye(table, JOINT["all"]), []
    for generation, group in table.groupby("generation"):
        here = table.index.isin(group.index)
        for c in ESSAY:
            known = here & seen[c].notna().to_numpy()
            rates = asdict(performance(said[c][known], seen.loc[known, c].astype(bool).to_numpy()))
            open_ = int(here.sum() - known.sum())
            rows.append({"generation": int(generation), "concept": c, "cant_tell": open_} | rates)
    return rows


def ablation(judge: Recogniser, cuts: dict[str, float]) -> dict[str, float]:
    """What leaving something out costs, on loop-truth's test part."""
    table = labelled_by_eye("test")
    said = decide(judge.scores(to_float(pixels(table.index))), cuts)
    said = {c: said[c] for c in ESSAY}
    target = table["chain"].eq("test-target").to_numpy()
    rates = {f"V{g}": said["all"][target & table["generation"].eq(g).to_numpy()].mean() for g in (4, 5, 6, 7, 8, 9, 10)}
    junk = (table["prompt"].isna() & nobody(table)).to_numpy()
    rates["junk refused"] = np.mean([~said[c][junk] for c in JOINT["all"]])
    return {name: round(float(rate), 3) for name, rate in rates.items()}


def attribute_confusions(judge: Recogniser, seed: int, codec: Codec) -> dict[str, object]:
    """For each attribute, its texts and the counts true value x answered value (the greatest logit)."""
    scenes = [s for s in train_scenes(4000, seed)[1::2] if s.relation != "empty"]
    images, table = to_float(pictures(scenes)), truth_table(scenes)
    images[1::2] = codec.round_trips(images[1::2])
    found = {}
    for name, texts in ATTRIBUTES.items():
        rows = table[name].ne("").to_numpy(copy=True)
        said = judge.logits(images[torch.from_numpy(rows)], list(texts.values())).argmax(1).numpy()
        true = table.loc[rows, name].map({v: i for i, v in enumerate(texts)}).to_numpy()
        counts = np.zeros((len(texts), len(texts)), int)
        np.add.at(counts, (true, said), 1)
        found[name] = {"texts": texts, "values": list(texts), "confusion": counts.tolist()}
    return found


def ablations(recipe: Recipe, work: Path, fit: Labelled, junk: Labelled) -> dict[str, dict[str, float]]:
    """The recipe, and with kinds of pictures left out, where such models were trained; thresholds by the same rule."""
    found = {}
    for folder in sorted(work.glob(f"{recipe.name}*/{WEIGHTS}")):
        judge = Recogniser(folder.parent)
        name = folder.parent.name.removeprefix(recipe.name).replace("-", " ").strip()
        found[name or "all of it"] = ablation(judge, thresholds(recipe, judge, fit, junk))
    return found


def calibrate(recipe: Recipe, work: Path, vae: Path, phase_steps: dict[str, int]) -> None:
    """Fit thresholds on one set of scenes, report on another, and finish the folder in the package."""
    folder, codec = work / recipe.name, Codec(vae)
    judge = Recogniser(folder)
    seeds = {name: recipe.seed + STREAMS[name] for name in ("fit", "report", "fit_junk", "report_junk")}
    fit, fit_junk = labelled(seeds["fit"], codec), junk_set(seeds["fit_junk"], codec)
    report, report_junk = labelled(seeds["report"], codec), junk_set(seeds["report_junk"], codec)
    cuts = thresholds(recipe, judge, fit, fit_junk)
    said, said_junk = decide(judge.scores(report.images), cuts), decide(judge.scores(report_junk.images), cuts)
    true = expected(report.table)
    measured = {c: measured_on(said[c], true[c], said_junk[c]) for c in true}
    kinds = report_junk.table["junk"].to_numpy()
    result = {
        "format": 1,
        "score": SCORE,
        "rule": rule(recipe),
        "scenes": {**seeds, "n_fit": len(fit.table), "n_report": len(report.table), "how": SCENES},
        "concepts": {c: {**spec, "threshold": round(cuts[c], 4), **measured[c]} for c, spec in concepts().items()},
        "joint": {name: {"concepts": list(parts), **measured[name]} for name, parts in JOINT.items()},
        "halves": {
            half: {c: measured_on(said[c][rows], true[c][rows], said_junk[c]) for c in ESSAY}
            for half, rows in (("clean", slice(0, None, 2)), ("round_trip", slice(1, None, 2)))
        },
        "junk": {
            kind: {"n": int((kinds == kind).sum())} | {c: int(said_junk[c][kinds == kind].sum()) for c in true}
            for kind in dict.fromkeys(kinds)
        },
        "loop_truth": loop_rows(judge, cuts),
        "degradations": degraded_rows(judge, seeds["report"], codec, cuts),
        "attributes": attribute_confusions(judge, seeds["report"] + 500, codec),
        "steps": phase_steps,
    }
    (folder / "calibration.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "README.md").write_text(card(recipe, folder, result, ablations(recipe, work, fit, fit_junk)))
    publish(folder, ASSETS / recipe.name)
    print(table_of(result))


FILES = (
    "open_clip_config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "calibration.json",
    "README.md",
)


def publish(folder: Path, target: Path) -> None:
    """Copy the finished folder into the package."""
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (target / name).write_bytes((folder / name).read_bytes())
