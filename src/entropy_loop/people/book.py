"""people.sqlite in a results folder: the images that raters were shown and their answers.

It is a database (SQLite in WAL mode) and no stage, because many raters write small rows at the same time. It is part
of no key. Answers are never overwritten: one that is taken back stays, with the time at which it was taken back.
Readers get tables (`ANSWERS`, `CHOICES`, `picks.PICKS`). Times are UTC.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any

import pandas as pd

from entropy_loop.errors import StorageError, as_storage_error
from entropy_loop.people import asking
from entropy_loop.people.asking import Answer, Questions

FILE = "people.sqlite"
ANSWERS = ("rater", "item", "file", "id", "prompt", "concept", "answer", "truth", "repeat", "at")
"""One row per answer and concept. file: the image, relative to the results folder. answer: missing for "can't tell".
truth: of a catch trial, missing for all other images. repeat: the rater had answered for this image before."""
CHOICES = ("rater", "item", "file", "id", "prompt", "question", "choice", "repeat", "at")
"""One row per answer and question, where people are asked by question. choice: an option, `asking.NONE` or
`asking.UNSURE`."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items(
    item TEXT PRIMARY KEY, file TEXT NOT NULL UNIQUE, id TEXT NOT NULL, prompt TEXT NOT NULL, concepts TEXT NOT NULL,
    truth TEXT);
CREATE TABLE IF NOT EXISTS raters(rater TEXT PRIMARY KEY, session TEXT UNIQUE, joined TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS links(link TEXT PRIMARY KEY, rater TEXT REFERENCES raters);
CREATE TABLE IF NOT EXISTS asks(
    ask INTEGER PRIMARY KEY, rater TEXT NOT NULL REFERENCES raters, item TEXT NOT NULL REFERENCES items,
    repeat INTEGER NOT NULL, asked TEXT NOT NULL, UNIQUE(rater, item, repeat));
CREATE INDEX IF NOT EXISTS asks_of_items ON asks(item);
CREATE TABLE IF NOT EXISTS answers(
    answer INTEGER PRIMARY KEY, ask INTEGER NOT NULL REFERENCES asks, seen TEXT, answered TEXT NOT NULL,
    withdrawn TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS one_answer ON answers(ask) WHERE withdrawn IS NULL;
CREATE TABLE IF NOT EXISTS pools(
    pool TEXT PRIMARY KEY, stage TEXT NOT NULL, prompt TEXT NOT NULL, k INTEGER NOT NULL, raters INTEGER NOT NULL,
    UNIQUE(stage, prompt));
CREATE TABLE IF NOT EXISTS candidates(
    item TEXT PRIMARY KEY, pool TEXT NOT NULL REFERENCES pools, file TEXT NOT NULL, id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS candidates_of_pools ON candidates(pool);
CREATE TABLE IF NOT EXISTS picks(
    rater TEXT NOT NULL REFERENCES raters, item TEXT NOT NULL REFERENCES candidates, picked INTEGER NOT NULL,
    at TEXT NOT NULL, PRIMARY KEY(rater, item));
CREATE TABLE IF NOT EXISTS finished(
    rater TEXT NOT NULL REFERENCES raters, pool TEXT NOT NULL REFERENCES pools, at TEXT NOT NULL,
    PRIMARY KEY(rater, pool));
"""
FORMATS = ("1", "2")
"""Database formats: people asked by concept, and by question. Older versions read only the first."""


@dataclass(frozen=True)
class Item:
    """An image that people are asked about. item: an opaque name that reveals nothing about it. truth: the concepts
    that a catch trial is known to show; None for all other images."""

    item: str
    file: str
    id: str
    prompt: str
    concepts: tuple[str, ...]
    truth: tuple[str, ...] | None = None


class Book:
    """The answer database of a results folder. Several threads and several processes may use it at once."""

    def __init__(self, root: Path, read_only: bool = False) -> None:
        """Open or create the database, with access for this user alone; read_only: open it and write no file, not even
        a journal. Raises StorageError when it cannot be opened or is not an answer database."""
        self.root, self._lock = root, RLock()
        path = root / FILE
        if not read_only:
            with as_storage_error(path):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            self._db = sqlite3.connect(
                _read_only_uri(path) if read_only else path,
                timeout=30.0, isolation_level=None, check_same_thread=False, uri=read_only,
            )  # fmt: skip
            if not read_only:
                self._prepare()
            version = self.metadata("format")
        except sqlite3.DatabaseError as error:
            raise StorageError(f"{path}: is not a readable answer database ({error}).") from None
        if version not in FORMATS:
            raise StorageError(f"{path}: has format {version}, but this version reads only {' and '.join(FORMATS)}.")

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        # NORMAL: acknowledged answers survive a kill, but a power failure may lose the last ones. FULL waits for the
        # disk at every answer, about 20 ms, too long for 200 raters at once.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO facts VALUES ('format', ?)", FORMATS[:1])

    def close(self) -> None:
        """Close the database and merge its journal into the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all writes in the block are kept, or none. Raises StorageError when a write fails."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise StorageError(f"{self.root / FILE}: {error}. Nothing acknowledged is lost.") from error

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def metadata(self, name: str) -> str | None:
        """A value that the database stores about itself, such as its format; None where it has none."""
        rows = self.rows("SELECT value FROM facts WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    # ---- raters --------------------------------------------------------------------------------------

    def link(self) -> str:
        """Create a link secret, with which one person can join once. Only its hash is stored."""
        secret = secrets.token_urlsafe(32)
        with self.writing() as db:
            db.execute("INSERT INTO links VALUES (?, NULL)", (_hash(secret),))
        return secret

    def join(self, link: str) -> str | None:
        """Add a rater and return the secret of their session; None when the link is unknown or used."""
        session = secrets.token_urlsafe(32)
        with self.writing() as db:
            if not db.execute("SELECT 1 FROM links WHERE link = ? AND rater IS NULL", (_hash(link),)).fetchall():
                return None
            rater = f"rater-{secrets.token_hex(4)}"
            db.execute("INSERT INTO raters VALUES (?, ?, ?)", (rater, _hash(session), now()))
            db.execute("UPDATE links SET rater = ? WHERE link = ?", (rater, _hash(link)))
        return session

    def rater(self, session: str) -> str | None:
        """The rater of a session, under a name that reveals nothing about the person; None for an unknown session."""
        rows = self.rows("SELECT rater FROM raters WHERE session = ?", _hash(session))
        return str(rows[0][0]) if rows else None

    # ---- recognition ---------------------------------------------------------------------------------

    def add_items(self, items: Iterable[Item]) -> None:
        """Ask about these images, too. Images that are asked about already do not change."""
        rows = [
            (i.item, i.file, i.id, i.prompt, json.dumps(i.concepts), None if i.truth is None else json.dumps(i.truth))
            for i in items
        ]
        with self.writing() as db:
            db.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)

    def items(self) -> dict[str, Item]:
        """Every image that is asked about, by its opaque name."""
        rows = self.rows("SELECT item, file, id, prompt, concepts, truth FROM items ORDER BY item")
        return {
            item: Item(item, file, id_, prompt, _names(concepts), None if truth is None else _names(truth))
            for item, file, id_, prompt, concepts, truth in rows
        }

    def questions(self) -> Questions:
        """The questions asked about every image; empty where people are asked by concept."""
        return {name: tuple(options) for name, options in json.loads(self.metadata("questions") or "{}").items()}

    def set_questions(self, questions: Questions) -> bool:
        """Ask by these questions from now on, or by concept if there are none. False, and no change, when people have
        already answered other questions."""
        text = json.dumps(questions)
        with self.writing() as db:
            if text == json.dumps(self.questions()):
                return True
            if db.execute("SELECT 1 FROM answers").fetchone():
                return False
            metadata = [("format", FORMATS[bool(questions)]), ("questions", text)]
            db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", metadata)
            return True

    def answers(self) -> pd.DataFrame:
        """All answers that were not taken back: one row per answer and concept (columns ANSWERS)."""
        questions, rows = self.questions(), []
        for item, answer, source, repeat_at in self._valid_answers():
            for concept in item.concepts:
                truth = None if item.truth is None else concept in item.truth
                rows.append((*source, concept, asking.recognised(answer, concept, questions), truth, *repeat_at))
        return _answers(rows)

    def choices(self) -> pd.DataFrame:
        """All choices that were not taken back: one row per answer and question (columns CHOICES)."""
        questions, rows = self.questions(), []
        for _, answer, source, repeat_at in self._valid_answers():
            chosen = answer if isinstance(answer, dict) else {}
            rows += [(*source, question, chosen[question], *repeat_at) for question in questions]
        return pd.DataFrame(rows, columns=list(CHOICES)).astype({"repeat": bool})

    def _valid_answers(self) -> Iterator[tuple[Item, Answer, tuple[str, ...], tuple[bool, str]]]:
        """Every answer that was not taken back, the oldest first: image, answer, (rater, item, file, id, prompt) and
        (repeat, at)."""
        items = self.items()
        rows = self.rows(
            "SELECT rater, item, repeat, seen, answered FROM answers JOIN asks USING (ask) "
            "WHERE withdrawn IS NULL ORDER BY answer"
        )
        for rater, name, repeat, answer, at in rows:
            item = items[name]
            yield item, asking.from_json(answer), (rater, name, item.file, item.id, item.prompt), (bool(repeat), at)


def answers(root: Path) -> pd.DataFrame:
    """The answers in a results folder (columns ANSWERS); empty where nobody was asked."""
    with reading(root) as book:
        return _answers([]) if book is None else book.answers()


@contextmanager
def reading(root: Path) -> Iterator[Book | None]:
    """The read-only database of a results folder; None where nobody was asked."""
    if not (root / FILE).is_file():
        yield None
        return
    with closing(Book(root, read_only=True)) as book:
        yield book


def _answers(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(ANSWERS)).astype({"answer": "boolean", "truth": "boolean", "repeat": bool})


def _read_only_uri(path: Path) -> str:
    """The URI with which SQLite opens the file read-only."""
    # A process that writes, or was killed while writing, leaves a journal that must be read, too. Without a journal
    # the file is opened as immutable: otherwise SQLite would create a journal, which fails on a read-only disk and
    # leaves a file behind elsewhere.
    journal = path.with_name(f"{path.name}-wal")
    has_journal = journal.is_file() and journal.stat().st_size
    return f"{path.absolute().as_uri()}?mode=ro{'' if has_journal else '&immutable=1'}"


def opaque() -> str:
    """A random name of 64 bits, which reveals nothing about the image."""
    return secrets.token_hex(8)


def now() -> str:
    """The current time in UTC, in ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
