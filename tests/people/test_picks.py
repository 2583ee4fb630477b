"""Picks of a pool: asked for once, saved one by one, finished at exactly k."""

from __future__ import annotations

from pathlib import Path

import pytest

from entropy_loop.people import picks
from entropy_loop.people.book import Book
from entropy_loop.people.picks import Pool

POOL = Pool("one", "g00-curate-x", "an astronaut", k=2, raters=1)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    database = Book(tmp_path)
    picks.ask(database, POOL, [(f"store/x/{i}.png", f"p{i}") for i in range(5)])
    return database


def joined(book: Book) -> str:
    return book.rater(book.join(book.link()) or "") or ""


def test_a_pool_is_asked_for_once(book: Book) -> None:
    """Asked for again, a pool keeps its name and its candidates; nobody has picked before somebody finished."""
    picks.ask(book, Pool("two", POOL.stage, POOL.prompt, 2, 1), [("store/x/9.png", "p9")])
    assert picks.waiting(book) == [POOL]
    assert book.rows("SELECT count(*) FROM candidates") == [(5,)]
    assert picks.picks(book).empty


def test_a_pick_is_saved_at_once_and_can_be_taken_back(book: Book) -> None:
    """What a rater picked is there when the page is opened again; the last word on an image counts."""
    rater = joined(book)
    first, second, *_ = picks.candidates(book, POOL, rater)
    picks.pick(book, rater, first, True)
    picks.pick(book, rater, second, True)
    picks.pick(book, rater, first, False)
    assert [item for item, picked in picks.candidates(book, POOL, rater).items() if picked] == [second]


def test_a_pool_is_finished_at_exactly_k(book: Book) -> None:
    """One too few or too many is refused; afterwards the picks are fixed and nobody is asked any more."""
    rater, items = joined(book), list(picks.candidates(book, POOL, "any"))
    for item in items[:3]:
        picks.pick(book, rater, item, True)
        assert picks.finish(book, rater, POOL.pool) == (item == items[1])
        if item == items[1]:
            break
    assert not picks.pick(book, rater, items[3], True)
    table = picks.picks(book)
    assert (len(table), int(table["picked"].sum())) == (5, 2)
    assert picks.waiting(book) == []


def test_what_was_not_asked_is_refused(book: Book) -> None:
    """An unknown candidate and an unknown pool change nothing."""
    assert not picks.pick(book, joined(book), "nothing", True)
    assert not picks.finish(book, joined(book), "nothing")


def test_raters_see_candidates_in_orders_of_their_own(book: Book) -> None:
    """Two raters have the same candidates in other orders; one rater always has the same."""
    orders = [list(picks.candidates(book, POOL, f"rater-{i}")) for i in range(8)]
    assert len({tuple(order) for order in orders}) > 1
    assert len({frozenset(order) for order in orders}) == 1
    assert list(picks.candidates(book, POOL, "rater-0")) == orders[0]
