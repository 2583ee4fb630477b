"""Results whose bundled models were others: a version of the package that has another revision goes on with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from entropy_loop import assets, registry
from entropy_loop.cli import app
from entropy_loop.commands import results_folder
from entropy_loop.errors import ConfigError

SMALL = (
    "generations=1", "images=2", "evaluation.images=1", "threads=1", "generator.num_inference_steps=1",
    "train.max_train_steps=1", "train.train_batch_size=1", "sweep={}", "curate.policy={use: top_k, k: 1}",
    "check_images=1", "steady_images=1",
)  # fmt: skip
ANOTHER = "0" * 16


def run(root: Path) -> Result:
    overrides = [word for override in SMALL for word in ("--set", override)]
    return CliRunner().invoke(app, ["run", "configs/smoke.yaml", "--out", str(root), *overrides])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the bundled models, one feedback step with everything that is measured."""
    root = tmp_path_factory.mktemp("finished") / "out"
    assert run(root).exit_code == 0
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may go on with."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def written(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of every stage, and when it was written."""
    files = (path for path in (root / "store").glob("g*/**/*") if path.is_file())
    return {str(path.relative_to(root / "store")): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def revise(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Gives a bundled model another revision, as if the next process were another version of the package: plug-ins that
    this process has built already are forgotten."""

    def change(model: str) -> None:
        monkeypatch.setitem(assets.REVISIONS, model, ANOTHER)
        registry._validated.cache_clear()

    yield change
    registry._validated.cache_clear()


def logged_stages(root: Path) -> list[str]:
    """The stages that were made, in order."""
    return [json.loads(line)["stage"] for line in (root / "events.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("model", "verbs"),
    [
        ("storybook-judge", [f"recognise-{stream}" for stream in ("check", "evaluation", "moved", "pool")] * 2),
        ("storybook-attributes", ["embed-pool", "measure", "read-pool"] * 2),
    ],
)
def test_another_revision_of_a_measuring_model_looks_at_the_same_images(root, revise, model, verbs):
    """A message names the model, the judgements or measures are made anew and stand in the tables, and no file of any
    other stage is written again; the next run has nothing to do and prints no such message."""
    before, first = written(root), logged_stages(root)
    revise(model)
    again = run(root)
    assert again.exit_code == 0, again.output
    assert again.output.startswith(f"measured anew with {model} {ANOTHER}; images stay\n")
    anew = logged_stages(root)[len(first) :]
    assert sorted(stage[4:-17] for stage in anew) == sorted(verbs)
    assert {name: file for name, file in written(root).items() if name.split("/")[0] not in anew} == before
    assert pd.read_csv(root / "rates.csv").query("set == 'pool'")["n"].tolist() == [2] * 8
    assert "measured anew" not in run(root).output
    assert logged_stages(root) == first + anew


@pytest.mark.parametrize(
    ("model", "place"), [("storybook", "generator.revision"), ("storybook-curator", "curate.scorer.revision")]
)
def test_another_revision_of_a_model_that_makes_or_selects_images_is_another_experiment(root, revise, model, place):
    """It is refused with the revisions, and nothing is written."""
    before, there = written(root), assets.REVISIONS[model]
    revise(model)
    refused = run(root)
    assert refused.exit_code == 1
    assert type(refused.exception).__name__ == "ConfigError"
    assert f"  {place}: '{there}' there, '{ANOTHER}' here\n" in str(refused.exception)
    assert written(root) == before


def test_before_new_measurements_a_folder_says_which_revision_made_it(root, revise):
    """What needs a plan (`report`, `rate`, `export`) names both revisions; `verify` reads bytes alone, and works."""
    there = assets.REVISIONS["storybook-judge"]
    revise("storybook-judge")
    with pytest.raises(ConfigError, match=f"made with storybook-judge {there}, and this version .* has {ANOTHER}"):
        results_folder.planned(root)
    assert CliRunner().invoke(app, ["verify", str(root)]).exit_code == 0
