"""The bundled checkpoint and judges, for real: the models that ship are the models that are tested."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from entropy_loop import assets
from entropy_loop.commands import experiment, results_folder
from entropy_loop.data import POOL, Checkpoint, Concept, Diet, Prompt, Request, Samples, TrainSettings
from entropy_loop.errors import TrainingDiverged
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.judges.attributes import AttributeReader
from entropy_loop.judges.clip import ClipRecogniser, ClipScorer
from entropy_loop.plan import plan
from entropy_loop.study import study
from entropy_loop.worlds.storybook import scene

ESSAY = "a photograph of an astronaut riding a horse"
TINY = Diffusion(checkpoint="bundled:storybook", num_inference_steps=4, guidance_scale=3.0, block=8)


def quiet(*_: object) -> None:
    """A listener that says nothing."""


def requests(n: int, prompt: str = ESSAY) -> list[Request]:
    return [Request(f"i{i:03d}", prompt, i, 1000 + i) for i in range(n)]


def sampled(folder: Path, asked: list[Request]) -> Samples:
    folder.mkdir()
    TINY.base(folder, quiet)
    TINY.sample(Checkpoint(folder), asked, folder, quiet)
    return Samples(folder)


@pytest.fixture(scope="module")
def diet(tmp_path_factory: pytest.TempPathFactory) -> Diet:
    """Eight drawn scenes of the essay's prompt, as a kept pool."""
    folder = tmp_path_factory.mktemp("diet")
    (folder / "images").mkdir()
    scenes = [scene.sample(7, i, relation="riding", rider="astronaut", mount="horse") for i in range(8)]
    for i, drawn in enumerate(scenes):
        Image.fromarray(scene.render(drawn)).save(folder / f"images/i{i}.png")
    ids = [f"i{i}" for i in range(8)]
    table = pd.DataFrame({"id": ids, "prompt": ESSAY, "file": [f"images/{name}.png" for name in ids]})
    table.to_parquet(folder / "samples.parquet")
    return Diet(table.assign(folder=str(folder), real=False))


def trained(diet: Diet, out: Path, **changes: object) -> Path:
    settings = TrainSettings(**{"max_train_steps": 3, "train_batch_size": 4, "learning_rate": 1e-4, **changes})  # type: ignore[arg-type]
    out.mkdir()
    TINY.base(out, quiet)
    TINY.train(Checkpoint(out), diet, settings, [11, 12, 13], out, quiet)
    return out


@pytest.mark.parametrize("name", sorted(assets.REVISIONS))
def test_a_bundled_model_is_the_one_its_revision_names(name: str) -> None:
    """The revision that enters every key is a hash over the very files that ship."""
    assert assets.fingerprint(assets.find(f"bundled:{name}")) == assets.REVISIONS[name]


def test_all_assets_stay_small() -> None:
    """A clone is quick: at most 42 MB of weights and vocabularies."""
    sizes = [p.stat().st_size for p in Path(assets.__file__).parent.rglob("*") if p.is_file()]
    assert 1e6 < sum(sizes) <= 42e6


def test_the_lines_of_the_bundled_cards_work_without_this_package(tmp_path: Path) -> None:
    """Each card's Python, as it stands, in a folder with the four models: the checkpoint's makes a picture that is not
    flat, the others score that picture as our judges and our reader do."""
    names = ["storybook", *sorted(set(assets.REVISIONS) - {"storybook"})]
    blocks = []
    for name in names:
        (tmp_path / name).symlink_to(assets.find(f"bundled:{name}"))
        blocks += re.findall(r"```python\n(.*?)```", (tmp_path / name / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == len(names)
    code = f"import sys\nfor block in {blocks}:\n    exec(block, {{}})\nassert 'entropy_loop' not in sys.modules"
    command = [sys.executable, "-W", "always", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert "deprecated" not in result.stderr.lower()
    picture = np.asarray(Image.open(tmp_path / "picture.png"))
    assert picture.shape == (64, 64, 3)
    assert picture.std(axis=(0, 1)).min() > 10
    *read, curated, judged = result.stdout.splitlines()

    table = pd.DataFrame({"id": ["i0"], "prompt": ESSAY, "file": ["picture.png"]})
    table.to_parquet(tmp_path / "samples.parquet")
    asked = Samples(tmp_path), (Prompt(ESSAY, "target", ("horse",)),), (Concept("horse"),), quiet
    for name, line in (("curator", curated), ("judge", judged)):
        ours = ClipRecogniser(model=f"bundled:storybook-{name}").judge(*asked).iloc[0]
        assert float(line.split()[-1]) == pytest.approx(ours["score"], abs=1e-3)
        assert line.startswith("a horse") == ours["answer"]
    ours = AttributeReader().read(Samples(tmp_path), quiet).set_index("attribute")
    assert [line.split()[0] for line in read] == list(ours.index)
    clear = ours[ours["value"].notna()]
    assert {line.split()[0]: line.split()[1] for line in read if line.split()[0] in clear.index} == dict(clear["value"])


def test_an_image_is_the_same_whatever_else_is_made(tmp_path: Path) -> None:
    """Image i in a pool of 3, of 11, and among images of another prompt: the same latents and pixels."""
    three, eleven = sampled(tmp_path / "three", requests(3)), sampled(tmp_path / "eleven", requests(11))
    mixed = sampled(tmp_path / "mixed", [*requests(5, "a photograph of a pig"), *requests(3)])
    first = three.table["latent_sha256"].tolist()
    assert eleven.table["latent_sha256"].tolist()[:3] == first == mixed.of_prompt(ESSAY)["latent_sha256"].tolist()
    assert (three.folder / "images/i001.png").read_bytes() == (eleven.folder / "images/i001.png").read_bytes()
    assert len(set(eleven.table["latent_sha256"])) == 11


def test_training_is_repeatable_and_changes_the_model(diet: Diet, tmp_path: Path) -> None:
    """Same start, diet and seeds: the same bytes; and what comes out is another model, in plain diffusers' format."""
    from safetensors.numpy import load_file

    first, second = (
        trained(diet, tmp_path / name) / "unet/diffusion_pytorch_model.safetensors" for name in ("first", "second")
    )
    assert first.read_bytes() == second.read_bytes()
    before = load_file(assets.find("bundled:storybook") / "unet/diffusion_pytorch_model.safetensors")
    after = load_file(first)
    assert before.keys() == after.keys()
    assert all(value.dtype == np.float32 for value in after.values())
    assert any(not np.array_equal(before[name].astype(np.float32), after[name]) for name in after)


def test_gradients_are_really_clipped(diet: Diet, tmp_path: Path) -> None:
    """With a norm far below Adam's epsilon and no weight decay the model stays where it is; a clip that does
    nothing would move it by the learning rate in every step."""
    from safetensors.numpy import load_file

    changes = {"learning_rate": 1e-3, "adam_weight_decay": 0.0, "max_grad_norm": 1e-12}
    after = load_file(trained(diet, tmp_path / "after", **changes) / "unet/diffusion_pytorch_model.safetensors")
    before = load_file(assets.find("bundled:storybook") / "unet/diffusion_pytorch_model.safetensors")
    assert max(float(np.abs(after[name] - before[name]).max()) for name in before) < 1e-6


def test_a_loss_that_is_not_finite_stops_and_publishes_nothing(diet: Diet, tmp_path: Path) -> None:
    """A learning rate that blows the weights up ends in a clear error; no weights are written, and the next
    training in the same process does not notice."""
    before = trained(diet, tmp_path / "before") / "unet/diffusion_pytorch_model.safetensors"
    with pytest.raises(TrainingDiverged, match="The previous generation is intact"):
        trained(diet, tmp_path / "nan", learning_rate=1e30)
    assert not (tmp_path / "nan" / "unet").exists()
    after = trained(diet, tmp_path / "after") / "unet/diffusion_pytorch_model.safetensors"
    assert after.read_bytes() == before.read_bytes()


def test_the_judge_tells_riding_from_standing_beside_and_refuses_junk(tmp_path: Path) -> None:
    """On drawn scenes with known truth the answers are the truth; on noise every answer is no."""
    (tmp_path / "images").mkdir()
    relations = ["riding"] * 10 + ["next_to"] * 10
    scenes = [scene.sample(99, i, relation=r, rider="astronaut", mount="horse") for i, r in enumerate(relations)]
    pixels = [scene.render(drawn) for drawn in scenes]
    pixels += [np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8) for i in range(10)]
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"images/{i:02d}.png")
    ids = [f"{i:02d}" for i in range(30)]
    table = pd.DataFrame({"id": ids, "prompt": ESSAY, "file": [f"images/{name}.png" for name in ids]})
    table.to_parquet(tmp_path / "samples.parquet")
    point = study.load(Path("configs/astronaut.yaml")).points[0].config
    judge = ClipRecogniser(model="bundled:storybook-judge")
    judgements = judge.judge(Samples(tmp_path), point.pool_prompts(), point.judged_concepts(), quiet)
    answers = judgements.pivot(index="id", columns="concept", values="answer")
    assert answers["riding"].iloc[:10].sum() >= 9
    assert answers["riding"].iloc[10:20].sum() <= 1
    assert answers[["astronaut", "horse"]].iloc[:20].sum().min() >= 19
    assert answers.iloc[20:].sum().sum() <= 1


def test_an_image_is_scored_alone(tmp_path: Path) -> None:
    """A score does not depend on the images beside it."""
    pool = sampled(tmp_path / "pool", requests(9))
    scorer = ClipScorer(model="bundled:storybook-curator")
    scores = []
    for n in (3, 9):
        part = tmp_path / f"part{n}"
        part.mkdir()
        (part / "images").symlink_to(pool.folder / "images")
        pool.table.head(n).to_parquet(part / "samples.parquet")
        scores.append(scorer.score(Samples(part), (ESSAY,), quiet).set_index("id")["score"])
    pd.testing.assert_series_equal(scores[0], scores[1].head(3), check_exact=True)


@pytest.mark.thorough
def test_the_smoke_config_runs_to_its_report(tmp_path: Path) -> None:
    """The whole loop on the real models: every generation measured, weights saved, a report to look at."""
    planned = experiment.prepare(Path("configs/smoke.yaml"))
    finished = experiment.carry_out(planned, tmp_path / "smoke", quiet)
    rates = finished.tables.rates
    assert set(rates["generation"]) == {0, 1, 2}
    assert (rates.loc[rates["set"] == POOL, "n"] == 16).all()
    assert len(list((tmp_path / "smoke" / "store").glob("*-train-*/unet/*.safetensors"))) == 4
    assert "data:image/webp" in finished.report.read_text()
    receipt = json.loads(next((tmp_path / "smoke" / "store").glob("*-train-*/receipt.json")).read_text())
    assert receipt["stage"]["reads"]["train"]["max_train_steps"] == 10
    assert plan(planned.study) == planned


def test_the_loop_checks_the_judge_on_its_own_pictures(tmp_path: Path) -> None:
    """The smallest run: check prompts and moved images are made and judged in every generation. Damaged ones are found,
    and only they are made anew, as they were."""
    small = (
        "sweep={}", "generations=1", "images=2", "evaluation.images=1", "measures={}", "attributes={}", "threads=1",
        "generator.num_inference_steps=2", "generator.block=2", "train.max_train_steps=1", "train.train_batch_size=1",
    )  # fmt: skip
    planned, root = experiment.prepare(Path("configs/smoke.yaml"), small), tmp_path / "out"
    checks = experiment.carry_out(planned, root, quiet).tables.checks
    shares = {(r.check, r.concept): r.n for r in checks[checks["generation"] == 1].itertuples()}
    assert shares == {
        **{("specificity", name): n for name, n in (("astronaut", 6), ("horse", 6), ("riding", 4), ("all", 8))},
        **{("sensitivity", name): n for name, n in (("astronaut", 2), ("horse", 2), ("riding", 4))},
        **{(move, name): 2 for move in ("mirror", "shift") for name in ("astronaut", "horse", "riding", "all")},
    }
    files = [next((root / "store").glob(f"g01-{verb}-*/images/*.png")) for verb in ("generate-check", "move-moved")]
    before, started = [file.read_bytes() for file in files], []
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    assert len(results_folder.verify(root)) == 2
    experiment.carry_out(planned, root, lambda event, stage, _: started.extend([stage.name] * (event == "started")))
    assert started == ["generate-check", "move-moved"]
    assert [file.read_bytes() for file in files] == before
