"""`calibrate`: thresholds and their worth, from labelled images to the corrected rates of a run.

Most of it with a judge of a third party's kind, which sees how bright an image is: its answers can be reckoned by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from statsmodels.stats.proportion import proportion_confint
from typer.testing import CliRunner

from entropy_loop import cli, registry
from entropy_loop.analysis.rates import calibration, rates
from entropy_loop.commands import calibrate
from entropy_loop.commands.calibrate import LEAST, Calibrated
from entropy_loop.contracts import CalibratedJudge
from entropy_loop.data import ALL, JUDGEMENTS, Concept, Prompt, Samples, Tick
from entropy_loop.errors import ConfigError
from entropy_loop.judges.clip import ClipRecogniser
from entropy_loop.people import majority
from entropy_loop.plan import plan
from entropy_loop.study import study
from entropy_loop.worlds import labelled
from entropy_loop.worlds.degraded import DEGRADATIONS

ESSAY = "a photograph of an astronaut riding a horse"
CONCEPTS = ("bright", "red")
Folder = Callable[..., Path]
NOISE = DEGRADATIONS[3:4]


def ignore(share: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Bright(CalibratedJudge):
    """Sees brightness and redness, each in [0, 1]; of an image that is all white it cannot tell the redness."""

    version: ClassVar[int] = 1
    calibration: str | None = None
    calibration_revision: str | None = None

    @property
    def label(self) -> str:
        return "bright"

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """It needs no model."""

    def without_calibration(self) -> Bright:
        return Bright()

    def question(self, concept: Concept) -> dict[str, list[str]]:
        return {"measures": [concept.name]}

    def judge(
        self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick: Tick
    ) -> pd.DataFrame:
        rows = []
        for name, file in samples.table[["id", "file"]].itertuples(index=False):
            pixels = np.asarray(Image.open(samples.folder / file).convert("RGB")) / 255
            red = np.nan if pixels.min() == 1 else pixels[..., 0].mean() - pixels[..., 1].mean()
            rows += [(name, "bright", pixels.mean(), None, None, "no threshold")]
            rows += [(name, "red", red, None, None, "no threshold")]
        return pd.DataFrame(rows, columns=list(JUDGEMENTS))


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch):
    """A study whose judge is Bright, asked for CONCEPTS; one level of degradation, the heaviest noise."""
    monkeypatch.setattr(calibrate, "DEGRADATIONS", NOISE)
    monkeypatch.setitem(registry.JUDGE.bundled, "bright", f"{__name__}:Bright")
    registry.known.cache_clear()
    prompt = {"text": "a red light", "concepts": list(CONCEPTS)}
    generator = {"use": "categorical", "rates": dict.fromkeys(CONCEPTS, 0.5)}
    yield {"name": "bright", "generations": 1, "threads": 1, "prompts": [prompt], "generator": generator} | {
        "judges": [{"use": "bright"}]
    }
    registry.known.cache_clear()


@pytest.fixture
def images(tmp_path: Path) -> Folder:
    """Writes an imagefolder: rows of (grey value, whether it is red, labels)."""

    def write(rows: list[tuple[int, bool, dict[str, Any]]]) -> Path:
        folder = tmp_path / "images"
        folder.mkdir()
        lines = []
        for i, (grey, red, labels) in enumerate(rows):
            colour = (min(255, grey + 60), grey, grey) if red else (grey, grey, grey)
            Image.new("RGB", (8, 8), colour).save(folder / f"{i}.png")
            lines.append(json.dumps({"file_name": f"{i}.png"} | labels) + "\n")
        (folder / "metadata.jsonl").write_text("".join(lines))
        return folder

    return write


def lights(
    n: int, bright_label: Callable[[int], bool] = lambda i: i % 2 == 0
) -> list[tuple[int, bool, dict[str, Any]]]:
    """n images, every second one bright (grey 150 to 180 against 40 to 70), every third one red."""
    rows = []
    for i in range(n):
        red = i % 3 == 0
        rows.append((150 + i % 31 if i % 2 == 0 else 40 + i % 31, red, {"bright": bright_label(i), "red": red}))
    return rows


def fitted(raw: dict[str, Any], folder: Path, out: Path, seed: int = 0) -> Calibrated:
    [calibrated] = calibrate.calibrate(study.check(raw), str(folder), None, seed, out, ignore)
    return calibrated


def test_a_judge_of_another_kind_is_calibrated_by_its_scores_alone(bright, images, tmp_path):
    """Bright and dark part between 90 and 150 of 255, red and grey between 0 and 60: so do the thresholds, and the
    other half of 400 images is judged without a fault, each concept and both in one image."""
    calibrated = fitted(bright, images(lights(400)), tmp_path / "out")
    assert 90 / 255 < calibrated.fit.thresholds["bright"] < 150 / 255
    assert 0 < calibrated.fit.thresholds["red"] < 60 / 255
    for rates_ in calibrated.fit.clean.values():
        assert (rates_.sensitivity, rates_.specificity, rates_.positives + rates_.negatives) == (1, 1, 200)
        assert (rates_.sensitivity_low, 1) == pytest.approx(
            proportion_confint(rates_.positives, rates_.positives, method="wilson")
        )


def test_labels_that_contradict_the_judge_lower_its_worth(bright, images, tmp_path):
    """Every tenth bright image is labelled dark and the other way round: Se and Sp of .9, give or take the draw."""
    rows = lights(1000, bright_label=lambda i: (i % 2 == 0) != (i // 2 % 10 == 0))
    rates_ = fitted(bright, images(rows), tmp_path / "out").fit.clean["bright"]
    for share, n in ((rates_.sensitivity, rates_.positives), (rates_.specificity, rates_.negatives)):
        assert abs(share - 0.9) < 4 * (0.09 / n) ** 0.5
        assert share < 1


def test_an_image_without_a_label_is_in_no_number(bright, images, tmp_path):
    """120 of 800 images have no label for `bright` and none counts for it; all of them count for `red`. An image that
    is not red is no bright red light, whatever else is not known of it."""
    rows = lights(800)
    for _, _, labels in rows[:120]:
        del labels["bright"]
    fit = fitted(bright, images(rows), tmp_path / "out").fit
    counts = {name: rates_.positives + rates_.negatives for name, rates_ in fit.clean.items()}
    assert counts["red"] == 400
    assert 400 - 120 <= counts["bright"] < 400
    assert counts["bright"] < counts[f"{ALL}: bright, red"] < 400


def test_what_the_judge_cannot_tell_is_no_answer(bright, images, tmp_path):
    """White images have no redness for this judge: missing, not refused."""
    rows = lights(400) + [(255, False, {"bright": True, "red": False})] * 60
    fit = fitted(bright, images(rows), tmp_path / "out").fit
    assert fit.clean["bright"].positives + fit.clean["bright"].negatives == 230
    assert fit.clean["red"].positives + fit.clean["red"].negatives < 215


def test_too_few_images_are_refused(bright, images, tmp_path):
    """90 red images cannot give 50 to either half: the error names concept, counts and remedy, nothing is written."""
    rows = lights(400)
    for i in [i for i, row in enumerate(rows) if row[1]][90:]:
        rows[i] = (rows[i][0], False, rows[i][2] | {"red": False})
    with pytest.raises(
        ConfigError, match=r"concepts\.red: .*\d+ images show it and \d+ do not; 50 .*Label more"
    ) as refusal:
        fitted(bright, images(rows), tmp_path / "out")
    assert "concepts.bright" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_fifty_labels_give_a_sensitivity_to_about_the_margin():
    """Why 50: a sensitivity of .9 is then known to .114 below, near the margin of .1; with 25 to more than .15."""
    low, fewer = (proportion_confint(0.9 * n, n, method="wilson")[0] for n in (LEAST, 25))
    assert 0.9 - low < 0.115
    assert 0.9 - fewer > 0.15


def test_a_conjunction_that_too_few_show_is_missing_with_a_reason(bright, images, tmp_path):
    """Bright and red, but never both: each is calibrated, `all` is not, and rates.csv says why."""
    rows = lights(800)
    rows = [(grey, red and grey < 100, {"bright": grey > 100, "red": red and grey < 100}) for grey, red, _ in rows]
    calibrated = fitted(bright, images(rows), tmp_path / "out")
    assert set(calibrated.fit.clean) == set(CONCEPTS)
    entry = calibrated.values()["calibration"]["joint"][f"{ALL}: bright, red"]
    assert entry == {"concepts": list(CONCEPTS), "reason": "0 images show it and 400 do not; 50 of each are needed"}
    assert f"{ALL}: bright, red: not measured" in calibrated.text()


def test_the_same_command_writes_the_same_bytes(bright, images, tmp_path):
    """Also the figure; with another seed the halves differ."""
    folder = images(lights(400))
    first, again, other = (fitted(bright, folder, tmp_path / out, seed) for out, seed in (("a", 0), ("b", 0), ("c", 1)))
    for name in ("calibration.json", "roc.csv", "calibration.svg", "calibration.png"):
        assert first.file.with_name(name).read_bytes() == again.file.with_name(name).read_bytes()
    assert first.revision == again.revision != other.revision


def test_every_level_of_every_degradation_is_measured(bright, images, tmp_path, monkeypatch):
    """Blur leaves the mean brightness as it is; the counts are those of the undegraded half; intervals are there."""
    monkeypatch.setattr(calibrate, "DEGRADATIONS", DEGRADATIONS)
    content = fitted(bright, images(lights(400)), tmp_path / "out").values()["calibration"]
    rows = pd.DataFrame(content["degradations"])
    levels = rows.groupby("kind")["level"].nunique()
    assert levels["none"] == 1
    assert len(levels) == 5
    assert (levels.drop("none") >= 3).all()
    assert (rows.groupby("concept")["positives"].nunique() == 1).all()
    blur = rows[rows["kind"].str.contains("blur") & (rows["concept"] == "bright")]
    assert (blur["sensitivity"] == 1).all()
    assert (blur["sensitivity_low"] < 1).all()


def test_noise_that_drowns_the_signal_lowers_what_the_judge_is_worth(bright, images, tmp_path):
    """Black against dark grey: noise that is cut off at black brightens, and the same threshold lets it pass."""
    rows = [(40 * (i % 2), i % 3 == 0, {"bright": i % 2 == 1, "red": i % 3 == 0}) for i in range(400)]
    fit = fitted(bright, images(rows), tmp_path / "out").fit
    worst = next(m.rates for m in fit.measured if (m.kind, m.concept) == ("gaussian_noise_sigma", "bright"))
    assert (fit.clean["bright"].specificity, worst.negatives) == (1, fit.clean["bright"].negatives)
    assert worst.specificity < 0.1


def test_the_curves_stand_in_a_table(bright, images, tmp_path):
    """roc.csv: from nothing to everything, per concept, with the numbers of images behind it."""
    calibrated = fitted(bright, images(lights(400)), tmp_path / "out")
    table = pd.read_csv(calibrated.file.with_name("roc.csv"))
    for name in CONCEPTS:
        curve = table[table["concept"] == name]
        assert (curve.iloc[0]["sensitivity"], curve.iloc[-1]["false_positive_rate"]) == (0, 1)
        assert set(curve["positives"]) == {calibrated.fit.clean[name].positives}
        assert set(curve["negatives"]) == {calibrated.fit.clean[name].negatives}


def test_a_config_without_thresholds_is_refused(toy, tmp_path):
    """The toy's judge reads the truth: there is nothing to fit."""
    with pytest.raises(ConfigError, match="judges: none has a threshold to fit"):
        calibrate.calibrate(study.load(toy()), "storybook", 10, 0, tmp_path / "out", ignore)


def test_arms_with_different_judges_are_refused(toy, tmp_path):
    """A line for the config is only one where the config has one judge there."""
    judges = [[{"use": "exact"}], [{"use": "clip", "model": "bundled:storybook-judge"}]]
    asked = study.load(toy(sweep={"judges": judges}))
    with pytest.raises(ConfigError, match="differ between the arms"):
        calibrate.calibrate(asked, "storybook", 10, 0, tmp_path / "out", ignore)


def test_a_folder_is_taken_whole(bright, images, tmp_path):
    """--n with a folder would leave images out without saying which."""
    with pytest.raises(ConfigError, match="--n: the number of scenes to draw"):
        calibrate.calibrate(study.check(bright), str(images(lights(10))), 5, 0, tmp_path / "out", ignore)


def test_another_calibration_measures_anew_and_does_nothing_else(toy):
    """Its revision enters the keys of recognition, of no other stage; planning does not look for the file."""
    horse = {"use": "clip", "model": "some/model", "calibration": "nowhere.json"}
    old, new = (plan(study.load(toy(judges=[horse | {"calibration_revision": it}]))).stages() for it in ("aa", "bb"))
    moved = [stage.name for key, stage in old.items() if key not in new]
    assert set(moved) == {"recognise-pool", "recognise-evaluation"}
    assert len(old) == len(new)


def test_the_command_prints_json_with_the_files_own_hash(bright, images, tmp_path, monkeypatch):
    """And the judge's line, which is the YAML of a judge with that calibration."""
    (tmp_path / "bright.yaml").write_text(yaml.safe_dump(bright))
    monkeypatch.chdir(tmp_path)
    folder = images(lights(400))
    result = CliRunner().invoke(cli.app, ["calibrate", "bright.yaml", "--images", str(folder), "--json"])
    assert result.exit_code == 0
    [entry] = json.loads(result.stdout)
    path = Path("results/bright-calibration/bright/calibration.json")
    assert entry["revision"] == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    expected = {"use": "bright", "calibration": str(path), "calibration_revision": entry["revision"]}
    assert yaml.safe_load(entry["line"]) == [expected]
    assert entry["calibration"] == json.loads(path.read_text())


def test_too_few_scenes_exit_2(command, tmp_path):
    """Before any model looks at one."""
    done = command("calibrate", Path("configs/astronaut.yaml").resolve(), "--n", 40)
    assert (done.returncode, done.stdout) == (2, "")
    assert "concepts.astronaut: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


# ---- the bundled judge on drawn scenes ---------------------------------------------------------------

OTHERS = ["a zebra", "a camel", "an elephant", "a cow", "a pig", "a reindeer", "a turtle", "an empty place", "noise"]
OWN = {"horse": {"yes": ["a horse"], "no": OTHERS}}
"""Texts that are not the judge's own, against every other mount of the world."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    """The bundled judge, calibrated on 480 scenes and under the heaviest noise; of `horse` with texts of the config."""
    raw = yaml.safe_load(Path("configs/astronaut.yaml").read_text()) | {"threads": 1, "sweep": {}, "concepts": OWN}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "DEGRADATIONS", NOISE)
        out = tmp_path_factory.mktemp("drawn")
        [calibrated] = calibrate.calibrate(study.check(raw), "storybook", 480, 1, out, ignore)
    return calibrated


def test_the_bundled_judge_is_good_on_scenes_that_it_has_not_seen(drawn):
    """Se and Sp of each concept and of all three, on the half that nothing was fitted on; junk is refused."""
    assert set(drawn.fit.clean) == {"astronaut", "horse", "riding", f"{ALL}: astronaut, horse, riding"}
    for rates_ in drawn.fit.clean.values():
        assert min(rates_.positives, rates_.negatives) >= LEAST
        assert min(rates_.sensitivity, rates_.specificity) >= 0.9
    assert max(drawn.fit.junk.values()) <= 0.02 * drawn.fit.refused


def test_heavy_noise_lowers_the_sensitivity(drawn):
    """Under the heaviest noise, something that was recognised is missed."""
    clean, worst = drawn.fit.clean, [m for m in drawn.fit.measured if m.kind == "gaussian_noise_sigma"]
    assert len(worst) == 4
    assert min(m.rates.sensitivity - clean[m.concept].sensitivity for m in worst) < -0.01


def test_the_line_that_is_printed_is_a_judge_that_is_ready(drawn):
    """The judge of the line has the fitted thresholds, for the model's texts as for those of the config."""
    [spec] = yaml.safe_load(drawn.line)
    judge = registry.build(registry.JUDGE, spec)
    own = Concept("horse", **{side: tuple(texts) for side, texts in OWN["horse"].items()})
    judge.ready((Concept("astronaut"), own, Concept("riding")))
    measured = judge.measured((Concept("astronaut"), own, Concept("riding")))
    assert {name: entry["threshold"] for name, entry in measured.items() if name != ALL} == drawn.fit.thresholds
    assert measured[ALL]["positives"] == drawn.fit.clean[f"{ALL}: astronaut, horse, riding"].positives


def test_rates_are_corrected_with_the_new_numbers(drawn):
    """12 of 20 images with a horse by a judge of known Se and Sp, reckoned by hand; without the file nothing is
    corrected, for the texts of the config have no calibration."""
    [spec] = yaml.safe_load(drawn.line)
    raw = yaml.safe_load(Path("configs/astronaut.yaml").read_text()) | {"sweep": {}, "judges": [spec]}
    raw["concepts"] = OWN
    config = study.check(raw).config
    judge, prompt = config.judge_plugins()[0], config.pool_prompts()[0]
    rows = [(f"{i}", name, i < 12) for i in range(20) for name in prompt.concepts]
    answers = pd.DataFrame(rows, columns=["id", "concept", "answer"])
    table = pd.DataFrame(rates(answers, prompt, calibration(judge, config, prompt))).set_index("concept")
    assert set(table.index) == {"astronaut", "horse", "riding", ALL}
    horse = drawn.fit.clean["horse"]
    expected = (0.6 + horse.specificity - 1) / (horse.sensitivity + horse.specificity - 1)
    assert table.loc["horse", "corrected"] == pytest.approx(expected)
    assert table["corrected"].notna().all()
    bare = replace(judge, calibration=None, calibration_revision=None)
    missing = pd.DataFrame(rates(answers, prompt, calibration(bare, config, prompt))).set_index("concept")
    assert missing["corrected"].isna().to_dict() == {"astronaut": False, "horse": True, "riding": False, ALL: True}


def test_the_rates_name_a_calibration_file_that_is_gone(drawn, tmp_path):
    """A file that is no longer there leaves the corrected rates empty, and the reason names it."""
    config = study.check(yaml.safe_load(Path("configs/astronaut.yaml").read_text()) | {"sweep": {}}).config
    judge = ClipRecogniser("bundled:storybook-judge", calibration=str(tmp_path / "gone.json"))
    known = calibration(judge, config, config.pool_prompts()[0])
    assert known.entries == {}
    assert "gone.json: no such file" in known.missing_reason


def test_the_scenes_are_those_of_the_seed(drawn, tmp_path):
    """The counts of the file are those of the scenes that this seed draws, both halves together being all of them."""
    truth = labelled.storybook((("astronaut", "horse", "riding"),), 480, 1, tmp_path, ignore).truth
    clean = drawn.fit.clean
    for name in truth:
        assert LEAST <= clean[name].positives <= int(truth[name].sum()) - LEAST
        assert clean[name].positives + clean[name].negatives == 240


def test_what_most_people_say_is_a_truth_to_calibrate_by(bright, images, tmp_path):
    """A judge is fitted on the rated images of a results folder as on an imagefolder that is labelled so; where people
    are divided there is no label, and without answers nothing to fit on."""
    from entropy_loop.people.book import Book, Item
    from entropy_loop.people.queue import Queue

    asked, source = study.check(bright), f"people:{tmp_path / 'images'}"
    with pytest.raises(ConfigError, match="nobody has rated"):
        calibrate.calibrate(asked, source, None, 0, tmp_path / "out", ignore)
    folder = images(lights(400))
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    book = Book(folder)
    book.add_items([Item(row["file_name"], row["file_name"], row["file_name"], ESSAY, CONCEPTS) for row in rows])
    seen = {row["file_name"]: [concept for concept in CONCEPTS if row[concept]] for row in rows}
    queue = Queue(book, raters=2, repeats=0, catch_trials=0)
    for divided in ({"6.png"}, set()):
        rater = book.rater(book.join(book.link()))
        while ask := queue.next(rater):
            queue.answer(rater, ask.ask, [] if ask.item in divided else seen[ask.item])
    book.close()
    (by_people,) = calibrate.calibrate(asked, source, None, 0, tmp_path / "people", ignore)
    (by_folder,) = calibrate.calibrate(asked, str(folder), None, 0, tmp_path / "folder", ignore)
    assert by_people.fit.thresholds["bright"] == pytest.approx(by_folder.fit.thresholds["bright"], abs=0.02)
    contents = [json.loads(calibrated.file.read_text()) for calibrated in (by_people, by_folder)]
    assert [content["images"]["source"] for content in contents] == [source, str(folder)]
    truth = majority.labels(folder, [Concept(name) for name in CONCEPTS])[1]
    assert int(truth.isna().to_numpy().sum()) == 2  # both concepts of the one image
    assert int((~truth.isna()).to_numpy().sum()) == 798
