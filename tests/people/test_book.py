"""The book of answers: what is written once stays, and what is read is what holds."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pandas as pd
import pytest

from entropy_loop.errors import StorageError
from entropy_loop.people.book import ANSWERS, FILE, Book, Item, answers, now

RIDE = Item("a1", "store/x/1.png", "p000", "an astronaut on a horse", ("astronaut", "horse"))
CATCH = Item("b2", "people/1.png", "catch-1", "an astronaut on a horse", ("astronaut", "horse"), truth=("horse",))


@pytest.fixture
def book(tmp_path: Path) -> Book:
    database = Book(tmp_path)
    database.add_items([RIDE, CATCH])
    return database


def add_answer(book: Book, session: str, item: str, seen: str | None, repeat: int = 0) -> None:
    with book.writing() as db:
        ask = db.execute(
            "INSERT INTO asks(rater, item, repeat, asked) VALUES (?, ?, ?, ?)",
            (book.rater(session), item, repeat, now()),
        )
        db.execute("INSERT INTO answers(ask, seen, answered) VALUES (?, ?, ?)", (ask.lastrowid, seen, now()))


def joined(book: Book) -> str:
    session = book.join(book.link())
    assert session
    return session


def test_a_link_lets_one_person_in_and_once(book: Book) -> None:
    """The second use of a link, and one that was never given out, open nothing; two raters have two names."""
    link = book.link()
    first = book.join(link)
    assert first
    assert book.join(link) is None
    assert book.join("no such link") is None
    assert book.rater(first) != book.rater(joined(book))
    assert book.rater("no such session") is None


def test_no_secret_stands_in_the_file(book: Book, tmp_path: Path) -> None:
    """Links and sessions are kept as hashes, in a file that nobody else can read."""
    link = book.link()
    session = book.join(link)
    assert session
    book.close()
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert link.encode() not in data
    assert session.encode() not in data
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_answers_are_rows_per_concept_and_not_being_able_to_tell_is_missing(book: Book) -> None:
    """What was toggled is a yes, what was not a no; who cannot tell says nothing; a catch trial carries its truth."""
    rater = joined(book)
    add_answer(book, rater, "a1", '["horse"]')
    add_answer(book, rater, "b2", None)
    table = book.answers()
    assert list(table.columns) == list(ANSWERS)
    rows = {(row.item, row.concept): (row.answer, row.truth) for row in table.astype(object).itertuples()}
    assert rows["a1", "horse"][0] is True
    assert rows["a1", "astronaut"][0] is False
    assert table[table["item"] == "b2"]["answer"].isna().all()
    assert [rows["b2", c][1] for c in ("astronaut", "horse")] == [False, True]
    assert table[table["item"] == "a1"]["truth"].isna().all()


def test_what_was_taken_back_is_kept_but_does_not_count(book: Book) -> None:
    """A withdrawn answer leaves the table and stays in the file, and the image can be answered again."""
    rater = joined(book)
    add_answer(book, rater, "a1", '["horse"]')
    with book.writing() as db:
        db.execute("UPDATE answers SET withdrawn = ?", (now(),))
    assert book.answers().empty
    assert book.rows("SELECT count(*) FROM answers") == [(1,)]


def half_written(book: Book) -> None:
    with book.writing() as db:
        db.execute("INSERT INTO facts VALUES ('half', 'done')")
        db.execute("INSERT INTO asks(rater, item, repeat, asked) VALUES ('nobody', 'nothing', 0, '')")


def test_a_transaction_that_fails_leaves_nothing(book: Book) -> None:
    """An error in the second write takes back the first."""
    with pytest.raises(sqlite3.IntegrityError):
        half_written(book)
    assert book.metadata("half") is None


def test_a_file_that_is_no_book_is_refused(tmp_path: Path) -> None:
    """Another file under its name is named by its path and left as it is."""
    (tmp_path / FILE).write_bytes(b"not a database, but longer than a header would be" * 40)
    with pytest.raises(StorageError, match=FILE):
        Book(tmp_path)
    assert (tmp_path / FILE).read_bytes().startswith(b"not a database")


def files(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Of every file, when it was changed last, its mode and its bytes."""
    return {p.name: (p.stat().st_mtime_ns, p.stat().st_mode, p.read_bytes()) for p in folder.iterdir()}


def test_reading_a_copy_makes_and_changes_no_file(book: Book, tmp_path: Path) -> None:
    """In a folder that was copied and may not be written to, the answers are those of the original; no journal appears
    beside them, and neither a file nor the folder is touched."""
    add_answer(book, joined(book), "a1", '["horse"]')
    book.close()
    copy = tmp_path / "a copy, 100 %"
    copy.mkdir()
    (copy / FILE).write_bytes((tmp_path / FILE).read_bytes())
    (copy / FILE).chmod(0o400)
    copy.chmod(0o500)
    before, changed = files(copy), copy.stat().st_mtime_ns
    table = answers(copy)
    assert len(table) == len(RIDE.concepts)
    pd.testing.assert_frame_equal(table, answers(tmp_path))
    assert (files(copy), copy.stat().st_mtime_ns) == (before, changed)
    copy.chmod(0o700)


def test_what_is_only_read_cannot_be_written(book: Book, tmp_path: Path) -> None:
    """A book that is open for reading refuses a transaction."""
    book.close()
    with pytest.raises(StorageError, match="readonly"):
        Book(tmp_path, read_only=True).link()


def test_readers_see_what_the_open_page_has_just_kept(book: Book, tmp_path: Path) -> None:
    """While raters answer, and after a kill, the last answers are in the journal alone, and are read from there; the
    journal stays for whoever writes."""
    add_answer(book, joined(book), "a1", '["horse"]')
    assert len(answers(tmp_path)) == len(RIDE.concepts)
    killed = tmp_path / "killed"
    killed.mkdir()
    for file in tmp_path.glob(f"{FILE}*"):
        (killed / file.name).write_bytes(file.read_bytes())
    assert len(answers(killed)) == len(RIDE.concepts)
    assert (killed / FILE).read_bytes() == (tmp_path / FILE).read_bytes()
    add_answer(book, joined(book), "a1", "[]")
    assert len(answers(tmp_path)) == 2 * len(RIDE.concepts)


def test_reading_where_nobody_was_asked_makes_no_file(tmp_path: Path) -> None:
    """Asking for answers leaves a results folder as it is."""
    assert answers(tmp_path).empty
    assert list(tmp_path.iterdir()) == []
