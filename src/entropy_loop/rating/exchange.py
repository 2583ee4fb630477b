"""Answers in and out: CSV for anything, Label Studio's JSON for a platform that does the rating.

Who answered is kept under a name that tells nothing: a hash of what the file calls the person with a salt of the book's
own. Read twice, a file adds nothing; with one mistake in it, nothing of it is kept.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from entropy_loop.disk import write_text
from entropy_loop.errors import ConfigError
from entropy_loop.people import asking
from entropy_loop.people.asking import UNSURE, Questions, Seen
from entropy_loop.people.book import ANSWERS, Book, Item, answers, now, opaque, reading
from entropy_loop.rating.pixels import png

NONE = "none of these"  # of the concepts
COLUMNS = tuple(name for name in ANSWERS if name != "truth")
SAID = {"true": True, "1": True, "false": False, "0": False, "": None}
TAKES = "true or 1, false or 0, or nothing for can't tell"
MOST = 20  # mistakes that are told


@dataclass(frozen=True)
class Said:
    """One person's answer to one image."""

    rater: str
    item: str
    seen: Seen
    repeat: bool = False


# ---- out ---------------------------------------------------------------------------------------------


def write_csv(root: Path, out: Path) -> list[Path]:
    """answers.csv of a results folder: one row per answer and concept (COLUMNS), or, where people are asked by
    questions, per answer and question (`book.CHOICES`)."""
    with reading(root) as book:
        table = book.choices() if book and book.questions() else answers(root)[list(COLUMNS)]
    words = {True: "true", False: "false"}
    flags = [name for name in ("answer", "repeat") if name in table]
    table = table.assign(**{name: table[name].astype(object).map(words) for name in flags})
    write_text(out / "answers.csv", table.to_csv(index=False, lineterminator="\n"))
    return [out / "answers.csv"]


def write_label_studio(book: Book, root: Path, out: Path) -> list[Path]:
    """tasks.json, one task per image with its pixels inside and an opaque name, and the labeling config to paste in;
    where people are asked for concepts, for each set of these."""
    labelings: dict[str, list[dict[str, Any]]] = {}
    questions = book.questions()
    for item in sorted(book.items().values(), key=lambda one: one.item):
        source = f"data:image/png;base64,{base64.b64encode(png(root / item.file)).decode()}"
        labelings.setdefault(_labeling(item, questions), []).append({"data": {"image": source, "item": item.item}})
    written = []
    for number, (labeling, rows) in enumerate(labelings.items(), start=1):
        end = "" if len(labelings) == 1 else f"-{number}"
        for name, text in ((f"tasks{end}.json", json.dumps(rows)), (f"labeling{end}.xml", labeling)):
            write_text(out / name, text)
            written.append(out / name)
    return written


def _labeling(item: Item, questions: Questions) -> str:
    image = '  <Image name="image" value="$image"/>\n'
    if not questions:
        parts = _choices("What do you recognise?", "concepts", (*item.concepts, NONE, UNSURE), "multiple")
    else:
        parts = "".join(_choices(name, name, asking.choices(options), "single") for name, options in questions.items())
    return f"<View>\n{image}{parts}</View>\n"


def _choices(header: str, name: str, values: Sequence[str], how: str) -> str:
    choices = "".join(f"    <Choice value={quoteattr(value)}/>\n" for value in values)
    named = f'name={quoteattr(name)} toName="image" choice="{how}" required="true"'
    return f"  <Header value={quoteattr(header)}/>\n  <Choices {named}>\n{choices}  </Choices>\n"


# ---- in ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
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

    def values(self, part: str) -> dict[str, Any]:
        """Word in small letters -> the answer that it stands for."""
        if not self.questions:
            return SAID
        return {choice.lower(): choice for choice in asking.choices(self.questions[part])}


def read(book: Book, file: Path) -> int:
    """Keep the answers of a file, Label Studio's JSON or CSV; returns how many are new. Raises ConfigError that lists
    what is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as text ({error}).") from None
    mistakes: list[str] = []
    parsed = _tasks if text.lstrip().startswith("[") else _lines
    said: list[Said] = []
    try:
        said += parsed(text, _Asked(book.items(), book.questions()), mistakes)
    except csv.Error as error:
        mistakes.append(f"is no CSV: {error}")
    if not said and not mistakes:
        mistakes.append("holds no answer")
    if mistakes:
        more = [f"and {len(mistakes) - MOST} more"] if len(mistakes) > MOST else []
        raise ConfigError("\n".join(f"{file}: {line}" for line in (*mistakes[:MOST], *more)))
    return _kept(book, said)


def _lines(text: str, asked: _Asked, mistakes: list[str]) -> Iterator[Said]:
    """The answers of a CSV: in long form a row per answer and concept or question, in wide form one per image with a
    column for each of them."""
    rows = csv.DictReader(io.StringIO(text))
    heads = list(rows.fieldnames or ())
    parts = {part for item in asked.items.values() for part in asked.parts(item)}
    wide = [] if set(asked.heads) <= set(heads) else [head for head in heads if head in parts]
    if wrong := _headless(heads, wide, asked):
        mistakes.append(f"line 1: {wrong}")
        return
    named, found = _by_name(asked.items), dict[tuple[str, str, bool], dict[str, Any]]()
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
        seen = tuple(concept for concept, yes in said.items() if yes)
        yield Said(rater, name, said if asked.questions else None if unsure else seen, repeat)


def _headless(heads: list[str], wide: list[str], asked: _Asked) -> str:
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


def _cells(row: dict[str, str], wide: list[str], item: Item, asked: _Asked) -> list[tuple[str, str]]:
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


def _misread(part: str, cell: str, item: Item, asked: _Asked) -> str:
    """What is wrong with an answer in a CSV; empty if nothing is."""
    kind, answer = asked.heads
    if part not in asked.parts(item):
        return f"{kind} {part!r} was not asked; {', '.join(asked.parts(item))} were"
    if _word(cell) not in asked.values(part):
        takes = ", ".join(asking.choices(asked.questions[part])) if asked.questions else TAKES
        return f"{answer} {cell!r}; it takes {takes}"
    return ""


def _tasks(text: str, asked: _Asked, mistakes: list[str]) -> Iterator[Said]:
    """The annotations of an export of Label Studio (JSON, not JSON-MIN)."""
    try:
        tasks = json.loads(text)
    except ValueError as error:
        mistakes.append(f"is no JSON: {error}")
        return
    for number, task in enumerate(tasks, start=1):
        try:
            name, annotations = str(task["data"]["item"]), list(task["annotations"])
        except (KeyError, TypeError):
            mistakes.append(f"task {number}: has no data.item, or no annotations")
            continue
        if name not in asked.items:
            mistakes.append(f"task {number}: item {name!r} was never asked about here")
            continue
        for one in annotations:
            if isinstance(one, dict) and one.get("was_cancelled"):
                continue
            try:
                yield from _annotation(one, asked.items[name], asked.questions, f"task {number}", mistakes)
            except (AttributeError, TypeError):
                mistakes.append(f"task {number}: an annotation is not one of Label Studio's")


def _annotation(
    one: dict[str, Any], item: Item, questions: Questions, where: str, mistakes: list[str]
) -> Iterator[Said]:
    by = one.get("completed_by")
    rater = str(by.get("email") or by.get("id")) if isinstance(by, dict) else str(by or "")
    parts = [(part.get("from_name"), part.get("value", {}).get("choices", ())) for part in one.get("result", ())]
    chosen = [(name, choice) for name, choices in parts for choice in choices]
    right, seen = _chosen(chosen, item, questions)
    if not rater:
        mistakes.append(f"{where}: an annotation does not say who made it (completed_by)")
    elif not right:
        told = [choice for _, choice in chosen]
        mistakes.append(f"{where}: an annotation lacks a choice, or has another than its labeling config's: {told}")
    else:
        yield Said(rater, item.item, seen)


def _chosen(chosen: list[tuple[str, str]], item: Item, questions: Questions) -> tuple[bool, Seen]:
    """Whether these choices, each with the name of its question, are what the labeling config takes, and the answer."""
    if questions:
        answers = dict(chosen)
        return len(chosen) == len(answers) and asking.fits(answers, item.concepts, questions), answers
    names = {choice for _, choice in chosen}
    seen = tuple(name for name in item.concepts if name in names)
    return bool(names) and names <= {*item.concepts, NONE, UNSURE}, None if UNSURE in names and not seen else seen


def _kept(book: Book, said: Iterable[Said]) -> int:
    new = 0
    with book.writing() as db:
        db.execute("INSERT OR IGNORE INTO facts VALUES ('salt', ?)", (opaque(),))
        salt = db.execute("SELECT value FROM facts WHERE name = 'salt'").fetchone()[0]
        for one in said:
            rater = f"rater-{hashlib.sha256(f'{salt}/{one.rater}'.encode()).hexdigest()[:12]}"
            if db.execute("SELECT 1 FROM raters WHERE rater = ?", (one.rater,)).fetchone():
                rater = one.rater  # answers of this very book come back
            db.execute("INSERT OR IGNORE INTO raters VALUES (?, NULL, ?)", (rater, now()))
            key = rater, one.item, int(one.repeat)
            db.execute("INSERT OR IGNORE INTO asks(rater, item, repeat, asked) VALUES (?, ?, ?, ?)", (*key, now()))
            ask = db.execute("SELECT ask FROM asks WHERE rater = ? AND item = ? AND repeat = ?", key).fetchone()[0]
            values = (ask, asking.written(one.seen), now())
            new += db.execute("INSERT OR IGNORE INTO answers(ask, seen, answered) VALUES (?, ?, ?)", values).rowcount
    return new
