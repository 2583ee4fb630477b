"""Asked by questions, without a cue: what an answer is, what it says of a concept, and that the choice is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entropy_loop.data import Concept
from entropy_loop.errors import StorageError
from entropy_loop.metrics import agreement
from entropy_loop.people import majority
from entropy_loop.people.book import CHOICES, Book, Item, answers
from entropy_loop.people.queue import Queue

QUESTIONS = {"rider": ("astronaut", "knight"), "mount": ("horse", "cow"), "place": ("moon", "meadow")}
RIDE = {"rider": "astronaut", "mount": "horse", "place": "none"}
CONCEPTS = ("astronaut", "horse")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """Ten pictures and a catch trial that shows a horse without an astronaut, asked about by QUESTIONS."""
    database = Book(tmp_path)
    assert database.set_questions(QUESTIONS)
    database.add_items([Item(f"i{n}", f"store/{n}.png", f"p{n}", "a prompt", CONCEPTS) for n in range(10)])
    database.add_items([Item("c0", "people/0.png", "c0", "a prompt", CONCEPTS, ("horse",))])
    yield database
    database.close()


def joined(book: Book) -> str:
    return book.rater(book.join(book.link()) or "") or ""


def answered(book: Book, *seen: dict[str, str], repeats: float = 0, catch_trials: float = 0) -> list[str]:
    """The images that one new rater was shown, who answered so, one after the other."""
    queue, rater, shown = Queue(book, 9, repeats, catch_trials), joined(book), []
    for answer in seen:
        ask = queue.next(rater)
        assert ask
        assert queue.answer(rater, ask.ask, answer)
        shown.append(ask.item)
    return shown


def test_a_concept_is_recognised_where_its_name_is_chosen(book: Book) -> None:
    """Another option and none are a no, can't tell is missing for the concepts of that question alone."""
    shown = answered(book, RIDE, RIDE | {"rider": "knight"}, RIDE | {"rider": "none", "mount": "can't tell"})
    table = book.answers().pivot(index="item", columns="concept", values="answer").loc[shown]
    assert table["astronaut"].tolist() == [True, False, False]
    assert table["horse"].tolist()[:2] == [True, True]
    assert table["horse"].isna().tolist() == [False, False, True]


def test_what_was_chosen_is_kept_for_every_question(book: Book) -> None:
    """`knight` is data, and so is the answer to a question with no concept of the prompt."""
    (item,) = answered(book, {"place": "meadow", "mount": "none", "rider": "knight"})
    table = book.choices()
    assert list(table.columns) == list(CHOICES)
    assert set(table["item"]) == {item}
    assert list(zip(table["question"], table["choice"], strict=True)) == [
        ("rider", "knight"), ("mount", "none"), ("place", "meadow"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "seen",
    [
        None,
        [],
        ["horse"],
        "horse",
        {},
        {"rider": "astronaut", "mount": "horse"},
        RIDE | {"colour": "none"},
        RIDE | {"rider": "horse"},
        RIDE | {"rider": None},
        RIDE | {"rider": ["astronaut", "knight"]},
    ],
    ids=str,
)
def test_half_an_answer_or_another_is_refused(book: Book, seen: Any) -> None:
    """Every question has exactly one of its own answers; nothing else is kept."""
    queue, rater = Queue(book, 1, 0, 0), joined(book)
    ask = queue.next(rater)
    assert ask
    assert not queue.answer(rater, ask.ask, seen)
    assert book.rows("SELECT * FROM answers") == []


def test_undo_brings_the_choices_back(book: Book) -> None:
    """The image comes again with what was chosen of it."""
    queue, rater = Queue(book, 1, 0, 0), joined(book)
    first = queue.next(rater)
    assert first
    queue.answer(rater, first.ask, RIDE)
    assert queue.undo(rater)
    again = queue.next(rater)
    assert again
    assert (again.item, again.seen) == (first.item, RIDE)


def test_repeats_and_catch_trials_are_held_to_concepts(book: Book) -> None:
    """A rater who takes a knight for a cow's rider the second time has changed no answer about the astronaut; who
    chooses a knight where no astronaut is, is right."""
    shown = answered(book, *[RIDE | {"rider": "knight"}] * 10, *[RIDE | {"rider": "none"}] * 2, repeats=0.2,
                     catch_trials=0.1)  # fmt: skip
    assert len(shown) > len(set(shown))
    assert "c0" in shown
    same = {concept: statistic.value for concept, statistic in agreement.with_themselves(book.answers())}
    right = {concept: statistic.value for _, concept, statistic in agreement.with_truth(book.answers())}
    assert same == {"astronaut": 1.0, "horse": 1.0}
    assert right == {"astronaut": 1.0, "horse": 1.0}


def test_most_people_label_an_image_by_their_choices(book: Book) -> None:
    """What a judge is calibrated by: two of three choose the astronaut; one the horse, one the cow, one neither."""
    for other in ({}, {"mount": "cow"}, {"rider": "none", "mount": "none"}):
        answered(book, *[RIDE | other] * 10)
    book.close()
    files, truth = majority.labels(book.root, [Concept("astronaut"), Concept("horse")])
    assert {file.name for file in files} == {f"{n}.png" for n in range(10)}
    assert truth["astronaut"].all()
    assert not truth["horse"].any()


def test_another_way_of_asking_waits_until_nothing_is_answered(book: Book) -> None:
    """Questions can be changed before the first answer and never after it, taken back or not."""
    other = QUESTIONS | {"mount": ("cow", "horse")}
    assert book.set_questions(other)
    assert book.set_questions({})
    assert book.set_questions(QUESTIONS)
    answered(book, RIDE)
    assert book.set_questions(QUESTIONS)
    for questions in (other, dict(reversed(QUESTIONS.items())), {}):
        assert not book.set_questions(questions)
    assert book.questions() == QUESTIONS


def test_a_book_without_questions_is_read_as_before(tmp_path: Path) -> None:
    """A book of yes and no keeps its format, so that older versions read it, and one with questions has a later one,
    which those refuse; a format that this version does not know is refused, too."""
    old = Book(tmp_path)
    assert old.set_questions({})
    old.add_items([Item("i0", "store/0.png", "p0", "a prompt", CONCEPTS)])
    queue, rater = Queue(old, 1, 0, 0), joined(old)
    ask = queue.next(rater)
    assert ask
    assert queue.answer(rater, ask.ask, ["horse"])
    assert old.rows("SELECT name, value FROM facts") == [("format", "1")]
    assert not old.set_questions(QUESTIONS)
    assert (old.choices().empty, answers(tmp_path)["answer"].tolist()) == (True, [False, True])
    with old.writing() as db:
        db.execute("UPDATE facts SET value = '3' WHERE name = 'format'")
    with pytest.raises(StorageError, match="format 3"):
        Book(tmp_path)
    old.close()


def test_a_book_with_questions_has_a_format_of_its_own(book: Book) -> None:
    """Older versions, which would take its answers for lists of concepts, refuse it."""
    assert book.metadata("format") == "2"
