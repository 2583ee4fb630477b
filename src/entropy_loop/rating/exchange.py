"""Answers in and out: CSV for anything, Label Studio's JSON for a platform that does the rating.

Who answered is kept under a name that tells nothing: a hash of what the file calls the person with a salt of the book's
own. Read twice, a file adds nothing; with one mistake in it, nothing of it is kept.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from entropy_loop.errors import ConfigError
from entropy_loop.people import asking
from entropy_loop.people.asking import UNSURE, Questions, Seen
from entropy_loop.people.book import ANSWERS, Book, Item, answers, now, opaque, reading
from entropy_loop.rating import answer_sheet
from entropy_loop.rating.answer_sheet import Asked, Said
from entropy_loop.rating.pixels import png
from entropy_loop.storage.disk import write_text

NONE = "none of these"  # of the concepts
COLUMNS = tuple(name for name in ANSWERS if name != "truth")
MOST = 20  # mistakes that are told


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
    labelings: dict[str, list[dict[str, dict[str, str]]]] = {}
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


def read(book: Book, file: Path) -> int:
    """Keep the answers of a file, Label Studio's JSON or CSV; returns how many are new. Raises ConfigError that lists
    what is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as text ({error}).") from None
    mistakes: list[str] = []
    parsed = _tasks if text.lstrip().startswith("[") else answer_sheet.lines
    said: list[Said] = []
    try:
        said += parsed(text, Asked(book.items(), book.questions()), mistakes)
    except csv.Error as error:
        mistakes.append(f"is no CSV: {error}")
    if not said and not mistakes:
        mistakes.append("holds no answer")
    if mistakes:
        more = [f"and {len(mistakes) - MOST} more"] if len(mistakes) > MOST else []
        raise ConfigError("\n".join(f"{file}: {line}" for line in (*mistakes[:MOST], *more)))
    return _kept(book, said)


def _tasks(text: str, asked: Asked, mistakes: list[str]) -> Iterator[Said]:
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
