"""docs/notebook.md: its code runs as it stands, from top to bottom, and its first four lines draw V."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from entropy_loop import assets

REPOSITORY, PAGE = Path.cwd(), Path("docs/notebook.md")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
SMALL = {
    "generations": 1, "images": 4, "evaluation.images": 1, "generator.num_inference_steps": 1, "generator.block": 4,
    "train.max_train_steps": 1, "train.train_batch_size": 2, "checks": "none",
}  # fmt: skip
"""The tutorial's run, as small as it gets."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as the reader's, without a display."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(REPOSITORY / "results" / "reference")
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    monkeypatch.chdir(tmp_path)
    for name in assets.SILENT | assets.OFFLINE:  # what a run sets is taken back
        monkeypatch.setenv(name, os.environ.get(name, ""))
    with matplotlib.rc_context({"backend": "agg"}):
        yield tmp_path


def test_four_lines_draw_v_over_generations(place: Path) -> None:
    """One line per arm, through the very rates of the reference's rates.csv."""
    from matplotlib import pyplot

    assert len([line for line in BLOCKS[0].splitlines() if line]) == 4
    exec(BLOCKS[0], {})
    figure = pyplot.gcf()
    figure.savefig(place / "v.png")
    with open("results/reference/astronaut/rates.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["set"], row["concept"]) == ("pool", "all")]
    drawn = {str(line.get_label()): [*map(float, line.get_ydata())] for line in figure.axes[0].lines}
    pyplot.close(figure)
    arms = {row["arm"] for row in rows}
    assert drawn == {arm: [float(row["rate"]) for row in rows if row["arm"] == arm] for arm in arms}
    assert (place / "v.png").stat().st_size > 10_000


def test_the_page_runs_from_top_to_bottom(place: Path) -> None:
    """Every block after the other, as in one notebook; the pictures are those of a run on the bundled checkpoint."""
    from matplotlib import pyplot

    import entropy_loop as el

    el.run("configs/tutorial.yaml", overrides=SMALL, progress=False)
    notebook: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, notebook)
    pyplot.close("all")
    images = notebook["images"]
    shown = notebook["r"].folder
    assert shown == Path("results/two-concepts")
    assert set(notebook["r"].rates["seed"]) == {0, 1, 2}
    assert len(images) == 4
    assert el.open_results("results/tutorial").picture(images["file"].iloc[0]).size == (64, 64)
