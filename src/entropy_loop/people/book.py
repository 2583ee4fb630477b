"""people.sqlite in a results folder: what people were shown and what they said, in the order in which they said it.

The one place with many small writes at once, so a database (SQLite in WAL mode) and no stage: it belongs to no key.
Nothing is ever overwritten: an answer that is taken back stays, with the time at which it was taken back. Whoever
reads gets tables (`ANSWERS`, `picks.PICKS`); times are UTC.
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
from entropy_loop.people.asking import Questions, Seen

FILE = "people.sqlite"
ANSWERS = ("rater", "item", "file", "id", "prompt", "concept", "answer", "truth", "repeat", "at")
"""One row per answer and concept. file: of the image, below the results folder; answer: missing where the rater could
not tell; truth: of a catch trial, missing for all other images; repeat: the rater had seen the image before."""
CHOICES = ("rater", "item", "file", "id", "prompt", "question", "choice", "repeat", "at")
"""One row per answer and question, where people are asked by questions. choice: the option, or `asking.NONE` or
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
"""Of a book in which people are asked for concepts, and of one with questions, which older versions cannot read."""


@dataclass(frozen=True)
class Item:
    """An image that people are asked about. item: an opaque name that tells nothing of it. truth: of a catch trial,
    the concepts that it is known to show; None for all other images."""

    item: str
    file: str
    id: str
    prompt: str
    concepts: tuple[str, ...]
    truth: tuple[str, ...] | None = None


class Book:
    """The open database of a results folder. Safe to use from several threads; several processes may have it open."""

    def __init__(self, root: Path, read_only: bool = False) -> None:
        """Opens it, or makes it, readable by nobody else; `read_only`: one that is there, and nothing is written, not
        even beside it. Raises StorageError where it cannot be, or is no such database."""
        self.root, self._lock = root, RLock()
        path = root / FILE
        if not read_only:
            with as_storage_error(path):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            self._db = sqlite3.connect(
                _for_reading(path) if read_only else path,
                timeout=30.0, isolation_level=None, check_same_thread=False, uri=read_only,
            )  # fmt: skip
            if not read_only:
                self._prepare()
            found = self.fact("format")
        except sqlite3.DatabaseError as error:
            raise StorageError(f"{path}: cannot be opened as the answers of people ({error}).") from None
        if found not in FORMATS:
            raise StorageError(f"{path}: has format {found}; this version of entropy-loop reads {', '.join(FORMATS)}.")

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        # What was acknowledged survives a kill; a loss of power may cost the last moments. Waiting for the disk at
        # every answer takes some 20 ms, too long for 200 people at once.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO facts VALUES ('format', ?)", FORMATS[:1])

    def close(self) -> None:
        """Close it; the file is then whole without its journal."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: everything in it is kept, or nothing. Raises StorageError when the disk refuses."""
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
        """What a query finds."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def fact(self, name: str) -> str | None:
        """A note of the book about itself."""
        found = self.rows("SELECT value FROM facts WHERE name = ?", name)
        return str(found[0][0]) if found else None

    # ---- raters --------------------------------------------------------------------------------------

    def link(self) -> str:
        """A new secret with which one person can join, once; only its hash is kept."""
        secret = secrets.token_urlsafe(32)
        with self.writing() as db:
            db.execute("INSERT INTO links VALUES (?, NULL)", (_hash(secret),))
        return secret

    def join(self, link: str) -> str | None:
        """The secret of a new rater's session; None when there is no such link or it was used."""
        session = secrets.token_urlsafe(32)
        with self.writing() as db:
            if not db.execute("SELECT 1 FROM links WHERE link = ? AND rater IS NULL", (_hash(link),)).fetchall():
                return None
            rater = f"rater-{secrets.token_hex(4)}"
            db.execute("INSERT INTO raters VALUES (?, ?, ?)", (rater, _hash(session), now()))
            db.execute("UPDATE links SET rater = ? WHERE link = ?", (rater, _hash(link)))
        return session

    def rater(self, session: str) -> str | None:
        """Whose session it is: a name that tells nothing of the person."""
        found = self.rows("SELECT rater FROM raters WHERE session = ?", _hash(session))
        return str(found[0][0]) if found else None

    # ---- recognition ---------------------------------------------------------------------------------

    def add_items(self, items: Iterable[Item]) -> None:
        """Ask about these images, too; one that is asked about already stays as it is."""
        rows = [
            (i.item, i.file, i.id, i.prompt, json.dumps(i.concepts), None if i.truth is None else json.dumps(i.truth))
            for i in items
        ]
        with self.writing() as db:
            db.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)

    def items(self) -> dict[str, Item]:
        """Every image that is asked about, by its opaque name."""
        found = self.rows("SELECT item, file, id, prompt, concepts, truth FROM items ORDER BY item")
        return {
            item: Item(item, file, id_, prompt, _names(concepts), None if truth is None else _names(truth))
            for item, file, id_, prompt, concepts, truth in found
        }

    def questions(self) -> Questions:
        """By which questions people are asked about every image; none where they are asked for concepts."""
        return {name: tuple(options) for name, options in json.loads(self.fact("questions") or "{}").items()}

    def ask_by(self, questions: Questions) -> bool:
        """Ask by these questions from now on (none: for concepts). False, and nothing changes, where people were asked
        otherwise and have answered."""
        text = json.dumps(questions)
        with self.writing() as db:
            if text == json.dumps(self.questions()):
                return True
            if db.execute("SELECT 1 FROM answers").fetchone():
                return False
            facts = [("format", FORMATS[bool(questions)]), ("questions", text)]
            db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts)
            return True

    def answers(self) -> pd.DataFrame:
        """What was said and not taken back: one row per answer and concept (columns ANSWERS)."""
        questions, rows = self.questions(), []
        for item, seen, who, when in self._said():
            for concept in item.concepts:
                truth = None if item.truth is None else concept in item.truth
                rows.append((*who, concept, asking.recognised(seen, concept, questions), truth, *when))
        return _answers(rows)

    def choices(self) -> pd.DataFrame:
        """What was chosen and not taken back: one row per answer and question (columns CHOICES)."""
        questions, rows = self.questions(), []
        for _, seen, who, when in self._said():
            chosen = seen if isinstance(seen, dict) else {}
            rows += [(*who, question, chosen[question], *when) for question in questions]
        return pd.DataFrame(rows, columns=list(CHOICES)).astype({"repeat": bool})

    def _said(self) -> Iterator[tuple[Item, Seen, tuple[str, ...], tuple[bool, str]]]:
        """Every answer that was not taken back, the oldest first: its image, what it says, (rater, item, file, id,
        prompt) and (repeat, at)."""
        items = self.items()
        found = self.rows(
            "SELECT rater, item, repeat, seen, answered FROM answers JOIN asks USING (ask) "
            "WHERE withdrawn IS NULL ORDER BY answer"
        )
        for rater, name, repeat, seen, at in found:
            item = items[name]
            yield item, asking.read(seen), (rater, name, item.file, item.id, item.prompt), (bool(repeat), at)


def answers(root: Path) -> pd.DataFrame:
    """What people said in a results folder (columns ANSWERS); empty where nobody was asked."""
    with reading(root) as book:
        return _answers([]) if book is None else book.answers()


@contextmanager
def reading(root: Path) -> Iterator[Book | None]:
    """The book of a results folder for reading alone; None where nobody was asked."""
    if not (root / FILE).is_file():
        yield None
        return
    with closing(Book(root, read_only=True)) as book:
        yield book


def _answers(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(ANSWERS)).astype({"answer": "boolean", "truth": "boolean", "repeat": bool})


def _for_reading(path: Path) -> str:
    """The address under which SQLite only reads it."""
    # Whoever writes, or was killed while writing, has a journal beside it, which must be read with it. Without one the
    # file is whole, and taken as it is: even for reading SQLite would put a journal beside it, which a read-only disk
    # refuses and which would stay elsewhere.
    journal = path.with_name(f"{path.name}-wal")
    whole = not (journal.is_file() and journal.stat().st_size)
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if whole else ''}"


def opaque() -> str:
    """A name that tells nothing: 64 random bits."""
    return secrets.token_hex(8)


def now() -> str:
    """This moment in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
