"""Who is asked about which image next, and what becomes of the answer.

Of the images that too few people have seen, a rater gets one of those that fewest have, in an order of the rater's own.
In between come catch trials, of which the truth is known, and images that the rater has seen a while ago. An image that
was put before somebody who never answered is free again after `KEPT`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from entropy_loop.people import asking
from entropy_loop.people.asking import Seen
from entropy_loop.people.book import Book, now
from entropy_loop.people.picks import shuffled

KEPT = timedelta(minutes=10)
APART = 8  # asks between an image and its repeat, at least


@dataclass(frozen=True)
class Ask:
    """An image that is put before a rater. seen: what the rater said of it before taking it back, None if nothing."""

    ask: int
    item: str
    concepts: tuple[str, ...]
    seen: Seen = None


@dataclass(frozen=True)
class Progress:
    """How many answers a rater gave, and how many more there are for this rater."""

    answered: int
    left: int


@dataclass(frozen=True)
class Queue:
    """raters: of each image. repeats, catch_trials: so many of a rater's answers, as a share, are to images that the
    rater saw before, and to images whose truth is known."""

    book: Book
    raters: int
    repeats: float
    catch_trials: float

    def next(self, rater: str) -> Ask | None:
        """The oldest image that the rater was asked about and has not answered, else a new one; None when there is
        nothing left to ask."""
        with self.book.writing() as db:
            ask = _open(db, rater) or self._new(db, rater)
            return None if ask is None else _told(db, ask)

    def answer(self, rater: str, ask: int, seen: object) -> bool:
        """Keep an answer (`asking.Seen`, as it was sent). The first answer to an ask counts, however often it is sent.
        False where the rater was not asked so."""
        with self.book.writing() as db:
            row = db.execute(
                "SELECT concepts FROM asks JOIN items USING (item) WHERE ask = ? AND rater = ?", (ask, rater)
            ).fetchone()
            if row is None or not asking.fits(seen, json.loads(row[0]), self.book.questions()):
                return False
            values = (ask, asking.written(seen), now())
            db.execute("INSERT OR IGNORE INTO answers(ask, seen, answered) VALUES (?, ?, ?)", values)
            return True

    def undo(self, rater: str) -> bool:
        """Take the rater's last answer back; its image is asked about again. False where there is none."""
        with self.book.writing() as db:
            last = db.execute(
                "SELECT max(answer) FROM answers JOIN asks USING (ask) WHERE rater = ? AND withdrawn IS NULL", (rater,)
            ).fetchone()[0]
            db.execute("UPDATE answers SET withdrawn = ? WHERE answer = ?", (now(), last))
            return last is not None

    def progress(self, rater: str) -> Progress:
        """How far the rater is."""
        with self.book.writing() as db:
            return Progress(_answered(db, rater), len(self._candidates(db, rater)) + (_open(db, rater) is not None))

    # ---- which image ---------------------------------------------------------------------------------

    def _new(self, db: sqlite3.Connection, rater: str) -> int | None:
        candidates = self._candidates(db, rater)
        if not candidates:
            return None
        due = _answered(db, rater) + 1
        caught, again = db.execute(
            "SELECT count(truth), sum(repeat) FROM asks JOIN items USING (item) WHERE rater = ?", (rater,)
        ).fetchone()
        if due * self.catch_trials >= caught + 1 and (item := _first(rater, _unseen_catches(db, rater))):
            return _asked(db, rater, item, 0)
        if due * self.repeats >= (again or 0) + 1 and (item := _first(rater, _seen_long_ago(db, rater))):
            return _asked(db, rater, item, 1)
        fewest = min(candidates.values())
        return _asked(db, rater, str(_first(rater, [item for item, n in candidates.items() if n == fewest])), 0)

    def _candidates(self, db: sqlite3.Connection, rater: str) -> dict[str, int]:
        """Images that too few people have seen and this rater has not -> by how many they were."""
        since = (datetime.now(UTC) - KEPT).isoformat(timespec="milliseconds")
        found = db.execute(
            "SELECT items.item, count(CASE WHEN answers.ask IS NOT NULL OR asked > ? THEN 1 END) AS times FROM items "
            "LEFT JOIN asks ON asks.item = items.item AND NOT repeat "
            "LEFT JOIN answers ON answers.ask = asks.ask AND withdrawn IS NULL "
            "WHERE truth IS NULL AND items.item NOT IN (SELECT item FROM asks WHERE rater = ?) "
            "GROUP BY items.item HAVING times < ?",
            (since, rater, self.raters),
        )
        return dict(found.fetchall())


def _open(db: sqlite3.Connection, rater: str) -> int | None:
    found: int | None = db.execute(
        "SELECT min(asks.ask) FROM asks LEFT JOIN answers ON answers.ask = asks.ask AND withdrawn IS NULL "
        "WHERE rater = ? AND answers.ask IS NULL",
        (rater,),
    ).fetchone()[0]
    return found


def _told(db: sqlite3.Connection, ask: int) -> Ask:
    item, concepts = db.execute(
        "SELECT item, concepts FROM asks JOIN items USING (item) WHERE ask = ?", (ask,)
    ).fetchone()
    before = db.execute("SELECT seen FROM answers WHERE ask = ? ORDER BY answer DESC LIMIT 1", (ask,)).fetchone()
    return Ask(ask, item, tuple(json.loads(concepts)), None if before is None else asking.read(before[0]))


def _answered(db: sqlite3.Connection, rater: str) -> int:
    found: int = db.execute(
        "SELECT count(*) FROM answers JOIN asks USING (ask) WHERE rater = ? AND withdrawn IS NULL", (rater,)
    ).fetchone()[0]
    return found


def _unseen_catches(db: sqlite3.Connection, rater: str) -> list[str]:
    found = db.execute(
        "SELECT item FROM items WHERE truth IS NOT NULL AND item NOT IN (SELECT item FROM asks WHERE rater = ?)",
        (rater,),
    )
    return [item for (item,) in found]


def _seen_long_ago(db: sqlite3.Connection, rater: str) -> list[str]:
    """Images that were asked about once, `APART` asks ago or longer."""
    found = db.execute(
        "SELECT item FROM asks JOIN items USING (item) WHERE rater = ? AND truth IS NULL "
        "GROUP BY item HAVING count(*) = 1 AND max(ask) IN "
        "(SELECT ask FROM asks WHERE rater = ? ORDER BY ask DESC LIMIT -1 OFFSET ?)",
        (rater, rater, APART),
    )
    return [item for (item,) in found]


def _first(rater: str, items: Sequence[str]) -> str | None:
    return min(items, key=lambda item: shuffled(rater, item), default=None)


def _asked(db: sqlite3.Connection, rater: str, item: str, repeat: int) -> int | None:
    values = (rater, item, repeat, now())
    return db.execute("INSERT INTO asks(rater, item, repeat, asked) VALUES (?, ?, ?, ?)", values).lastrowid
