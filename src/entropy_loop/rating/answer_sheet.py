"""Reads and checks a CSV of answers that people, or a model in their place, have filled in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from entropy_loop.people import asking
from entropy_loop.people.asking import Answer, Questions
from entropy_loop.people.book import Item

Value = str | bool | None
YES_NO: Mapping[str, Value] = {"true": True, "1": True, "false": False, "0": False, "": None}
YES_NO_HELP = "true or 1, false or 0, or an empty cell for can't tell"


@dataclass(frozen=True)
class RaterAnswer:
    """One person's answer for one image."""

    rater: str
    item: str
    answer: Answer
    repeat: bool = False


@dataclass(frozen=True)
class Survey:
    """The images and questions that an answer can refer to. A field is a question, or, asked by concept, a concept."""

    items: dict[str, Item]
    questions: Questions

    @property
    def columns(self) -> tuple[str, str]:
        """The columns of the long form that hold the field and its value."""
        return ("question", "choice") if self.questions else ("concept", "answer")

    def fields(self, item: Item) -> tuple[str, ...]:
        """The fields of an image."""
        return tuple(self.questions) or item.concepts

    def values(self, field: str) -> Mapping[str, Value]:
        """Cell in lower case -> the value that it stands for."""
        if not self.questions:
            return YES_NO
        return {choice.lower(): choice for choice in asking.choices(self.questions[field])}


def parse(text: str, survey: Survey, mistakes: list[str]) -> Iterator[RaterAnswer]:
    """The answers of a CSV; each mistake in it is appended to `mistakes`.

    The long form has a row per answer and field. The wide form has a row per image and a column per field.
    """
    rows = csv.DictReader(io.StringIO(text))
    header = list(rows.fieldnames or ())
    fields = {field for item in survey.items.values() for field in survey.fields(item)}
    wide = [] if set(survey.columns) <= set(header) else [name for name in header if name in fields]
    if mistake := _check_header(header, wide, survey):
        mistakes.append(f"line 1: {mistake}")
        return
    items_by_name, answers = _items_by_name(survey.items), dict[tuple[str, str, bool], dict[str, Value]]()
    for row in rows:
        if mistake := _check_row(row, items_by_name):
            mistakes.append(f"line {rows.line_num}: {mistake}")
            continue
        (item,) = items_by_name[_item_name(row)]
        key = row["rater"], item.item, (row.get("repeat") or "").lower() == "true"
        for field, cell in _cells(row, wide, item, survey):
            if mistake := _check_cell(field, cell, item, survey):
                mistakes.append(f"line {rows.line_num}: {mistake}")
                continue
            value = survey.values(field)[_normalised(cell)]
            if answers.setdefault(key, {}).setdefault(field, value) != value:
                mistakes.append(f"line {rows.line_num}: contradicts an earlier answer to {field!r} by the same rater")
    for (rater, name, repeat), values in answers.items():
        unsure = None in values.values()
        if set(values) != set(survey.fields(survey.items[name])) or (unsure and set(values.values()) != {None}):
            mistakes.append(f"item {name}, rater {rater}: answer all of its {survey.columns[0]}s, or none of them")
        answer: Answer = {question: str(choice) for question, choice in values.items()}
        if not survey.questions:
            answer = None if unsure else tuple(concept for concept, yes in values.items() if yes)
        yield RaterAnswer(rater, name, answer, repeat)


def _check_header(header: list[str], wide: list[str], survey: Survey) -> str:
    """The mistake in the first line of a CSV; empty if there is none."""
    field, value = survey.columns
    missing = [name for name in ("rater", *(() if wide else survey.columns)) if name not in header]
    missing += [] if {"item", "file"} & set(header) else ["item or file"]
    if not missing and len(set(header)) == len(header):
        return ""
    mistake = f"has no column {', '.join(missing)}" if missing else "names a column twice"
    return f"{mistake}; it needs rater, item or file, and either {field} and {value} or a column for each {field}"


def _items_by_name(items: dict[str, Item]) -> dict[str, list[Item]]:
    """Name -> its images. An image's names are its opaque name and each end of its path below the results folder."""
    by_name: dict[str, list[Item]] = {}
    for item in items.values():
        parts = Path(item.file).parts
        for name in (item.item, *("/".join(parts[start:]) for start in range(len(parts)))):
            by_name.setdefault(name, []).append(item)
    return by_name


def _item_name(row: dict[str, str]) -> str:
    return row.get("item") or row.get("file") or ""


def _cells(row: dict[str, str], wide: list[str], item: Item, survey: Survey) -> list[tuple[str, str]]:
    """(field, cell) of a row; in the wide form, each field that was asked or has an answer."""
    if not wide:
        field, value = survey.columns
        return [(row[field], row[value])]
    return [(field, row[field]) for field in wide if field in survey.fields(item) or _normalised(row[field])]


def _normalised(cell: str) -> str:
    return cell.strip().lower()


def _check_row(row: dict[str, str], items_by_name: dict[str, list[Item]]) -> str:
    """The mistake in the rater or image of a row; empty if there is none."""
    if None in row or None in row.values():
        return "has more or fewer cells than the first line"
    if not row["rater"]:
        return "rater is empty"
    items = items_by_name.get(_item_name(row), [])
    if not items:
        return f"item {_item_name(row)!r} is not among the images that people are asked about"
    return f"{_item_name(row)!r} names {len(items)} images; give more of its path" if len(items) > 1 else ""


def _check_cell(field: str, cell: str, item: Item, survey: Survey) -> str:
    """The mistake in an answer; empty if there is none."""
    kind, value = survey.columns
    if field not in survey.fields(item):
        return f"{kind} {field!r} was not asked; {', '.join(survey.fields(item))} were"
    if _normalised(cell) not in survey.values(field):
        accepted = ", ".join(asking.choices(survey.questions[field])) if survey.questions else YES_NO_HELP
        return f"{value} {cell!r}; it takes {accepted}"
    return ""
