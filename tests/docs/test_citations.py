"""What cites the laws and the protocol finds them, and a law's test exists, or the page says that it has none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from entropy_loop.commands import selfcheck

LAWS, PROTOCOL = Path("docs/laws.md"), Path("docs/protocol.md")
IDS = [*(f"E{number}" for number in range(1, 13)), "C1", "C2"]
CITED = re.compile(r"docs/(laws|protocol)\.md,\s+([A-Z]\w*)(?: to ([A-Z]\w*))?")
BARE = re.compile(r"\b(?:LAWS|PROTOCOL)\.md|\b(?:LAWS|PROTOCOL) +(?:E\d|sections? |\d)")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FOLDERS = ("src", "tests", "scripts", "docs", "experiments")
SOURCES = [Path("README.md"), *(path for folder in FOLDERS for path in sorted(Path(folder).rglob("*.*")))]
SOURCES = [path for path in SOURCES if path.suffix in (".py", ".md") and path.name != "test_citations.py"]


def anchors(page: Path) -> set[str]:
    """What can be linked to: ids that are written out, and the slugs of headings."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ ([\w ]+)$", text, re.MULTILINE)
    return set(re.findall(r'<a id="(\w+)"></a>', text)) | {name.strip().lower().replace(" ", "-") for name in headings}


def rows() -> dict[str, str]:
    """Of each law in the table the last cell: what holds it."""
    table = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| [^|]+ \| (.+) \|$", LAWS.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(name.lower() == anchor for name, anchor, _ in table)
    return {name: cell for name, _, cell in table}


def held() -> dict[str, str]:
    """What the section of each law says of its test."""
    text = LAWS.read_text(encoding="utf-8")
    sections = re.findall(r'^### (\w+)\. [^\n]+ <a id="(\w+)"></a>$(.*?)(?=^##)', text, re.MULTILINE | re.DOTALL)
    assert all(name.lower() == anchor for name, anchor, _ in sections)
    return {name: " ".join(body.rpartition("- *Test.* ")[2].split()) for name, _, body in sections}


def cited(text: str) -> list[tuple[str, str]]:
    """(page, anchor) of every citation in a text; of a range both ends."""
    return [(page, end.lower()) for page, *ends in CITED.findall(text) for end in ends if end]


def test_every_citation_points_to_an_anchor() -> None:
    """In the package, its tests and the docs; of a range both ends."""
    there = {"laws": anchors(LAWS), "protocol": anchors(PROTOCOL)}
    citations = [(str(path), *citation) for path in SOURCES for citation in cited(path.read_text(encoding="utf-8"))]
    assert len([citation for citation in citations if citation[0].startswith("src")]) > 20
    assert {page for _, page, _ in citations} == {"laws", "protocol"}
    assert [citation for citation in citations if citation[2] not in there[citation[1]]] == []


def test_laws_and_protocol_are_cited_in_one_form() -> None:
    """Nothing points to a file that only its authors have."""
    assert [str(path) for path in SOURCES if BARE.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("text", ["(LAWS E11)", "LAWS section 2", "PROTOCOL section 4", "shared/LAWS.md", "(LAWS 2)"])
def test_the_pattern_finds_every_other_form(text: str) -> None:
    """The pattern above can fail."""
    assert BARE.search(text)


def test_a_citation_is_read_across_lines_and_ranges() -> None:
    """Neither a line's end nor `to` hides what is cited."""
    assert cited("(docs/laws.md,\n    E11) docs/laws.md, E1 to E9; docs/protocol.md, Verdict. docs/laws.md") == [
        ("laws", "e11"), ("laws", "e1"), ("laws", "e9"), ("protocol", "verdict"),
    ]  # fmt: skip


def test_every_law_has_its_row_and_its_section() -> None:
    """E1 to E12 and the two laws of the change rate, in the table and below it, each once."""
    assert list(rows()) == list(held()) == IDS


def test_every_law_names_a_test_or_says_that_it_has_none() -> None:
    """E6 and E12 are about what the package does not do; all others name a test, in their rows, too."""
    without = [name for name, section in held().items() if section.startswith("No test: ")]
    assert without == [name for name, cell in rows().items() if cell == "no test"] == ["E6", "E12"]
    for name, section in held().items():
        files = list(dict.fromkeys(f"`{file}`" for file, _ in TEST.findall(section)))
        short = ["selfcheck", *files] if section.startswith("selfcheck `") else files
        assert rows()[name] == (", ".join(short) or "no test")


def test_every_test_that_the_laws_name_exists() -> None:
    """Each function is in the file that is named, and is collected."""
    named = set(TEST.findall(LAWS.read_text(encoding="utf-8")))
    assert len(named) > 8
    assert ("tests/commands/test_selfcheck.py", "test_the_loop_obeys_every_law") in named
    assert [test for test in sorted(named) if test[1] not in functions(Path(test[0]))] == []


def functions(path: Path) -> set[str]:
    """Names of the test functions of a file."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_the_laws_page_lists_the_self_check_law_by_law() -> None:
    """Every name that `entropy-loop selfcheck` prints stands in the section of its law, and no other does."""
    named = {law: re.findall(rf"`({law} [^`]+)`", section) for law, section in held().items()}
    known = {law: [name for name in selfcheck.LAWS if name.split()[0] == law] for law in IDS}
    assert named == known
    assert sum(map(len, known.values())) == len(selfcheck.LAWS) > 20
