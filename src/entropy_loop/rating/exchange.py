"""Exports and imports answers, as CSV or as Label Studio's JSON.

Raters are stored under a hash of their name in the file, with a salt of the database. Importing a file twice adds
nothing. A file with a mistake is refused as a whole.
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
from entropy_loop.people.asking import UNSURE, Answer, Questions
from entropy_loop.people.book import ANSWERS, Book, Item, answers, now, opaque, reading
from entropy_loop.rating import answer_sheet
from entropy_loop.rating.answer_sheet import RaterAnswer, Survey
from entropy_loop.rating.pixels import png
from entropy_loop.storage.disk import write_text

NONE = "none of these"  # Label Studio's choice for no concept
COLUMNS = tuple(name for name in ANSWERS if name != "truth")
MAX_MISTAKES = 20  # listed in an error message


# ---- export ---------------------------------------------------------------------------------------------


def write_csv(root: Path, out: Path) -> list[Path]:
    """Write answers.csv: a row per answer and concept (COLUMNS), or per answer and question (`book.CHOICES`)."""
    with reading(root) as book:
        table = book.choices() if book and book.questions() else answers(root)[list(COLUMNS)]
    flags = [name for name in ("answer", "repeat") if name in table]
    table = table.assign(**{f: table[f].astype(object).map({True: "true", False: "false"}) for f in flags})
    write_text(out / "answers.csv", table.to_csv(index=False, lineterminator="\n"))
    return [out / "answers.csv"]


def write_label_studio(book: Book, root: Path, out: Path) -> list[Path]:
    """Write tasks.json, one task per image with its pixels and opaque name, and its labeling config. Images that need
    different configs get a numbered pair of files each."""
    questions = book.questions()
    tasks: dict[str, list[dict[str, dict[str, str]]]] = {}
    for item in sorted(book.items().values(), key=lambda item: item.item):
        source = f"data:image/png;base64,{base64.b64encode(png(root / item.file)).decode()}"
        tasks.setdefault(_labeling(item, questions), []).append({"data": {"image": source, "item": item.item}})
    written = []
    for number, (labeling, rows) in enumerate(tasks.items(), start=1):
        suffix = "" if len(tasks) == 1 else f"-{number}"
        for name, text in ((f"tasks{suffix}.json", json.dumps(rows)), (f"labeling{suffix}.xml", labeling)):
            write_text(out / name, text)
            written.append(out / name)
    return written


def _labeling(item: Item, questions: Questions) -> str:
    image = '  <Image name="image" value="$image"/>\n'
    if not questions:
        controls = _choices("What do you recognise?", "concepts", (*item.concepts, NONE, UNSURE), "multiple")
    else:
        controls = "".join(
            _choices(name, name, asking.choices(options), "single") for name, options in questions.items()
        )
    return f"<View>\n{image}{controls}</View>\n"


def _choices(header: str, name: str, values: Sequence[str], mode: str) -> str:
    choices = "".join(f"    <Choice value={quoteattr(value)}/>\n" for value in values)
    attributes = f'name={quoteattr(name)} toName="image" choice="{mode}" required="true"'
    return f"  <Header value={quoteattr(header)}/>\n  <Choices {attributes}>\n{choices}  </Choices>\n"


# ---- import ----------------------------------------------------------------------------------------------


def read(book: Book, file: Path) -> int:
    """Import the answers of a CSV or of Label Studio's JSON and return how many are new. Raises ConfigError with the
    mistakes in the file."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as text ({error}).") from None
    mistakes: list[str] = []
    parse = _parse_label_studio if text.lstrip().startswith("[") else answer_sheet.parse
    imported: list[RaterAnswer] = []
    try:
        imported += parse(text, Survey(book.items(), book.questions()), mistakes)
    except csv.Error as error:
        mistakes.append(f"is not a CSV ({error})")
    if not imported and not mistakes:
        mistakes.append("holds no answers")
    if mistakes:
        more = [f"and {len(mistakes) - MAX_MISTAKES} more"] if len(mistakes) > MAX_MISTAKES else []
        raise ConfigError("\n".join(f"{file}: {line}" for line in (*mistakes[:MAX_MISTAKES], *more)))
    return _store(book, imported)


def _parse_label_studio(text: str, survey: Survey, mistakes: list[str]) -> Iterator[RaterAnswer]:
    """The answers in an export of Label Studio (JSON, not JSON-MIN); mistakes are appended to `mistakes`."""
    try:
        tasks = json.loads(text)
    except ValueError as error:
        mistakes.append(f"is not JSON ({error})")
        return
    for number, task in enumerate(tasks, start=1):
        try:
            name, annotations = str(task["data"]["item"]), list(task["annotations"])
        except (KeyError, TypeError):
            mistakes.append(f"task {number}: has no data.item, or no annotations")
            continue
        if name not in survey.items:
            mistakes.append(f"task {number}: item {name!r} is not among the images that people are asked about")
            continue
        for annotation in annotations:
            if isinstance(annotation, dict) and annotation.get("was_cancelled"):
                continue
            try:
                yield from _parse_annotation(annotation, survey.items[name], survey.questions, number, mistakes)
            except (AttributeError, TypeError):
                mistakes.append(f"task {number}: an annotation is not in Label Studio's format")


def _parse_annotation(
    annotation: dict[str, Any], item: Item, questions: Questions, number: int, mistakes: list[str]
) -> Iterator[RaterAnswer]:
    by = annotation.get("completed_by")
    rater = str(by.get("email") or by.get("id")) if isinstance(by, dict) else str(by or "")
    results = [(r.get("from_name"), r.get("value", {}).get("choices", ())) for r in annotation.get("result", ())]
    chosen = [(name, choice) for name, choices in results for choice in choices]
    valid, answer = _to_answer(chosen, item, questions)
    if not rater:
        mistakes.append(f"task {number}: an annotation does not say who made it (completed_by)")
    elif not valid:
        choices = [choice for _, choice in chosen]
        mistakes.append(f"task {number}: an annotation's choices do not fit its labeling config: {choices}")
    else:
        yield RaterAnswer(rater, item.item, answer)


def _to_answer(chosen: list[tuple[str, str]], item: Item, questions: Questions) -> tuple[bool, Answer]:
    """Whether the choices, given as (question, choice), match the labeling config; and the answer."""
    if questions:
        answers = dict(chosen)
        return len(chosen) == len(answers) and asking.is_answer(answers, item.concepts, questions), answers
    names = {choice for _, choice in chosen}
    recognised = tuple(name for name in item.concepts if name in names)
    unsure = UNSURE in names and not recognised
    return bool(names) and names <= {*item.concepts, NONE, UNSURE}, None if unsure else recognised


def _store(book: Book, imported: Iterable[RaterAnswer]) -> int:
    new = 0
    with book.writing() as db:
        db.execute("INSERT OR IGNORE INTO facts VALUES ('salt', ?)", (opaque(),))
        salt = db.execute("SELECT value FROM facts WHERE name = 'salt'").fetchone()[0]
        for row in imported:
            rater = f"rater-{hashlib.sha256(f'{salt}/{row.rater}'.encode()).hexdigest()[:12]}"
            if db.execute("SELECT 1 FROM raters WHERE rater = ?", (row.rater,)).fetchone():
                rater = row.rater  # exported from this database: the name is already a hash
            db.execute("INSERT OR IGNORE INTO raters VALUES (?, NULL, ?)", (rater, now()))
            key = rater, row.item, int(row.repeat)
            db.execute("INSERT OR IGNORE INTO asks(rater, item, repeat, asked) VALUES (?, ?, ?, ?)", (*key, now()))
            ask = db.execute("SELECT ask FROM asks WHERE rater = ? AND item = ? AND repeat = ?", key).fetchone()[0]
            values = (ask, asking.to_json(row.answer), now())
            new += db.execute("INSERT OR IGNORE INTO answers(ask, seen, answered) VALUES (?, ?, ?)", values).rowcount
    return new
