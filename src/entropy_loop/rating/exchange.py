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
from entropy_loop.people.book import ANSWERS, Book, Item, answers, now, opaque
from entropy_loop.rating.pixels import png

NONE, UNSURE = "none of these", "can't tell"
COLUMNS = tuple(name for name in ANSWERS if name != "truth")
NEEDED = "rater, item or file, and either concept and answer or a column for each concept"
SAID = {"true": True, "1": True, "false": False, "0": False, "": None}
MOST = 20  # mistakes that are told


@dataclass(frozen=True)
class Said:
    """One person's answer to one image. seen: None for somebody who could not tell."""

    rater: str
    item: str
    seen: tuple[str, ...] | None
    repeat: bool = False


# ---- out ---------------------------------------------------------------------------------------------


def write_csv(root: Path, out: Path) -> list[Path]:
    """answers.csv of a results folder: one row per answer and concept (COLUMNS)."""
    table = answers(root)[list(COLUMNS)].astype({"answer": object, "repeat": object})
    words = {True: "true", False: "false"}
    table = table.assign(**{name: table[name].map(words) for name in ("answer", "repeat")})
    write_text(out / "answers.csv", table.to_csv(index=False, lineterminator="\n"))
    return [out / "answers.csv"]


def write_label_studio(book: Book, root: Path, out: Path) -> list[Path]:
    """tasks.json, one task per image with its pixels inside and an opaque name, and for each set of concepts the
    labeling config to paste in."""
    tasks: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for item in sorted(book.items().values(), key=lambda one: one.item):
        source = f"data:image/png;base64,{base64.b64encode(png(root / item.file)).decode()}"
        tasks.setdefault(item.concepts, []).append({"data": {"image": source, "item": item.item}})
    written = []
    for number, (concepts, rows) in enumerate(tasks.items(), start=1):
        end = "" if len(tasks) == 1 else f"-{number}"
        for name, text in ((f"tasks{end}.json", json.dumps(rows)), (f"labeling{end}.xml", _labeling(concepts))):
            write_text(out / name, text)
            written.append(out / name)
    return written


def _labeling(concepts: Sequence[str]) -> str:
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in (*concepts, NONE, UNSURE))
    return (
        '<View>\n  <Image name="image" value="$image"/>\n  <Header value="What do you recognise?"/>\n'
        f'  <Choices name="concepts" toName="image" choice="multiple" required="true">\n{choices}  </Choices>\n'
        "</View>\n"
    )


# ---- in ----------------------------------------------------------------------------------------------


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
        said += parsed(text, book.items(), mistakes)
    except csv.Error as error:
        mistakes.append(f"is no CSV: {error}")
    if not said and not mistakes:
        mistakes.append("holds no answer")
    if mistakes:
        more = [f"and {len(mistakes) - MOST} more"] if len(mistakes) > MOST else []
        raise ConfigError("\n".join(f"{file}: {line}" for line in (*mistakes[:MOST], *more)))
    return _kept(book, said)


def _lines(text: str, items: dict[str, Item], mistakes: list[str]) -> Iterator[Said]:
    """The answers of a CSV: in long form a row per answer and concept, in wide form one per image with a column for
    each concept."""
    rows = csv.DictReader(io.StringIO(text))
    heads = list(rows.fieldnames or ())
    asked = {concept for item in items.values() for concept in item.concepts}
    wide = [] if {"concept", "answer"} <= set(heads) else [head for head in heads if head in asked]
    if wrong := _headless(heads, wide):
        mistakes.append(f"line 1: {wrong}; needed are {NEEDED}")
        return
    named, found = _by_name(items), dict[tuple[str, str, bool], dict[str, bool | None]]()
    for row in rows:
        if wrong := _misplaced(row, named):
            mistakes.append(f"line {rows.line_num}: {wrong}")
            continue
        (item,) = named[_image(row)]
        key = row["rater"], item.item, (row.get("repeat") or "").lower() == "true"
        for concept, answer in _cells(row, wide, item):
            if wrong := _misread(concept, answer, item):
                mistakes.append(f"line {rows.line_num}: {wrong}")
            elif found.setdefault(key, {}).setdefault(concept, SAID[_word(answer)]) != SAID[_word(answer)]:
                mistakes.append(f"line {rows.line_num}: another answer to {concept!r} than above, by the same rater")
    for (rater, name, repeat), said in found.items():
        unsure = None in said.values()
        if set(said) != set(items[name].concepts) or (unsure and set(said.values()) != {None}):
            mistakes.append(f"item {name}, rater {rater}: all of its concepts are answered, or none")
        yield Said(rater, name, None if unsure else tuple(c for c, yes in said.items() if yes), repeat)


def _headless(heads: list[str], wide: list[str]) -> str:
    """What is wrong with the first line of a CSV; empty if nothing is."""
    missing = [name for name in ("rater", *(() if wide else ("concept", "answer"))) if name not in heads]
    missing += [] if {"item", "file"} & set(heads) else ["item or file"]
    if missing:
        return f"has no column {', '.join(missing)}"
    return "names a column twice" if len(set(heads)) < len(heads) else ""


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


def _cells(row: dict[str, str], wide: list[str], item: Item) -> list[tuple[str, str]]:
    """(concept, answer) of a row; in wide form of every concept that was asked or has an answer."""
    if not wide:
        return [(row["concept"], row["answer"])]
    return [(concept, row[concept]) for concept in wide if concept in item.concepts or _word(row[concept])]


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


def _misread(concept: str, answer: str, item: Item) -> str:
    """What is wrong with an answer in a CSV; empty if nothing is."""
    if concept not in item.concepts:
        return f"concept {concept!r} was not asked; {', '.join(item.concepts)} were"
    if _word(answer) not in SAID:
        return f"answer {answer!r}; it takes true or 1, false or 0, or nothing for can't tell"
    return ""


def _tasks(text: str, items: dict[str, Item], mistakes: list[str]) -> Iterator[Said]:
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
        if name not in items:
            mistakes.append(f"task {number}: item {name!r} was never asked about here")
            continue
        for one in annotations:
            if isinstance(one, dict) and one.get("was_cancelled"):
                continue
            try:
                yield from _annotation(one, items[name], f"task {number}", mistakes)
            except (AttributeError, TypeError):
                mistakes.append(f"task {number}: an annotation is not one of Label Studio's")


def _annotation(one: dict[str, Any], item: Item, where: str, mistakes: list[str]) -> Iterator[Said]:
    by = one.get("completed_by")
    rater = str(by.get("email") or by.get("id")) if isinstance(by, dict) else str(by or "")
    chosen = [choice for part in one.get("result", ()) for choice in part.get("value", {}).get("choices", ())]
    if not rater:
        mistakes.append(f"{where}: an annotation does not say who made it (completed_by)")
    elif not chosen or set(chosen) - {*item.concepts, NONE, UNSURE}:
        mistakes.append(f"{where}: an annotation has no choice, or another than its labeling config's: {chosen}")
    else:
        seen = tuple(name for name in item.concepts if name in chosen)
        yield Said(rater, item.item, None if UNSURE in chosen and not seen else seen)


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
            text = None if one.seen is None else json.dumps(sorted(one.seen))
            values = (ask, text, now())
            new += db.execute("INSERT OR IGNORE INTO answers(ask, seen, answered) VALUES (?, ?, ?)", values).rowcount
    return new
