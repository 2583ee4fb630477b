"""The reference pages say what the schema and the commands say now, and leave nothing unsaid."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from entropy_loop import registry
from entropy_loop.study.config import Config
from entropy_loop.study.schema import section_schema
from scripts.tools.write_reference import FOLDER, PAGES, SECTIONS


@pytest.mark.parametrize("file", PAGES)
def test_the_reference_is_what_its_script_writes(file: str) -> None:
    """Who changes a key, an option or a command runs `python -m scripts.tools.write_reference`."""
    assert (FOLDER / file).read_text(encoding="utf-8") == PAGES[file]()


def test_every_key_and_option_says_what_it_is() -> None:
    """No row of the config reference ends in an empty cell."""
    rows = re.findall(r"^\| .*", PAGES["config.md"](), re.MULTILINE)
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("| |")] == []


def test_every_section_and_plug_in_is_there() -> None:
    """Each key that holds keys has its table, each plug-in its line, each top-level key its row."""
    page = PAGES["config.md"]()
    assert {"prompts", "curate", "train", "people"} <= set(SECTIONS)
    assert all(f"\n### {kind}\n" in page for kind in registry.KINDS)
    assert all(f"\n## {name}\n" in page for name in SECTIONS)
    assert all(f"\n**`{name}`**: " in page for kind in registry.KINDS.values() for name in kind.bundled)
    assert all(f"\n| `{name}` |" in page for name in Config.model_fields)


@dataclass(frozen=True)
class Base:
    """What it is."""

    first: int = 0
    """Of all; at a price: none."""
    second: int = 0
    """In pixels, over
    two lines."""
    third: int = 0


@dataclass(frozen=True)
class Derived(Base):
    """Something else."""

    second: int = 1
    """Its own."""
    fourth: int = 0
    """New."""


def test_an_option_is_described_by_the_docstring_under_its_field() -> None:
    """The class that extends another has its texts too, and may replace one; an option without one stays bare."""
    texts = [
        {name: option.get("description") for name, option in section_schema(cls)["properties"].items()}
        for cls in (Base, Derived)
    ]
    assert texts == [
        {"first": "Of all; at a price: none.", "second": "In pixels, over\ntwo lines.", "third": None},
        {"first": "Of all; at a price: none.", "second": "Its own.", "third": None, "fourth": "New."},
    ]
