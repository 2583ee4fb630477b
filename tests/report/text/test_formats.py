"""The report as Markdown and as plain values, on real runs of the toy loop."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from test_page import planned, written

from entropy_loop.analysis.tables import Tables, tables
from entropy_loop.plan import Plan
from entropy_loop.report.text import formats
from entropy_loop.storage.store import Store

Read = tuple[Path, Plan, Tables]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """A finished run in which one concept never shows, so that c is missing."""
    root = tmp_path_factory.mktemp("plain")
    never = {"use": "categorical", "rates": {"astronaut": 0.0, "horse": 0.9, "riding": 0.8}}
    plan = planned(generator=never, steady_images=2)
    written(plan, root)
    return root, plan, tables(plan, Store(root))


@pytest.mark.parametrize("name", formats.TABLES)
def test_values_are_those_of_the_tables(read: Read, name: str) -> None:
    """Row by row and cell by cell as in the CSV; what is missing there is null here."""
    root, plan, results = read
    rows = json.loads(json.dumps(formats.values(plan, results), allow_nan=False))[name]
    expected = pd.read_csv(root / f"{name}.csv", keep_default_na=False, dtype=str)
    assert len(rows) == len(expected) > 0
    assert list(rows[0]) == list(expected)
    for row, other in zip(rows, expected.to_dict("records"), strict=True):
        for column, text in other.items():
            value = row[column]
            if isinstance(value, float):
                assert float(text) == pytest.approx(value, rel=1e-5)
            else:
                assert text == ("" if value is None else str(value))


def test_values_hold_missing_data_as_null(read: Read) -> None:
    """Where V1 = 0 there is no c: null with its reason, never 0."""
    missing = [row for row in formats.values(*read[1:])["changes"] if row["concept"] == "astronaut"]
    assert missing
    assert {row["change_rate"] for row in missing} == {None}
    assert {row["reason"] for row in missing} == {"undefined: V1 = 0"}


def cells(text: str, first: str) -> list[list[str]]:
    """The lines of the Markdown tables whose first head is `first`, without the heads."""
    blocks = [block for block in text.split("\n\n") if block.startswith(f"| {first} |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for b in blocks for line in b.splitlines()[2:]]


def test_markdown_has_every_rate_and_change(read: Read) -> None:
    """V of each concept and generation, c of each step: in the order of chains, with the numbers of the tables."""
    _, plan, results = read
    lines = cells(formats.markdown(plan, results), "chain")
    rates = results.rates[(results.rates["set"] == "pool") & (results.rates["role"] == "target")]
    expected = rates.pivot(index=["run", "generation"], columns="concept", values="rate")
    expected = expected[["all", "astronaut", "horse", "riding"]]
    shown = [[float(cell.split(" ")[0]) for cell in line[2:]] for line in lines if line[1].isdigit()]
    assert shown == expected.round(2).to_numpy().tolist()
    steps = [line for line in lines if "\u2192" in line[1]]
    changes = results.changes[(results.changes["role"] == "target") & (results.changes["concept"] == "all")]
    assert len(steps) == len(changes) > 0
    assert all(line[2] == "\u2013 (undefined: V1 = 0)" for line in steps)


def test_markdown_is_text(read: Read) -> None:
    """What a config names cannot break a table or become markup."""
    prompt = {"text": "a | b <script>", "concepts": ["horse"]}
    plan = planned(prompts=[prompt])
    text = formats.markdown(plan, tables(plan, Store(read[0] / "elsewhere")))
    assert "<script" not in text
    assert re.search(r"^## \u201ca \\\| b", text, re.MULTILINE)
