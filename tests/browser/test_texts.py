"""Texts from strangers: what a page, a table and a folder do with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from playwright.sync_api import Browser

from conftest import Command
from entropy_loop import loop
from entropy_loop.analysis.tables import tables
from entropy_loop.plan import plan
from entropy_loop.report.page import page
from entropy_loop.storage.store import Store
from entropy_loop.study import study

TEXTS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=https://example.org/x>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<body onload=alert(1)>",
    "<a href=javascript:alert(1) autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<base href=https://example.org>",
    "<object data=https://example.org/x>",
    "<embed src=https://example.org/x>",
    "<video src=https://example.org/x autoplay onerror=alert(1)>",
    "<style>@import 'https://example.org/x';</style>",
    '" onmouseover=alert(1) x="',
    "' onmouseover=alert(1) x='",
    '" autofocus onfocus=alert(1) x="',
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "{% for x in [].__class__.__mro__ %}{{ x }}{% endfor %}",
    "${alert(1)}",
    "`${alert(1)}`",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<<script>alert(1)//<</script>",
    "<ScRiPt >alert(1)</sCrIpT>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    '=HYPERLINK("https://example.org")',
    "[red]rich[/red] [link=https://example.org]x[/link]",
    "'; drop table x; --",
    "../../../outside",
    "/etc/outside",
    'a,b"c\nd',
]


def config() -> dict[str, Any]:
    prompts = [{"text": "a horse", "concepts": ["horse"]}]
    prompts += [{"text": text, "role": "unrelated", "concepts": ["horse"]} for text in TEXTS]
    return {
        "name": "toy", "generations": 1, "images": 4, "measured_images": 2, "evaluation": {"images": 2},
        "prompts": prompts, "generator": {"use": "categorical", "rates": {"horse": 0.5}}, "judges": [{"use": "exact"}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished results folder in a folder of its own, with every text as a prompt."""
    root = tmp_path_factory.mktemp("texts") / "deep" / "results"
    root.parent.mkdir()
    planned, store = plan(study.check(config())), Store(root)
    with store.lock():
        for run in planned.chains:
            loop.carry(run, store)
    report_tables = tables(planned, store)
    report_tables.write(root)
    page.write(planned, store, report_tables)
    return root


def test_the_corpus_is_large_enough():
    """At least forty texts."""
    assert len(TEXTS) >= 40


def test_nothing_is_written_beside_the_results(root: Path):
    """Whatever a prompt says, all files lie in the results folder."""
    assert [path.name for path in root.parent.parent.iterdir()] == ["deep"]
    assert [path.name for path in root.parent.iterdir()] == ["results"]
    assert all(path.resolve().is_relative_to(root) for path in root.rglob("*"))


def test_tables_keep_every_text_as_it_is(root: Path):
    """No cell is bent so that a spreadsheet would not take it for a formula: tables are data, and read back equal."""
    assert set(TEXTS) <= set(pd.read_csv(root / "rates.csv", keep_default_na=False)["prompt"])


def test_the_report_runs_and_asks_nothing_of_theirs(browser: Browser, root: Path):
    """No dialog opens and nothing outside the folder is asked for, also when whatever can be touched is."""
    seen: list[str] = []
    shown = browser.new_page()
    shown.on("request", lambda request: seen.append(request.url))
    shown.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
    shown.goto((root / "report.html").as_uri())
    for kind in ("mouseover", "focus", "toggle"):
        shown.evaluate(f"document.querySelectorAll('*').forEach(e => e.dispatchEvent(new Event('{kind}')))")
    shown.wait_for_load_state("networkidle")
    text = shown.content()
    shown.close()
    assert [url for url in seen if not url.startswith(("data:", root.as_uri()))] == []
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.thorough
def test_the_terminal_shows_every_text_as_it_is(tmp_path: Path, command: Command):
    """`run`, `report --format md` and `plan`: texts come out letter by letter, and marks of rich
    or of a terminal do nothing."""
    raw = config()
    raw["prompts"] = [{"text": text, "concepts": ["horse"]} for text in TEXTS]
    (tmp_path / "texts.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    result = command("run", "texts.yaml", "--out", "out")
    assert result.returncode == 0
    spaceless = "".join(result.stdout.split())
    assert [text for text in TEXTS if "".join(text.split()) not in spaceless] == []
    for line in (("report", "out", "--format", "md"), ("plan", "texts.yaml")):
        result = command(*line)
        assert (result.returncode, "\x1b" in result.stdout) == (0, False)
