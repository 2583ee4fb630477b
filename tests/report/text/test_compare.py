import re
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from entropy_loop.commands import experiment
from entropy_loop.errors import ConfigError
from entropy_loop.plan import plan
from entropy_loop.report.page import comparison
from entropy_loop.report.text.compare import COLUMNS, compare, lines
from entropy_loop.report.view import Style
from entropy_loop.study import study


def test_two_results_stand_side_by_side_with_the_numbers_of_their_own_tables(toy, tmp_path):
    """Every arm of every folder has one row; V and c are those of rates.csv and summary.csv."""
    folders = []
    for name, changes in (("one", {}), ("two", {"sweep": {"feedback": [{"use": "replace"}, {"use": "accumulate"}]}})):
        folders.append(tmp_path / name)
        experiment.carry_out(plan(study.load(toy(name=name, **changes))), folders[-1], lambda *event: None)
    table = compare(folders)
    assert list(table.columns) == list(COLUMNS)
    assert list(zip(table["results"], table["arm"], strict=True)) == [
        ("one", "none"),
        ("two", "replace"),
        ("two", "accumulate"),
    ]
    for row in table.itertuples():
        rates = pd.read_csv(tmp_path / row.results / "rates.csv").query(
            "concept == 'all' and set == 'pool' and arm == @row.arm"
        )
        assert (row.v_first, row.v_last) == (rates["rate"].iloc[0], rates["rate"].iloc[-1])
        assert row.change_rate == pytest.approx(1 - row.v_last / row.v_first)


def test_the_page_has_the_table_and_a_panel_per_folder(toy, command, tmp_path):
    """`--html` writes the same cells that the terminal shows, a drawing of each folder, and nothing from elsewhere."""
    for name in ("one", "two"):
        command("run", toy(name=name), "--out", tmp_path / name)
    done = command("compare", "one", "two", "--html", "pages/both.html")
    assert done.returncode == 0, done.stderr
    assert "page: pages/both.html" in done.stdout
    text = (tmp_path / "pages" / "both.html").read_text(encoding="utf-8")
    for line in lines(compare([tmp_path / "one", tmp_path / "two"])):
        assert "".join(f"<td>{cell}</td>" for cell in line) in text
    assert text.count("<svg role=") == 2
    assert {"../one/report.html", "../two/report.html"} <= set(re.findall(r'href="([^"#]+)"', text))
    assert not re.findall(r"<(?:script|link|iframe|img)\b|https?://(?!www\.w3\.org)", text)


def test_the_panels_show_the_mean_rates_of_the_summary(toy, tmp_path):
    """One line per arm, through the rows of summary.csv."""
    planned = plan(study.load(toy(sweep={"feedback": [{"use": "replace"}, {"use": "accumulate"}], "seed": [0, 1]})))
    summary = experiment.carry_out(planned, tmp_path / "one", lambda *event: None).tables.summary
    (panel,) = comparison._panels(tmp_path / "one")
    ax = Figure().subplots()
    comparison._draw(ax, panel, {"replace": Style(0), "accumulate": Style(1)}, 2)
    rows = summary[(summary["statistic"] == "rate") & (summary["concept"] == "all")]
    for line, arm in zip(ax.lines, ("replace", "accumulate"), strict=True):
        assert line.get_color() == Style(("replace", "accumulate").index(arm)).colour
        assert list(line.get_ydata()) == pytest.approx(rows.loc[rows["arm"] == arm, "mean"].tolist(), abs=1e-5)


def test_a_folder_without_results_is_refused(tmp_path):
    """The message names the missing table and what writes it."""
    with pytest.raises(ConfigError, match=r"rates.csv: not there; `entropy-loop run`"):
        compare([Path(tmp_path)])
