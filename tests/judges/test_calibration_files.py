"""Calibration files of a judge: which threshold is in force, what is known of it, and what is refused."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from entropy_loop import assets
from entropy_loop.data import ALL, Concept, Prompt, Samples
from entropy_loop.errors import ConfigError
from entropy_loop.judges.clip import ClipRecogniser
from entropy_loop.worlds.storybook import scene

MODEL = "bundled:storybook-judge"
OPTIONS = {"model": MODEL, "pretrained": None, "revision": assets.REVISIONS["storybook-judge"]}
COW = Concept("cow", ("a cow",), ("a horse", "a pig"))
RATES = {"positives": 60, "sensitivity": 0.9, "negatives": 80, "specificity": 0.95}
CONTENT = {
    "format": 1,
    "judge": OPTIONS,
    "concepts": {
        "cow": {"yes": ["a cow"], "no": ["a horse", "a pig"], "threshold": 1e6, **RATES},
        "riding": {"yes": ["somebody riding an animal"], "no": ["an animal alone"], "threshold": -1e6, **RATES},
    },
    "joint": {"all: cow, riding": {"concepts": ["cow", "riding"], **RATES, "positives": 55}},
}


def judge_of(tmp_path: Path, **changes: object) -> ClipRecogniser:
    """A judge with a calibration file of this content, under its right revision."""
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(CONTENT | changes))
    return ClipRecogniser(MODEL, calibration=str(path), calibration_revision=sha(path))


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def judged(judge: ClipRecogniser, concepts: tuple[Concept, ...], folder: Path) -> pd.DataFrame:
    """The judge's answers for one scene with a cow, by concept."""
    Image.fromarray(scene.render(scene.sample(3, 0, relation="mount_alone", mount="cow"))).save(folder / "cow.png")
    pd.DataFrame({"id": ["i"], "prompt": ["x"], "file": ["cow.png"]}).to_parquet(folder / "samples.parquet")
    prompt = Prompt("x", concepts=tuple(concept.name for concept in concepts))
    return judge.judge(Samples(folder), (prompt,), concepts, lambda share: None).set_index("concept")


def test_the_thresholds_of_the_file_are_in_force(tmp_path):
    """Also for texts that stand in the config, when the file was fitted with the very same ones."""
    judge = judge_of(tmp_path)
    judge.ready((COW, Concept("riding")))
    table = judged(judge, (COW, Concept("riding")), tmp_path)
    assert table["threshold"].to_dict() == {"cow": 1e6, "riding": -1e6}
    assert table["answer"].to_dict() == {"cow": False, "riding": True}
    assert judged(ClipRecogniser(MODEL), (COW,), tmp_path).loc["cow", "threshold"] == 0


def test_the_texts_of_the_file_are_asked_when_the_config_gives_none(tmp_path):
    """The same scores as with these texts in the config."""
    judge = judge_of(tmp_path)
    without, given = (judged(judge, (concept,), tmp_path).loc["cow", "score"] for concept in (Concept("cow"), COW))
    assert without == given
    assert judge.question(Concept("cow")) == {"yes": ["a cow"], "no": ["a horse", "a pig"]}


def test_texts_that_are_those_of_the_models_own_calibration_have_its_threshold(tmp_path):
    """One rule for both kinds of calibration: it holds for the very texts that it was fitted with."""
    own = json.loads((assets.find(MODEL) / "calibration.json").read_text())["concepts"]["cow"]
    copied = Concept("cow", tuple(own["yes"]), tuple(own["no"]))
    row = judged(ClipRecogniser(MODEL), (copied,), tmp_path).loc["cow"]
    assert row["threshold"] == own["threshold"]
    assert ClipRecogniser(MODEL).measured((copied,))["cow"]["positives"] == own["positives"]


def test_measurements_are_given_for_the_concepts_that_are_asked(tmp_path):
    """The entries of the concepts, and as `all` that of the conjunction in any order; a part of it has none."""
    judge = judge_of(tmp_path)
    both = judge.measured((Concept("riding"), COW))
    assert {name: entry["positives"] for name, entry in both.items()} == {"riding": 60, "cow": 60, ALL: 55}
    assert judge.measured((COW,))[ALL]["positives"] == 60  # all of one concept is that concept
    unknown = Concept("pig", ("a pig",), ("a cow",))
    assert set(judge.measured((COW, Concept("riding"), unknown))) == {"cow", "riding"}


def test_other_texts_than_the_files_are_refused(tmp_path):
    """A threshold for other texts means nothing, and silently taking 0 would not be what the config says."""
    judge = judge_of(tmp_path)
    other = Concept("cow", ("a cow",), ("a horse",))
    for ask in (lambda: judge.ready((other,)), lambda: judge.measured((other,))):
        with pytest.raises(ConfigError, match=r"concepts\.cow: .* was fitted with other texts"):
            ask()


def test_a_concept_that_the_file_lacks_needs_texts(tmp_path):
    """Nothing is mixed in from the model's own calibration: the file is the calibration."""
    judge = judge_of(tmp_path)
    with pytest.raises(ConfigError, match=r"concepts\.horse: .*not calibrated for it.*cow, riding"):
        judge.ready((Concept("horse"),))
    horse = Concept("horse", ("a horse",), ("a cow",))
    judge.ready((horse,))
    assert judged(judge, (horse,), tmp_path).loc["horse", "threshold"] == 0


def test_a_file_of_another_revision_is_refused_with_the_right_one(tmp_path):
    """One byte more, or no revision at all: the message tells what the config should say."""
    path = Path(str(judge_of(tmp_path).calibration))
    old = sha(path)
    path.write_text(path.read_text() + "\n")
    for wanted in (old, None):
        judge = ClipRecogniser(MODEL, calibration=str(path), calibration_revision=wanted)
        with pytest.raises(
            ConfigError, match=rf"calibration_revision: .* is '{sha(path)}', the config says {wanted!r}"
        ):
            judge.ready((COW,))


def test_a_file_for_another_judge_is_refused(tmp_path):
    """Scores of other weights have other thresholds."""
    judge = judge_of(tmp_path, judge=OPTIONS | {"model": "bundled:storybook-curator"})
    with pytest.raises(ConfigError, match=r"was fitted for the judge .*storybook-curator.*, not for .*storybook-judge"):
        judge.ready((COW,))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "concepts": {}}'])
def test_a_file_that_is_no_calibration_is_refused(tmp_path, text):
    """Another file under this name is an error with a clear message, without a traceback."""
    path = tmp_path / "calibration.json"
    path.write_text(text)
    judge = ClipRecogniser(MODEL, calibration=str(path), calibration_revision=sha(path))
    with pytest.raises(ConfigError, match=r"calibration\.json: (is no calibration file|has format 2)"):
        judge.ready((COW,))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """With the command that writes one."""
    judge = ClipRecogniser(MODEL, calibration=str(tmp_path / "no.json"), calibration_revision="0" * 16)
    with pytest.raises(ConfigError, match=r"no\.json: no such file; `entropy-loop calibrate` writes one"):
        judge.ready((COW,))


def test_a_revision_without_a_file_is_refused():
    """It would enter keys and mean nothing."""
    with pytest.raises(ConfigError, match="calibration_revision: names no file"):
        ClipRecogniser(MODEL, calibration_revision="0" * 16)
