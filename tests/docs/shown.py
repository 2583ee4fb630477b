"""What the documentation shows: its pages, and the commands on them as a reader would type them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHELL = ("", "sh", "bash")
"""Languages of a fence that holds commands. Output stands in one that says `text`."""

PLACEHOLDERS = {
    "CONFIG": "configs/toy.yaml",
    "DIR": "results/toy",
    "RESULTS": "results/toy",
    "COMMAND": "run",
    "FILE": "page.html",
    "NAME": "storybook",
    "RATE": "0.8",
    "CHANGE": "0.1",
    "N": "2",
    "I/N": "1/2",
    "key=value": "images=8",
    "html|md|json": "md",
    "$SLURM_ARRAY_TASK_ID/8": "1/8",
}
"""What a reader would write in the place of a word."""


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it. whole: a line of a code block, to be typed as it stands; else code in a sentence
    or a cell, which may leave out what is needed. form: with placeholders or brackets."""

    text: str
    whole: bool
    form: bool

    @property
    def argv(self) -> list[str]:
        """The program and its arguments: placeholders filled in, what stands in brackets taken too."""
        plain = re.sub(r"\[OPTIONS\]|\.\.\.", "", self.text.replace("\\|", "|"))
        plain = re.sub(r" \[(--[^\[\]]+)\]", r" \1", plain) if self.form else plain
        return [PLACEHOLDERS.get(word, word) for word in shlex.split(plain, comments=True)]


def pages() -> list[Path]:
    """Everything that shows commands: README, docs, experiments, and the headers of the shipped configs."""
    written = [Path("README.md"), *Path("docs").rglob("*.md"), *Path("experiments").glob("*/README.md")]
    return sorted(written) + sorted(Path("configs").glob("*.yaml"))


def shown(page: Path) -> Iterator[Shown]:
    """The commands of a page, in order."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".yaml":
        header = text.partition("\nname:")[0]
        yield from (_shown(line[4:], True) for line in header.splitlines() if line.startswith("#   entropy-loop"))
        yield from (_shown(code, False) for code in re.findall(r"`(entropy-loop [^`]+)`", header))
        return
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    # A block in a fence, a block by four spaces after an empty line, or code in a sentence.
    parts = re.compile(
        r"^ *```(?P<language>\w*)[^\n]*\n(?P<fence>.*?)^ *```$|(?<=\n\n)(?P<block>(?:    \S[^\n]*\n(?:    [^\n]*\n)*))"
        r"|`(?P<inline>(?:entropy-loop|make|pip install|python -m scripts\.) ?[^`]+)`",
        re.DOTALL | re.MULTILINE,
    )
    for part in parts.finditer(text):
        if part["inline"]:
            yield _shown(" ".join(part["inline"].split()), False)
        elif part["block"] or part["language"] in SHELL:
            yield from (_shown(line, True) for line in _lines(part["block"] or part["fence"]))


def _lines(block: str) -> Iterator[str]:
    """The commands of a block: a line that ends in a backslash, or in the middle of a quotation, goes on."""
    waiting = ""
    for line in block.splitlines():
        waiting = f"{waiting} {line.strip()}".strip()
        if waiting.endswith("\\"):
            waiting = waiting[:-1]
            continue
        try:
            argv = shlex.split(waiting, comments=True)
        except ValueError:  # no closing quotation yet
            continue
        if argv:
            yield waiting
        waiting = ""


def _shown(text: str, whole: bool) -> Shown:
    # What Python or YAML writes in quotation marks is no placeholder.
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    form = bool(re.search(r"\[|\.\.\.|\b(CONFIG|DIR|RESULTS|COMMAND|FILE|N|KEY)\b", bare))
    return Shown(text, whole, form)
