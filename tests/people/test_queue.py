"""Who is asked about which image next."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from entropy_loop.people.book import Book, Item
from entropy_loop.people.queue import MIN_REPEAT_GAP, Ask, Queue

CONCEPTS = ("astronaut", "horse")


@pytest.fixture
def book(tmp_path: Path) -> Book:
    database = Book(tmp_path)
    database.add_items([Item(f"i{n}", f"store/{n}.png", f"p{n}", "a prompt", CONCEPTS) for n in range(20)])
    database.add_items([Item(f"c{n}", f"people/{n}.png", f"c{n}", "a prompt", CONCEPTS, ("horse",)) for n in range(6)])
    return database


def joined(book: Book) -> str:
    return book.rater(book.join(book.link()) or "") or ""


def asked(queue: Queue, rater: str, most: int = 100) -> list[Ask]:
    """Everything that a rater is asked, each answered at once."""
    asks: list[Ask] = []
    while len(asks) < most and (ask := queue.next(rater)):
        asks.append(ask)
        assert queue.answer(rater, ask.ask, ["horse"])
    return asks


def test_every_image_gets_as_many_raters_as_wanted_and_each_sees_it_once(book: Book) -> None:
    """With two of three raters wanted, 20 images make 40 answers, two by two different people for each."""
    queue = Queue(book, raters=2, repeats=0, catch_trials=0)
    raters = [joined(book) for _ in range(3)]
    seen = [(rater, ask.item) for rater in raters for ask in asked(queue, rater)]
    assert Counter(item for _, item in seen) == {f"i{n}": 2 for n in range(20)}
    assert len(set(seen)) == 40


def test_those_that_fewest_have_seen_come_first(book: Book) -> None:
    """A second rater gets what the first has not been asked."""
    queue = Queue(book, raters=3, repeats=0, catch_trials=0)
    first = {ask.item for ask in asked(queue, joined(book), 12)}
    assert first.isdisjoint(ask.item for ask in asked(queue, joined(book), 8))


def test_raters_get_images_in_orders_of_their_own(book: Book) -> None:
    """The order says nothing of the images: two raters who start together see other ones first."""
    queue = Queue(book, raters=20, repeats=0, catch_trials=0)
    assert len({next(iter(asked(queue, joined(book), 1))).item for _ in range(10)}) > 3


def test_catch_trials_and_repeats_come_at_their_shares(book: Book) -> None:
    """Of 20 answers two are to catch trials, two to images seen a while before, at least eight asks ago."""
    queue = Queue(book, raters=1, repeats=0.1, catch_trials=0.1)
    order = [ask.item for ask in asked(queue, joined(book))]
    assert sum(item.startswith("c") for item in order) == 2
    again = [item for item, times in Counter(order).items() if times == 2]
    assert len(again) == 2
    assert len(order) == 24
    assert all(len(order) - 1 - order[::-1].index(item) - order.index(item) >= MIN_REPEAT_GAP for item in again)
    assert not any(item.startswith("c") for item in again)
    table = book.answers()
    assert set(table.loc[table["repeat"], "item"]) == set(again)


def test_coming_back_the_same_image_waits(book: Book) -> None:
    """Until it is answered, a rater gets the same image, however often the page is opened."""
    queue, rater = Queue(book, 1, 0, 0), joined(book)
    first = queue.next(rater)
    assert queue.next(rater) == first
    assert Queue(book, 1, 0, 0).next(rater) == first


def test_an_answer_sent_twice_counts_once(book: Book) -> None:
    """The first one stays, whatever the second says; both are acknowledged."""
    queue, rater = Queue(book, 1, 0, 0), joined(book)
    ask = queue.next(rater)
    assert ask
    assert queue.answer(rater, ask.ask, ["horse"])
    assert queue.answer(rater, ask.ask, [])
    assert book.answers().set_index("concept")["answer"].to_dict() == {"astronaut": False, "horse": True}


def test_an_answer_that_was_not_asked_for_is_refused(book: Book) -> None:
    """Somebody else's image, no image at all, and a concept that does not stand there change nothing."""
    queue, rater, other = Queue(book, 1, 0, 0), joined(book), joined(book)
    ask = queue.next(rater)
    assert ask
    assert not queue.answer(other, ask.ask, ["horse"])
    assert not queue.answer(rater, 999, ["horse"])
    assert not queue.answer(rater, ask.ask, ["camel"])
    assert book.answers().empty


def test_undo_brings_the_last_image_back_with_its_answer(book: Book) -> None:
    """The answer is withdrawn, its image comes again before all others, and the new answer counts."""
    queue, rater = Queue(book, 1, 0, 0), joined(book)
    (first,) = asked(queue, rater, 1)
    following = queue.next(rater)
    assert queue.undo(rater)
    again = queue.next(rater)
    assert again == Ask(first.ask, first.item, CONCEPTS, ("horse",))
    assert queue.answer(rater, first.ask, None)
    assert queue.next(rater) == following
    assert book.answers()["answer"].isna().all()
    assert queue.progress(rater).answered == 1


def test_with_nothing_to_undo_nothing_happens(book: Book) -> None:
    """A rater cannot take back the answer of another."""
    queue = Queue(book, 1, 0, 0)
    asked(queue, joined(book), 1)
    assert not queue.undo(joined(book))
    assert len(book.answers()) == 2


def test_progress_counts_what_is_answered_and_what_is_left(book: Book) -> None:
    """The image on the screen is still to be answered."""
    queue, rater = Queue(book, 1, 0, 0), joined(book)
    asked(queue, rater, 5)
    queue.next(rater)
    assert (queue.progress(rater).answered, queue.progress(rater).left) == (5, 15)


def test_an_image_that_somebody_left_unanswered_is_free_again(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while another rater gets it, so that nobody who walks away keeps it from being rated."""
    from datetime import timedelta

    queue, away, rater = Queue(book, 1, 0, 0), joined(book), joined(book)
    left = queue.next(away)
    assert left
    assert left.item not in {ask.item for ask in asked(queue, rater)}
    monkeypatch.setattr("entropy_loop.people.queue.ANSWER_TIMEOUT", timedelta(0))
    assert [ask.item for ask in asked(queue, rater)] == [left.item]
