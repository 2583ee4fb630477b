"""A CSV of answers, as people, or who rates in their place, fill it in: which answers it holds, and what is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from entropy_loop.people import asking
from entropy_loop.people.asking import Questions, Seen
from entropy_loop.people.book import Item

Answer = str | bool | None
YES_NO: Mapping[str, Answer] = {"true": True, "1": True, "false": False, "0": False, "": None}
TAKES = "true or 1, false or 0, or nothing for can't tell"


@dataclass(frozen=True)
class Said:
    """One person's answer to one image."""

    rater: str
    item: str
    seen: Seen
    repeat: bool = False


@dataclass(frozen=True)
class Asked:
    """What people were asked, and so what a file of their answers can hold."""

    items: dict[str, Item]
    questions: Questions

    @property
    def heads(self) -> tuple[str, str]:
        """Of the columns that hold an answer in long form: to what, and which."""
        return ("question", "choice") if self.questions else ("concept", "answer")

    def parts(self, item: Item) -> tuple[str, ...]:
        """What of an image is answered one by one."""
        return tuple(self.questions) or item.concepts

    def values(self, part: str) -> Mapping[str, Answer]:
        """Word in small letters -> the answer that it stands for."""
        if not self.questions:
            return YES_NO
        return {choice.lower(): choice for choice in asking.choices(self.questions[part])}


def lines(text: str, asked: Asked, mistakes: list[str]) -> Iterator[Said]:
    """The answers of a CSV: in long form a row per answer and concept or question, in wide form one per image with a
    column for each of them."""
    rows = csv.DictReader(io.StringIO(text))
    heads = list(rows.fieldnames or ())
    parts = {part for item in asked.items.values() for part in asked.parts(item)}
    wide = [] if set(asked.heads) <= set(heads) else [head for head in heads if head in parts]
    if wrong := _headless(heads, wide, asked):
        mistakes.append(f"line 1: {wrong}")
        return
    named, found = _by_name(asked.items), dict[tuple[str, str, bool], dict[str, Answer]]()
    for row in rows:
        if wrong := _misplaced(row, named):
            mistakes.append(f"line {rows.line_num}: {wrong}")
            continue
        (item,) = named[_image(row)]
        key = row["rater"], item.item, (row.get("repeat") or "").lower() == "true"
        for part, cell in _cells(row, wide, item, asked):
            if wrong := _misread(part, cell, item, asked):
                mistakes.append(f"line {rows.line_num}: {wrong}")
                continue
            answer = asked.values(part)[_word(cell)]
            if found.setdefault(key, {}).setdefault(part, answer) != answer:
                mistakes.append(f"line {rows.line_num}: another answer to {part!r} than above, by the same rater")
    for (rater, name, repeat), said in found.items():
        unsure = None in said.values()
        if set(said) != set(asked.parts(asked.items[name])) or (unsure and set(said.values()) != {None}):
            mistakes.append(
                f"item {name}, rater {rater}: all of its {asked.heads[0]}s are answered, or not one of them"
            )
        seen: Seen = {question: str(choice) for question, choice in said.items()}
        if not asked.questions:
            seen = None if unsure else tuple(concept for concept, yes in said.items() if yes)
        yield Said(rater, name, seen, repeat)


def _headless(heads: list[str], wide: list[str], asked: Asked) -> str:
    """What is wrong with the first line of a CSV; empty if nothing is."""
    part, answer = asked.heads
    missing = [name for name in ("rater", *(() if wide else asked.heads)) if name not in heads]
    missing += [] if {"item", "file"} & set(heads) else ["item or file"]
    twice = len(set(heads)) < len(heads)
    if not (missing or twice):
        return ""
    wrong = f"has no column {', '.join(missing)}" if missing else "names a column twice"
    return f"{wrong}; needed are rater, item or file, and either {part} and {answer} or a column for each {part}"


def _by_name(items: dict[str, Item]) -> dict[str, list[Item]]:
    """The images that are called so: by their opaque name, or by the end of their path below the results folder."""
    found: dict[str, list[Item]] = {}
    for item in items.values():
        parts = Path(item.file).parts
        for name in (item.item, *("/".join(parts[start:]) for start in range(len(parts)))):
            found.setdefault(name, []).append(item)
    return found


def _image(row: dict[str, str]) -> str:
    return row.get("item") or row.get("file") or ""


def _cells(row: dict[str, str], wide: list[str], item: Item, asked: Asked) -> list[tuple[str, str]]:
    """(concept or question, answer) of a row; in wide form of every one that was asked or has an answer."""
    if not wide:
        part, answer = asked.heads
        return [(row[part], row[answer])]
    return [(part, row[part]) for part in wide if part in asked.parts(item) or _word(row[part])]


def _word(answer: str) -> str:
    return answer.strip().lower()


def _misplaced(row: dict[str, str], named: dict[str, list[Item]]) -> str:
    """What is wrong with who answered in a line of a CSV, or to what; empty if nothing is."""
    if None in row or None in row.values():
        return "has more or fewer cells than the first line"
    if not row["rater"]:
        return "rater is empty"
    meant = named.get(_image(row), [])
    if not meant:
        return f"item {_image(row)!r} was never asked about here"
    return f"{_image(row)!r} names {len(meant)} images; give more of its path" if len(meant) > 1 else ""


def _misread(part: str, cell: str, item: Item, asked: Asked) -> str:
    """What is wrong with an answer in a CSV; empty if nothing is."""
    kind, answer = asked.heads
    if part not in asked.parts(item):
        return f"{kind} {part!r} was not asked; {', '.join(asked.parts(item))} were"
    if _word(cell) not in asked.values(part):
        takes = ", ".join(asking.choices(asked.questions[part])) if asked.questions else TAKES
        return f"{answer} {cell!r}; it takes {takes}"
    return ""
