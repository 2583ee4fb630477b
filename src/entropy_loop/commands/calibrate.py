"""`calibrate`: fit a judge's thresholds on labelled images, and measure its errors.

The images are split at random into two halves. Thresholds are fitted on the first. Sensitivity, specificity and ROC are
measured on the second, clean and degraded in steps; so is how much junk made of it passes for each concept. Any
`CalibratedJudge` works: only its `question` for a concept and its `judge`, which a run calls too, are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from entropy_loop import seeds, validation
from entropy_loop.contracts import CalibratedJudge
from entropy_loop.data import ALL, Concept, Prompt, Samples, Tick
from entropy_loop.errors import ConfigError, as_storage_error
from entropy_loop.judges import calibration
from entropy_loop.machine import threads
from entropy_loop.metrics.calibration import AXES, CLEAN, Fit, Measured, halves, performance, roc, thinned, threshold
from entropy_loop.metrics.rates import joint
from entropy_loop.people import majority
from entropy_loop.registry import Spec
from entropy_loop.report.figures import calibration_figure
from entropy_loop.storage.disk import write_bytes, write_text
from entropy_loop.study.config import Config
from entropy_loop.study.study import Study
from entropy_loop.worlds import labelled
from entropy_loop.worlds.degraded import DEGRADATIONS, Change, copies, junk

STORYBOOK, PEOPLE, SCENES = "storybook", "people:", 2000

LEAST = 50
"""Each half needs this many images with a concept, and without it. With 50, a sensitivity of .9 is known to
[.79, .96], about the margin of .1 within which a change counts as none; and the intervals of corrected rates were
tested to cover down to 50 labels."""

ROC_POINTS = 100  # of a curve in calibration.json; roc.csv has them all
Joints = dict[str, tuple[str, ...]]
"""Name -> concepts that a prompt asks for in one image."""


@dataclass(frozen=True)
class Calibrated:
    """A judge's written calibration: the file, its revision, and the judge's line for a config."""

    judge: str
    file: Path
    revision: str
    line: str
    fit: Fit

    def text(self) -> str:
        """What a terminal shows."""
        message = f"{self.file} is written, roc.csv and the figure beside it. To measure with it, the judge's line is"
        return f"{self.judge}\n\n{calibration_figure.text(self.fit)}\n\n{message}\n{self.line}"

    def values(self) -> dict[str, object]:
        """Plain values for JSON, with the content of the file."""
        written = {"judge": self.judge, "file": str(self.file), "revision": self.revision, "line": self.line}
        return written | {"calibration": json.loads(self.file.read_text(encoding="utf-8"))}


def calibrate(study: Study, images: str, n: int | None, seed: int, out: Path, tick: Tick) -> list[Calibrated]:
    """Calibrate every judge of a study that has thresholds, on every concept that a prompt names.

    images: 'storybook' (n scenes are drawn with that seed), the path of an imagefolder with truth columns, or
    'people:' and the path of a results folder (the majority of its raters is the truth). Writes, for each judge,
    <out>/<judge>/calibration.json, roc.csv, calibration.svg and calibration.png. Raises ConfigError when no judge can
    be calibrated, and when too few images show a concept or too few lack it.
    """
    config = _unswept(study)
    plugins = zip(config.judges, config.judge_plugins(), strict=True)
    judges = [(spec, bare) for spec, judge in plugins if (bare := judge.without_calibration())]
    if not judges:
        raise ConfigError("judges: none has a threshold to fit; those of the kind clip have.")
    for _, judge in judges:
        judge.ready(config.judged_concepts())
    threads.use(config.threads)
    steps = _steps(tick, 1 + len(judges) * (2 + len(DEGRADATIONS)))
    with TemporaryDirectory() as scratch, as_storage_error(Path(scratch)):
        source = _labelled(config, images, n, seed, Path(scratch) / "scenes", next(steps))
        check_enough_images(source.truth, seed)
        bench = Bench(config.judged_concepts(), _joints(config), source, seed, Path(scratch))
        origin = {"source": images, "n": len(source.files), "seed": seed}
        return [
            _write(spec, judge, bench, origin, bench.fit(judge, steps), out / judge.label) for spec, judge in judges
        ]


def _unswept(study: Study) -> Config:
    """The config of the first arm. Raises ConfigError when judges, prompts or concepts differ between the arms."""
    parts = [(point.config.judges, point.config.pool_prompts(), point.config.concepts) for point in study.points]
    if any(other != parts[0] for other in parts):
        raise ConfigError("judges, prompts or concepts differ between the arms; give a config with those of one arm.")
    return study.points[0].config


def _joints(config: Config) -> Joints:
    wanted = [prompt.concepts for prompt in config.pool_prompts() if len(prompt.concepts) > 1]
    return {f"{ALL}: {', '.join(concepts)}": concepts for concepts in wanted}


def _steps(tick: Tick, n: int) -> Iterator[Tick]:
    """The tick of each of n pieces of work."""
    for i in range(n):
        yield lambda share, i=i: tick((i + share) / n)  # type: ignore[misc]


def _labelled(config: Config, images: str, n: int | None, seed: int, out: Path, tick: Tick) -> labelled.Labelled:
    if images == STORYBOOK:
        return labelled.storybook([prompt.concepts for prompt in config.pool_prompts()], n or SCENES, seed, out, tick)
    if n is not None:
        raise ConfigError("--n: the number of scenes to draw; a folder of images is taken whole.")
    if images.startswith(PEOPLE):
        return labelled.Labelled(*majority.labels(Path(images.removeprefix(PEOPLE)), config.judged_concepts()))
    return labelled.folder(Path(images), [concept.name for concept in config.judged_concepts()])


def _halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return halves(n, seeds.seed(seed, "calibrate-halves"))


def check_enough_images(truth: pd.DataFrame, seed: int) -> None:
    """Raises ConfigError, a line per concept (column) that fewer than LEAST images of a half show, or lack."""
    lines = []
    for half, rows in zip(("fitted", "measured"), _halves(len(truth), seed), strict=True):
        for name in truth:
            if why := _too_few(truth[name].iloc[rows]):
                lines.append(
                    f"concepts.{name}: of the half that it is {half} on {why}. Label more, or draw more with --n."
                )
    if lines:
        raise ConfigError("\n".join(lines))


def _too_few(shown: pd.Series) -> str:
    yes, no = int(shown.sum()), int((~shown).sum())
    return f"{yes} images show it and {no} do not; {LEAST} of each are needed" if min(yes, no) < LEAST else ""


# ---- fitting and measuring a judge -------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """Labelled images, and the concepts to judge in them. scratch: a folder for degraded copies."""

    concepts: tuple[Concept, ...]
    joints: Joints
    images: labelled.Labelled
    seed: int
    scratch: Path

    def fit(self, judge: CalibratedJudge, steps: Iterator[Tick]) -> Fit:
        """Fit the judge's thresholds and measure it; `steps` has a tick for each look at the images."""
        files, (fitted, rest) = self.images.files, _halves(len(self.images.files), self.seed)
        others = [files[i] for i in rest]
        scores = self._scores(judge, files, next(steps))
        truth = self.images.truth.mask(scores.isna())  # an image without a score has no label
        check_enough_images(truth, self.seed)
        # Not fitted on junk: thresholds high enough to reject all of it would miss real concepts.
        cuts = {str(name): threshold(*_sides(scores[name].iloc[fitted], truth[name].iloc[fitted])) for name in scores}
        shown = self._with_joints(truth.iloc[rest])
        too_few = {name: why for name in self.joints if (why := _too_few(shown[name]))}
        shown = shown.drop(columns=list(too_few))
        measured = list(_measured(CLEAN, 0, self._answers(scores.iloc[rest], cuts), shown))
        for place, degrade in enumerate(DEGRADATIONS, start=1):
            worse = self._scores(judge, self._copies(others, degrade, place), next(steps))
            measured += _measured(degrade.kind, degrade.level, self._answers(worse, cuts), shown)
        taken = self._answers(self._scores(judge, self._copies(others, junk, 0), next(steps)), cuts)
        curves = _curves(scores.iloc[rest], truth.iloc[rest])
        return Fit(cuts, tuple(measured), too_few, curves, {str(c): int(taken[c].sum()) for c in taken}, len(rest))

    def _scores(self, judge: CalibratedJudge, files: Sequence[Path], tick: Tick) -> pd.DataFrame:
        """One row per image, one column per concept: the judge's score, missing where it gave none."""
        prompt = Prompt("calibration", concepts=tuple(concept.name for concept in self.concepts))
        ids = [f"{number:06d}" for number in range(len(files))]
        table = pd.DataFrame({"id": ids, "prompt": prompt.text, "file": [str(file.resolve()) for file in files]})
        table.to_parquet(self.scratch / "samples.parquet", index=False)
        samples = Samples(self.scratch)
        answers = judge.judge(samples, (prompt,), self.concepts, tick)
        scores = validation.judgements(answers, samples, (prompt,), f"judge {judge.label!r}")
        scores = scores.pivot(index="id", columns="concept", values="score")
        return scores.reindex(index=ids, columns=list(prompt.concepts)).reset_index(drop=True)

    def _copies(self, files: Sequence[Path], change: Change, place: int) -> list[Path]:
        own = [seeds.seed(self.seed, "degrade", 0, place, index) for index in range(len(files))]
        return copies(files, change, own, self.scratch / "copies")

    def _answers(self, scores: pd.DataFrame, cuts: dict[str, float]) -> pd.DataFrame:
        answers = pd.DataFrame(
            {c: (scores[c] > cut).astype("boolean").mask(scores[c].isna()) for c, cut in cuts.items()}
        )
        return self._with_joints(answers)

    def _with_joints(self, table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{name: joint(table[list(concepts)]) for name, concepts in self.joints.items()})


def _curves(scores: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Every concept's ROC with the numbers of images behind it."""
    curves = []
    for name in scores:
        positives, negatives = _sides(scores[name], truth[name])
        counts = {"positives": len(positives), "negatives": len(negatives)}
        curves.append(roc(positives, negatives).assign(concept=str(name), **counts))
    return pd.concat(curves, ignore_index=True)[["concept", "threshold", *AXES, "positives", "negatives"]]


def _sides(scores: pd.Series, truth: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the images that are labelled true, and of those that are labelled false."""
    return scores[truth.fillna(False)].to_numpy(), scores[(~truth).fillna(False)].to_numpy()


def _measured(kind: str, level: float, answers: pd.DataFrame, shown: pd.DataFrame) -> Iterator[Measured]:
    return (Measured(kind, level, str(name), performance(answers[name], shown[name])) for name in shown)


# ---- writing -----------------------------------------------------------------------------------------


def _write(
    spec: Spec, judge: CalibratedJudge, bench: Bench, origin: dict[str, object], fit: Fit, out: Path
) -> Calibrated:
    text = json.dumps(_content(judge, bench, origin, fit), indent=1, allow_nan=False) + "\n"
    write_text(out / "calibration.json", text)
    write_text(out / "roc.csv", fit.roc.to_csv(index=False, lineterminator="\n"))
    for name, data in calibration_figure.figure(fit).files("calibration"):
        write_bytes(out / name, data)
    revision = calibration.revision(text.encode())
    line = dict(spec) | dict(zip(calibration.OPTIONS, (str(out / "calibration.json"), revision), strict=True))
    inside = ", ".join(f"{name}: {json.dumps(value)}" for name, value in line.items())  # JSON's strings are YAML's
    return Calibrated(judge.label, out / "calibration.json", revision, f"- {{{inside}}}", fit)


def _content(judge: CalibratedJudge, bench: Bench, origin: dict[str, object], fit: Fit) -> dict[str, object]:
    """What `judges.calibration` reads, and beside it the images, the degradations and the curves."""
    entries = {
        concept.name: judge.question(concept)
        | {"threshold": fit.thresholds[concept.name]}
        | _entry(fit, concept.name)
        | {"roc": _curve(fit.roc[fit.roc["concept"] == concept.name])}
        for concept in bench.concepts
    }
    return {
        "format": 1,
        "judge": calibration.options(judge),
        "images": origin,
        "concepts": entries,
        "joint": {name: {"concepts": list(parts)} | _entry(fit, name) for name, parts in bench.joints.items()},
        "degradations": [
            {"kind": measured.kind, "level": measured.level, "concept": measured.concept}
            | {"n": measured.rates.positives + measured.rates.negatives}
            | asdict(measured.rates)
            for measured in fit.measured
        ],
    }


def _entry(fit: Fit, name: str) -> dict[str, object]:
    """Sensitivity and specificity on clean images, and the junk that passes; or the reason why there are none."""
    if name in fit.too_few:
        return {"reason": fit.too_few[name]}
    return asdict(fit.clean[name]) | {"junk": fit.refused, "junk_false_positives": fit.junk[name]}


def _curve(points: pd.DataFrame) -> dict[str, list[float]]:
    thin = thinned(points, ROC_POINTS)
    return {axis: thin[axis].tolist() for axis in AXES}
