"""The reference pages say what the schema and the commands say now, and leave nothing unsaid."""

from __future__ import annotations

import re

import pytest

from entropy_loop import registry
from entropy_loop.study.config import Config
from scripts.tools.write_reference import FOLDER, PAGES, SECTIONS, sentences


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


def test_a_sentence_ends_where_the_next_key_begins() -> None:
    """Several keys may share one; a colon in prose begins none; the class that extends another has its keys, too."""

    class Base:
        """What it is.

        first: of all; at a price: none. second (pixels), third: together.

        Another paragraph.
        """

    class Derived(Base):
        """Something else. fourth: its own."""

    assert sentences(Derived) == {
        "first": "of all; at a price: none",
        "second": "together",
        "third": "together",
        "fourth": "its own",
    }
