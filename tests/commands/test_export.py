"""Results as a data set that `datasets` loads as its card says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import painted
import pytest

from conftest import Command
from entropy_loop.commands import export
from entropy_loop.errors import ConfigError


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> painted.ResultsFolder:
    folder = painted.carry_out(tmp_path_factory.mktemp("painted") / "painted", report=False)
    (folder.root / "config.yaml").write_text(painted.settings(folder))
    return folder


def exported(results: painted.ResultsFolder, to: str, out: Path, **wanted: Any) -> int:
    with painted.registered():
        return export.export(results.root, to, out, export.Wanted(**wanted))


@pytest.mark.parametrize("to", ["imagefolder", "parquet"])
def test_the_line_of_the_card_loads_every_image_once(
    results: painted.ResultsFolder, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card's own code, run beside the folder, gives each image file once, with prompt, place, pixels and
    judgements as the tables have them."""
    count = exported(results, to, tmp_path / "data-set")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "data-set" / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    data = names["data"]
    images = results.parquet("images").drop_duplicates("file").reset_index(drop=True)
    assert len(data) == count == len(images)
    answers = results.parquet("judgements").set_index(["run", "generation", "set", "id", "concept"])["answer"]
    for row, image in zip(data, images.itertuples(), strict=True):
        assert (row["text"], row["generation"], row["set"], row["id"]) == (
            image.prompt, image.generation, image.set, image.id,
        )  # fmt: skip
        assert image.run in row["run"].split(",")
        assert row["image"].size == (painted.SIDE, painted.SIDE)
        for concept in ("astronaut", "horse"):
            assert row[f"exact:{concept}"] == answers[image.run, image.generation, image.set, image.id, concept]


def test_an_export_can_be_narrowed_by_arm_generation_and_set(results: painted.ResultsFolder, tmp_path: Path) -> None:
    """One arm, one generation, one set: as many images as its pool has."""
    assert exported(results, "imagefolder", tmp_path / "out", arm="none", generation=2, stream="pool") == 12
    with pytest.raises(ConfigError, match="no images of this arm, generation and set"):
        exported(results, "imagefolder", tmp_path / "other", arm="nobody")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("to", ["label-studio", "csv"])
def test_what_people_rate_cannot_be_narrowed(command: Command, tmp_path: Path, to: str) -> None:
    """An option that would be ignored is refused."""
    refused = command("export", tmp_path, "--to", to, "--generation", 2)
    assert refused.returncode == 2
    assert f"--to {to}: takes no --arm, --generation or --image-set" in refused.stderr


def test_nothing_is_overwritten_and_nothing_half_is_left(results: painted.ResultsFolder, tmp_path: Path) -> None:
    """A folder with something in it is refused, as is an unknown format; no part is left behind."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        exported(results, "imagefolder", tmp_path / "out")
    with pytest.raises(ConfigError, match="known are imagefolder, parquet"):
        exported(results, "zip", tmp_path / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_the_card_says_what_the_images_are(results: painted.ResultsFolder, tmp_path: Path) -> None:
    """Who made them, how many of which arm and generation, the prompts, and that they should not be trained on
    unknowingly."""
    exported(results, "imagefolder", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.startswith("---\n")
    assert "| none | 3 | pool | 12 |" in text
    assert painted.CONFIG["prompts"][0]["text"] in text
    assert "made by machines" in text
