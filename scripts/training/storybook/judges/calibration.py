"""Calibrate a trained judge: thresholds, sensitivity, specificity. Writes its folder into the package."""

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


BALANCED = (  # stands so in the bundled model cards, which are part of their revision
    "the cut that serves the worst served best: the least of three shares, of scenes with the concept above it and of "
    "scenes without it and of junk below it, is greatest"
)


def rule(recipe: Recipe) -> str:
    """The rule by which thresholds are chosen, for the model card."""
    if recipe.specificity is None:
        return BALANCED
    clean, junk = recipe.specificity
    return f"the lowest cut with specificity >= {clean} on clean scenes and >= {junk} on junk"


def cut(*refused: tuple[np.ndarray, float]) -> float:
    """The lowest cut t for which `score > t` refuses, of each set of scores, at least the share beside it."""
    return max(float(np.quantile(scores, least, method="higher")) for scores, least in refused)


def thresholds(recipe: Recipe, judge: Recogniser, fit: Labelled, junk: Labelled) -> dict[str, float]:
    """Concept -> threshold, by `rule`."""
    clean, refused, true = judge.scores(fit.images), judge.scores(junk.images), answers(fit.table)
    if recipe.specificity is None:
        return {c: threshold(clean[c][true[c]], clean[c][~true[c]], refused[c]) for c in clean}
    least, least_junk = recipe.specificity
    return {c: cut((clean[c][~true[c]], least), (refused[c], least_junk)) for c in clean}


def decide(scores: dict[str, np.ndarray], cuts: dict[str, float]) -> dict[str, np.ndarray]:
    """Concept or conjunction -> answers, bool (images,)."""
    yes = {c: scores[c] > cuts[c] for c in scores}
    return yes | {name: np.logical_and.reduce([yes[c] for c in parts]) for name, parts in JOINT.items()}


def measured_on(answer: np.ndarray, true: np.ndarray, junk: np.ndarray) -> dict[str, float | int]:
    """Sensitivity and specificity with intervals, and the number of junk images taken for the concept."""
    rates = {name: round(value, 4) for name, value in asdict(performance(answer, true)).items()}
    return rates | {"junk": len(junk), "junk_false_positives": int(junk.sum())}


def degraded_rows(judge: Recogniser, seed: int, codec: Codec, cuts: dict[str, float]) -> list[dict[str, object]]:
    """Sensitivity and specificity at each level, on every third of the last 1,800 test scenes."""
    scenes = test_scenes(seed)[1200::3]
    true, images = expected(truth_table(scenes)), to_float(pictures(scenes))
    rows = []
    for kind, level, damaged in degradations(images, codec, seed):
        answered = decide(judge.scores(to_float(to_pixels(damaged))), cuts)
        rows += [
            {"kind": kind, "level": level, "concept": c, "n": len(scenes), "positives": int(true[c].sum())}
            | {"sensitivity": round(float(answered[c][true[c]].mean()), 4)}
            | {"specificity": round(float((~answered[c])[~true[c]].mean()), 4)}
            for c in true
        ]
    return rows


def loop_rows(judge: Recogniser, cuts: dict[str, float]) -> list[dict[str, object]]:
    """Sensitivity and specificity per generation of loop-truth's test part, where the labels have an answer."""
    table = labelled_by_eye("test")
    answered = decide(judge.scores(to_float(pixels(table.index))), cuts)
    seen, rows = by_eye(table, JOINT["all"]), []
    for generation, group in table.groupby("generation"):
        here = table.index.isin(group.index)
        for c in ESSAY:
            known = here & seen[c].notna().to_numpy()
            rates = asdict(performance(answered[c][known], seen.loc[known, c].astype(bool).to_numpy()))
            open_ = int(here.sum() - known.sum())
            rows.append({"generation": int(generation), "concept": c, "cant_tell": open_} | rates)
    return rows


def ablation(judge: Recogniser, cuts: dict[str, float]) -> dict[str, float]:
    """V and the refused junk on loop-truth's test part, to compare recipes."""
    table = labelled_by_eye("test")
    answered = decide(judge.scores(to_float(pixels(table.index))), cuts)
    answered = {c: answered[c] for c in ESSAY}
    target = table["chain"].eq("test-target").to_numpy()
    rates = {
        f"V{g}": answered["all"][target & table["generation"].eq(g).to_numpy()].mean() for g in (4, 5, 6, 7, 8, 9, 10)
    }
    junk = (table["prompt"].isna() & nobody(table)).to_numpy()
    rates["junk refused"] = np.mean([~answered[c][junk] for c in JOINT["all"]])
    return {name: round(float(rate), 3) for name, rate in rates.items()}


def attribute_confusions(judge: Recogniser, seed: int, codec: Codec) -> dict[str, object]:
    """Attribute -> its texts and the counts of true value x answered value (the largest logit)."""
    scenes = [s for s in train_scenes(4000, seed)[1::2] if s.relation != "empty"]
    images, table = to_float(pictures(scenes)), truth_table(scenes)
    images[1::2] = codec.round_trips(images[1::2])
    results = {}
    for name, texts in ATTRIBUTES.items():
        rows = table[name].ne("").to_numpy(copy=True)
        answered = judge.logits(images[torch.from_numpy(rows)], list(texts.values())).argmax(1).numpy()
        true = table.loc[rows, name].map({v: i for i, v in enumerate(texts)}).to_numpy()
        counts = np.zeros((len(texts), len(texts)), int)
        np.add.at(counts, (true, answered), 1)
        results[name] = {"texts": texts, "values": list(texts), "confusion": counts.tolist()}
    return results


def ablations(recipe: Recipe, work: Path, fit: Labelled, junk: Labelled) -> dict[str, dict[str, float]]:
    """`ablation` of the recipe and of its variants in `work` that leave out kinds of pictures."""
    results = {}
    for folder in sorted(work.glob(f"{recipe.name}*/{WEIGHTS}")):
        judge = Recogniser(folder.parent)
        name = folder.parent.name.removeprefix(recipe.name).replace("-", " ").strip()
        results[name or "all of it"] = ablation(judge, thresholds(recipe, judge, fit, junk))
    return results


def calibrate(recipe: Recipe, work: Path, vae: Path, phase_steps: dict[str, int]) -> None:
    """Fit thresholds on one set of scenes, measure on another, and write the folder into the package."""
    folder, codec = work / recipe.name, Codec(vae)
    judge = Recogniser(folder)
    seeds = {name: recipe.seed + STREAMS[name] for name in ("fit", "report", "fit_junk", "report_junk")}
    fit, fit_junk = labelled(seeds["fit"], codec), junk_set(seeds["fit_junk"], codec)
    report, report_junk = labelled(seeds["report"], codec), junk_set(seeds["report_junk"], codec)
    cuts = thresholds(recipe, judge, fit, fit_junk)
    answered, answered_junk = decide(judge.scores(report.images), cuts), decide(judge.scores(report_junk.images), cuts)
    true = expected(report.table)
    measured = {c: measured_on(answered[c], true[c], answered_junk[c]) for c in true}
    kinds = report_junk.table["junk"].to_numpy()
    result = {
        "format": 1,
        "score": SCORE,
        "rule": rule(recipe),
        "scenes": {**seeds, "n_fit": len(fit.table), "n_report": len(report.table), "how": SCENES},
        "concepts": {c: {**spec, "threshold": round(cuts[c], 4), **measured[c]} for c, spec in concepts().items()},
        "joint": {name: {"concepts": list(parts), **measured[name]} for name, parts in JOINT.items()},
        "halves": {
            half: {c: measured_on(answered[c][rows], true[c][rows], answered_junk[c]) for c in ESSAY}
            for half, rows in (("clean", slice(0, None, 2)), ("round_trip", slice(1, None, 2)))
        },
        "junk": {
            kind: {"n": int((kinds == kind).sum())} | {c: int(answered_junk[c][kinds == kind].sum()) for c in true}
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
