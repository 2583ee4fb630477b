"""The rules of every judge, on real pictures and on real models with broken weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from entropy_loop import assets
from entropy_loop.analysis.rates import PromptCalibration, rates
from entropy_loop.data import ALL, Concept, Prompt, Samples
from entropy_loop.errors import EntropyLoopError
from entropy_loop.judges import answers
from entropy_loop.judges.attributes import AttributeReader
from entropy_loop.judges.clip import ClipRecogniser, ClipScorer
from entropy_loop.worlds.storybook import scene

PROMPT = Prompt("a photograph of an astronaut riding a horse", "target", ("astronaut", "horse", "riding"))
CONCEPTS = tuple(Concept(name) for name in PROMPT.concepts)
RED, TWO, THREE = (200, 30, 30), (202, 30, 30), (203, 30, 30)


def ignore(share: float) -> None:
    """Progress that nobody watches."""


def halves(left: tuple[int, ...], right: tuple[int, ...]) -> Image.Image:
    """A picture of one colour on the left and one on the right."""
    picture = Image.new("RGB", (64, 64), left)
    picture.paste(right, (32, 0, 64, 64))
    return picture


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    """Three scenes of the prompt; red; red that differs by two grey levels, and by three."""
    scenes = [scene.sample(3, i, relation="riding", rider="astronaut", mount="horse") for i in range(3)]
    pictures = [Image.fromarray(scene.render(drawn)) for drawn in scenes]
    pictures += [halves(RED, right) for right in (RED, TWO, THREE)]
    files = [f"{i}.png" for i in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        picture.save(tmp_path / file)
    ids = ["s0", "s1", "s2", "red", "two", "three"]
    pd.DataFrame({"id": ids, "prompt": PROMPT.text, "file": files}).to_parquet(tmp_path / "samples.parquet")
    return Samples(tmp_path)


def test_a_no_to_a_picture_of_one_colour_counts_and_says_what_it_was(samples):
    """It shows nothing, so it is in the denominator of V: 3 of 6, for every concept and for all of them. It has a score
    and an answer; the reason stands beside it where no channel spans more than two grey levels, and nowhere else."""
    table = ClipRecogniser("bundled:storybook-judge").judge(samples, (PROMPT,), CONCEPTS, ignore)
    rows = rates(table, PROMPT, PromptCalibration({}, ""))
    counted = {row["concept"]: (row["n"], row["hits"], row["rate"]) for row in rows}
    assert counted == dict.fromkeys((*PROMPT.concepts, ALL), (6, 3, 0.5))
    assert np.isfinite(table["score"]).all()
    reasons = table.groupby("id")["reason"].agg(set).to_dict()
    flat = {name: {"flat picture: one colour"} for name in ("red", "two")}
    assert reasons == {name: {""} for name in ("s0", "s1", "s2", "three")} | flat


def test_a_yes_to_a_picture_of_one_colour_has_no_reason(samples):
    """A judge that sees a desert in plain sand is not corrected."""
    table = answers.judgements([("red", "horse", 0.9, 0.5), ("two", "horse", 0.5, 0.5)], "mine", samples)
    assert table["answer"].tolist() == [True, False]
    assert table["reason"].tolist() == ["", "flat picture: one colour"]


@pytest.mark.parametrize(("model", "tensor"), [("judge", "logit_scale"), ("attributes", "fc.bias")])
def test_a_score_that_is_no_number_is_an_error_and_never_a_no(samples, tmp_path, model, tensor):
    """A model with a weight that is NaN, as judge, as curator and as reader: the model and the image are named."""
    folder = Path(shutil.copytree(assets.find(f"bundled:storybook-{model}"), tmp_path / model))
    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    save_file(weights | {tensor: np.full_like(weights[tensor], np.nan)}, file)
    if model == "attributes":
        looks = [lambda: AttributeReader(str(folder)).read(samples, ignore)]
    else:
        looks = [
            lambda: ClipRecogniser(str(folder)).judge(samples, (PROMPT,), CONCEPTS, ignore),
            lambda: ClipScorer(str(folder)).score(samples, (PROMPT.text,), ignore),
        ]
    for look in looks:
        with pytest.raises(EntropyLoopError, match=f"{model}: its answer for image s0 is not a finite number"):
            look()
