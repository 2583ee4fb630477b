"""The queue of images for each rater, and their answers.

A rater gets an image that the fewest people have seen, in a shuffled order of their own. Catch trials, whose truth is
known, and repeats of earlier images come in between. An image that a rater leaves unanswered goes to others after
`ANSWER_TIMEOUT`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from entropy_loop.people import asking
from entropy_loop.people.asking import Answer
from entropy_loop.people.book import Book, now
from entropy_loop.people.picks import shuffle_key

ANSWER_TIMEOUT = timedelta(minutes=10)
MIN_REPEAT_GAP = 8  # images between an image and its repeat


@dataclass(frozen=True)
class Ask:
    """An image shown to a rater. seen: the answer that the rater has taken back, None without one."""

    ask: int
    item: str
    concepts: tuple[str, ...]
    seen: Answer = None


@dataclass(frozen=True)
class Progress:
    """How many images a rater has answered, and how many are left."""

    answered: int
    left: int


@dataclass(frozen=True)
class Queue:
    """raters: people per image. repeats, catch_trials: shares of a rater's answers for repeats and catch trials."""

    book: Book
    raters: int
    repeats: float
    catch_trials: float

    def next(self, rater: str) -> Ask | None:
        """The oldest image that the rater has not answered, else a new one; None when no image is left."""
        with self.book.writing() as db:
            ask = _oldest_open_ask(db, rater) or self._new_ask(db, rater)
            return None if ask is None else _load_ask(db, ask)

    def answer(self, rater: str, ask: int, seen: object) -> bool:
        """Store an untrusted answer (`asking.Answer`). Only the first answer to an ask counts. False when the rater was
        not asked, or the answer is not valid."""
        with self.book.writing() as db:
            row = db.execute(
                "SELECT concepts FROM asks JOIN items USING (item) WHERE ask = ? AND rater = ?", (ask, rater)
            ).fetchone()
            if row is None or not asking.is_answer(seen, json.loads(row[0]), self.book.questions()):
                return False
            values = (ask, asking.to_json(seen), now())
            db.execute("INSERT OR IGNORE INTO answers(ask, seen, answered) VALUES (?, ?, ?)", values)
            return True

    def undo(self, rater: str) -> bool:
        """Take back the rater's last answer, so that its image is shown again. False when there is none."""
        with self.book.writing() as db:
            last = db.execute(
                "SELECT max(answer) FROM answers JOIN asks USING (ask) WHERE rater = ? AND withdrawn IS NULL", (rater,)
            ).fetchone()[0]
            db.execute("UPDATE answers SET withdrawn = ? WHERE answer = ?", (now(), last))
            return last is not None

    def progress(self, rater: str) -> Progress:
        """How many images the rater has answered and has left."""
        with self.book.writing() as db:
            left = len(self._candidates(db, rater)) + (_oldest_open_ask(db, rater) is not None)
            return Progress(_count_answers(db, rater), left)

    # ---- choosing an image ---------------------------------------------------------------------------

    def _new_ask(self, db: sqlite3.Connection, rater: str) -> int | None:
        candidates = self._candidates(db, rater)
        if not candidates:
            return None
        answers = _count_answers(db, rater) + 1
        catch_trials, repeats = db.execute(
            "SELECT count(truth), coalesce(sum(repeat), 0) FROM asks JOIN items USING (item) WHERE rater = ?", (rater,)
        ).fetchone()
        if answers * self.catch_trials >= catch_trials + 1 and (item := _first(rater, _new_catch_trials(db, rater))):
            return _insert_ask(db, rater, item, 0)
        if answers * self.repeats >= repeats + 1 and (item := _first(rater, _repeatable(db, rater))):
            return _insert_ask(db, rater, item, 1)
        fewest = min(candidates.values())
        return _insert_ask(db, rater, str(_first(rater, [item for item, n in candidates.items() if n == fewest])), 0)

    def _candidates(self, db: sqlite3.Connection, rater: str) -> dict[str, int]:
        """Images that need more raters and that this rater has not seen -> how many people have seen them."""
        since = (datetime.now(UTC) - ANSWER_TIMEOUT).isoformat(timespec="milliseconds")
        rows = db.execute(
            "SELECT items.item, count(CASE WHEN answers.ask IS NOT NULL OR asked > ? THEN 1 END) AS times FROM items "
            "LEFT JOIN asks ON asks.item = items.item AND NOT repeat "
            "LEFT JOIN answers ON answers.ask = asks.ask AND withdrawn IS NULL "
            "WHERE truth IS NULL AND items.item NOT IN (SELECT item FROM asks WHERE rater = ?) "
            "GROUP BY items.item HAVING times < ?",
            (since, rater, self.raters),
        )
        return dict(rows.fetchall())


def _oldest_open_ask(db: sqlite3.Connection, rater: str) -> int | None:
    ask: int | None = db.execute(
        "SELECT min(asks.ask) FROM asks LEFT JOIN answers ON answers.ask = asks.ask AND withdrawn IS NULL "
        "WHERE rater = ? AND answers.ask IS NULL",
        (rater,),
    ).fetchone()[0]
    return ask


def _load_ask(db: sqlite3.Connection, ask: int) -> Ask:
    item, concepts = db.execute(
        "SELECT item, concepts FROM asks JOIN items USING (item) WHERE ask = ?", (ask,)
    ).fetchone()
    row = db.execute("SELECT seen FROM answers WHERE ask = ? ORDER BY answer DESC LIMIT 1", (ask,)).fetchone()
    return Ask(ask, item, tuple(json.loads(concepts)), None if row is None else asking.from_json(row[0]))


def _count_answers(db: sqlite3.Connection, rater: str) -> int:
    count: int = db.execute(
        "SELECT count(*) FROM answers JOIN asks USING (ask) WHERE rater = ? AND withdrawn IS NULL", (rater,)
    ).fetchone()[0]
    return count


def _new_catch_trials(db: sqlite3.Connection, rater: str) -> list[str]:
    rows = db.execute(
        "SELECT item FROM items WHERE truth IS NOT NULL AND item NOT IN (SELECT item FROM asks WHERE rater = ?)",
        (rater,),
    )
    return [item for (item,) in rows]


def _repeatable(db: sqlite3.Connection, rater: str) -> list[str]:
    """Images that the rater was asked about once, at least `MIN_REPEAT_GAP` asks ago."""
    rows = db.execute(
        "SELECT item FROM asks JOIN items USING (item) WHERE rater = ? AND truth IS NULL "
        "GROUP BY item HAVING count(*) = 1 AND max(ask) IN "
        "(SELECT ask FROM asks WHERE rater = ? ORDER BY ask DESC LIMIT -1 OFFSET ?)",
        (rater, rater, MIN_REPEAT_GAP),
    )
    return [item for (item,) in rows]


def _first(rater: str, items: Sequence[str]) -> str | None:
    return min(items, key=lambda item: shuffle_key(rater, item), default=None)


def _insert_ask(db: sqlite3.Connection, rater: str, item: str, repeat: int) -> int | None:
    values = (rater, item, repeat, now())
    return db.execute("INSERT INTO asks(rater, item, repeat, asked) VALUES (?, ?, ?, ?)", values).lastrowid
