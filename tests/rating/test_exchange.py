"""Answers out and in: CSV and Label Studio."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from entropy_loop.errors import ConfigError
from entropy_loop.people.book import Book, Item
from entropy_loop.rating import exchange

CONCEPTS = ("astronaut", "horse")


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Three pictures that are asked about; nobody has answered."""
    database = Book(tmp_path)
    for n in range(3):
        Image.new("RGB", (8, 8), (n * 80, 0, 0)).save(tmp_path / f"{n}.png")
    database.add_items([Item(f"i{n}", f"{n}.png", f"p{n}", "a prompt", CONCEPTS) for n in range(3)])
    return database


def task(item: str, *choices: tuple[str, Any], cancelled: bool = False) -> dict[str, Any]:
    """One of Label Studio's tasks with annotations (annotator's choices, annotator)."""
    return {
        "data": {"item": item},
        "annotations": [
            {
                "completed_by": by,
                "was_cancelled": cancelled,
                "result": [{"from_name": "concepts", "type": "choices", "value": {"choices": list(chosen)}}],
            }
            for chosen, by in choices
        ],
    }


def test_tasks_hold_the_pixels_and_an_opaque_name_alone(book: Book, tmp_path: Path) -> None:
    """A task has the image itself, and nothing that tells where it comes from; the labeling config asks for the
    concepts."""
    tasks, labeling = exchange.write_label_studio(book, tmp_path, tmp_path / "out")
    rows = json.loads(tasks.read_text())
    assert [set(row["data"]) for row in rows] == [{"image", "item"}] * 3
    data = base64.b64decode(rows[1]["data"]["image"].partition(",")[2])
    assert Image.open(io.BytesIO(data)).getpixel((0, 0)) == (80, 0, 0)
    assert "p1" not in tasks.read_text()
    for name in (*CONCEPTS, "none of these"):
        assert f'value="{name}"' in labeling.read_text()


def test_annotations_of_several_people_become_answers(book: Book, tmp_path: Path) -> None:
    """Choices are what was seen, `none of these` is a no to all, `can't tell` is missing; cancelled ones do not count,
    and no address of a person enters the book."""
    rows = [
        task("i0", (["horse"], {"id": 7, "email": "someone@example.org"}), (["none of these"], 8)),
        task("i1", (["can't tell"], 8)),
        task("i2", (["horse"], 9), cancelled=True),
    ]
    file = tmp_path / "export.json"
    file.write_text(json.dumps(rows))
    assert exchange.read(book, file) == 3
    table = book.answers()
    assert sorted(table.query("item == 'i0' and concept == 'horse'")["answer"]) == [False, True]
    assert table.query("item == 'i1'")["answer"].isna().all()
    assert "i2" not in set(table["item"])
    assert b"someone" not in b"".join(path.read_bytes() for path in tmp_path.glob("people.sqlite*"))
    assert exchange.read(book, file) == 0


def test_a_csv_comes_back_as_it_went(book: Book, tmp_path: Path) -> None:
    """Exported, read into another book and exported again, the answers are the same but for names and times; read into
    its own book it adds nothing."""
    file = tmp_path / "export.json"
    file.write_text(json.dumps([task("i0", (["horse"], 1)), task("i1", (["can't tell"], 1), (list(CONCEPTS), 2))]))
    exchange.read(book, file)
    (first,) = exchange.write_csv(tmp_path, tmp_path / "first")
    assert exchange.read(book, first) == 0
    other = Book(_folder(tmp_path / "other"))
    other.add_items(book.items().values())
    assert exchange.read(other, first) == 3
    (second,) = exchange.write_csv(other.root, tmp_path / "second")
    columns = ["item", "concept", "answer", "repeat"]
    a, b = (pd.read_csv(path)[columns].sort_values(columns, ignore_index=True) for path in (first, second))
    pd.testing.assert_frame_equal(a, b)


def test_a_file_with_mistakes_is_refused_whole(book: Book, tmp_path: Path) -> None:
    """The error names every mistake with its line, and the right lines of such a file are not kept either."""
    file = tmp_path / "answers.csv"
    lines = [
        "rater,item,concept,answer",
        "a,i0,astronaut,true",
        "a,i0,horse,maybe",
        "a,i9,horse,true",
        ",i1,horse,true",
    ]
    lines += ["a,i1,camel,true", "b,i1,horse,true", "b,i1", "b,i1,horse,true,more", "b,i1,horse,false"]
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as error:
        exchange.read(book, file)
    text = str(error.value)
    wrong = ((3, "maybe"), (4, "i9"), (5, "rater is empty"), (6, "camel"), (8, "cells"), (9, "cells"))
    wrong += ((10, "contradicts"),)
    for line, message in wrong:
        assert re.search(f"line {line}: .*{message}", text)
    assert "answer all of its concepts, or none of them" in text
    assert book.answers().empty


LONG = [
    "rater,item,concept,answer",
    *("a,i0,astronaut,false", "a,i0,horse,true", "b,i0,astronaut,", "b,i0,horse,"),
    *("a,i1,astronaut,true", "a,i1,horse,true"),
]


@pytest.mark.parametrize(
    "lines",
    [
        ["rater,item,astronaut,horse", "a,i0,0,1", "b,i0,,", "a,i1,1,1"],
        ["file,note,horse,astronaut,rater", "0.png,dark,true,false,a", "0.png,,,,b", "1.png,,1,TRUE,a"],
        ["rater,file,concept,answer", *(line.replace("i0", "0.png").replace("i1", "1.png") for line in LONG[1:])],
    ],
    ids=["wide", "wide, by file", "long, by file"],
)
def test_wide_rows_and_names_of_files_say_the_same_as_long_rows(book: Book, tmp_path: Path, lines: list[str]) -> None:
    """A column per concept with 1, 0 or nothing, and images called by their files, make the answers of the long form;
    read after it they add nothing."""
    file = tmp_path / "answers.csv"
    file.write_text("\n".join(lines))
    assert exchange.read(book, file) == 3
    columns = ["rater", "item", "concept", "answer"]
    first = book.answers()[columns]
    file.write_text("\n".join(LONG))
    assert exchange.read(book, file) == 0
    assert [list(row) for row in first.query("item == 'i1'")[columns[1:]].astype(object).to_numpy()] == [
        ["i1", "astronaut", True],
        ["i1", "horse", True],
    ]
    assert sorted(map(str, first.query("item == 'i0'")["answer"])) == ["<NA>", "<NA>", "False", "True"]


def test_mistakes_of_the_wide_form_are_reported_too(book: Book, tmp_path: Path) -> None:
    """A name that two images share, an answer to what was not asked and half an answer are refused; more of the path
    tells the images apart."""
    book.add_items([Item(f"i{n}", f"store/{n}/7.png", f"p{n}", "another", ("camel",)) for n in (8, 9)])
    file = tmp_path / "answers.csv"
    lines = ["rater,file,astronaut,horse,camel", "a,7.png,,,1", "a,9/7.png,,,1", "a,0.png,1,0,1", "a,1.png,1,,"]
    file.write_text("\n".join([*lines, "a,2.png,1,2,"]))
    with pytest.raises(ConfigError) as error:
        exchange.read(book, file)
    wrong = [
        "line 2: '7.png' names 2 images",
        "line 4: concept 'camel' was not",
        "line 6: answer '2'",
        "item i1",
        "item i2",
    ]
    assert len(str(error.value).splitlines()) == len(wrong)
    for line, message in zip(str(error.value).splitlines(), wrong, strict=True):
        assert f"answers.csv: {message}" in line
    assert book.answers().empty


@pytest.mark.parametrize(
    ("heads", "message"),
    [("rater,horse", "item or file"), ("item,horse", "rater"), ("rater,item,horse,horse", "twice")],
)
def test_a_first_line_that_lacks_or_doubles_a_column_is_refused(
    book: Book, tmp_path: Path, heads: str, message: str
) -> None:
    """Who answered, to which image, and each concept once must stand there."""
    (tmp_path / "answers.csv").write_text(f"{heads}\na,i0,1,1\n")
    with pytest.raises(ConfigError, match=f"line 1: .*{message}"):
        exchange.read(book, tmp_path / "answers.csv")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[",
        '[{"data": {}}]',
        "a,b\n1,2",
        '[{"data":{"item":"i0"},"annotations":[{}]}]',
        '[{"data":{"item":"i0"},"annotations":[7]}]',
        '[{"data":{"item":"i0"},"annotations":[{"completed_by":1,"result":[null]}]}]',
        '[{"data":{"item":"i0"},"annotations":[{"completed_by":1,"result":[{"value":{"choices":[[]]}}]}]}]',
        "rater,item,concept,answer\na,i0,horse",
        "{" + 200_000 * "x",
    ],
)
def test_what_is_no_file_of_answers_is_refused(book: Book, tmp_path: Path, text: str) -> None:
    """Empty files, other tables and other JSON are not mistaken for answers."""
    (tmp_path / "file").write_text(text)
    with pytest.raises(ConfigError, match="file: "):
        exchange.read(book, tmp_path / "file")
    assert book.answers().empty


# ---- asked by questions ------------------------------------------------------------------------------

QUESTIONS = {"rider": ("astronaut", "knight"), "mount": ("horse", "cow")}
BY_QUESTION = [
    "rater,item,question,choice",
    *("a,i0,rider,knight", "a,i0,mount,horse", "b,i0,rider,can't tell", "b,i0,mount,none"),
    *("a,i1,rider,astronaut", "a,i1,mount,cow"),
]


@pytest.fixture
def asked(book: Book) -> Book:
    """The same pictures, asked about by QUESTIONS."""
    assert book.set_questions(QUESTIONS)
    return book


def chosen(book: Book) -> list[tuple[str, ...]]:
    table = book.choices()
    return sorted(zip(table["item"], table["question"], table["choice"], strict=True))


def test_choices_come_back_as_they_went(asked: Book, tmp_path: Path) -> None:
    """Exported, read into another book and exported again, the chosen options are the same for every question and
    rater, repeats too; read into its own book the file adds nothing."""
    file = tmp_path / "answers.csv"
    lines = [f"{line},{'repeat' if n == 0 else 'false'}" for n, line in enumerate(BY_QUESTION)]
    file.write_text("\n".join([*lines, "a,i0,rider,astronaut,true", "a,i0,mount,horse,true"]))
    assert exchange.read(asked, file) == 4
    (first,) = exchange.write_csv(tmp_path, tmp_path / "first")
    assert exchange.read(asked, first) == 0
    other = Book(_folder(tmp_path / "other"))
    other.set_questions(QUESTIONS)
    other.add_items(asked.items().values())
    assert exchange.read(other, first) == 4
    (second,) = exchange.write_csv(other.root, tmp_path / "second")
    columns = ["item", "file", "question", "choice", "repeat"]
    a, b = (pd.read_csv(path, keep_default_na=False) for path in (first, second))
    pd.testing.assert_frame_equal(
        *(table[columns].sort_values(columns, ignore_index=True) for table in (a, b)),
    )
    assert a["choice"].value_counts().to_dict() == {
        "horse": 2, "astronaut": 2, "knight": 1, "cow": 1, "none": 1, "can't tell": 1,
    }  # fmt: skip
    assert a["rater"].nunique() == b["rater"].nunique() == 2
    other.close()


@pytest.mark.parametrize(
    "lines",
    [
        ["rater,item,rider,mount", "a,i0,knight,horse", "b,i0,can't tell,none", "a,i1,astronaut,cow"],
        [
            "file,mount,sure,rider,rater",
            "1.png,Cow,1, Astronaut ,a",
            "0.png,horse,0,knight,a",
            "0.png,none,,CAN'T TELL,b",
        ],
    ],
    ids=["wide", "wide, by file, in capitals"],
)
def test_a_sheet_with_a_column_for_each_question_says_the_same(asked: Book, tmp_path: Path, lines: list[str]) -> None:
    """What people or a model fill in on shuffled sheets: one row per image, one option per question."""
    file = tmp_path / "answers.csv"
    file.write_text("\n".join(lines))
    assert exchange.read(asked, file) == 3
    assert ("i0", "rider", "knight") in chosen(asked)
    file.write_text("\n".join(BY_QUESTION))
    assert exchange.read(asked, file) == 0


def test_mistakes_of_a_file_of_choices_are_reported(asked: Book, tmp_path: Path) -> None:
    """Another question's option, an empty cell, a question that nobody asked and half an answer are refused, and
    nothing of the file is kept."""
    file = tmp_path / "answers.csv"
    lines = [
        "a,i0,rider,horse",
        "a,i0,mount,",
        "a,i1,place,moon",
        "b,i1,rider,none",
        "c,i2,rider,none",
        "c,i2,rider,knight",
    ]
    file.write_text("\n".join([BY_QUESTION[0], *lines]))
    with pytest.raises(ConfigError) as error:
        exchange.read(asked, file)
    wrong = [
        "line 2: choice 'horse'; it takes astronaut, knight, none, can't tell",
        "line 3: choice ''; it takes horse, cow,",
        "line 4: question 'place' was not asked; rider, mount were",
        "line 7: contradicts an earlier answer to 'rider'",
        "item i1, rater b: answer all of its questions, or none",
        "item i2, rater c: answer all of its questions, or none",
    ]
    for line, message in zip(str(error.value).splitlines(), wrong, strict=True):
        assert f"answers.csv: {message}" in line
    file.write_text("rater,item,concept,answer\na,i0,horse,true")
    with pytest.raises(ConfigError, match=r"line 1: .*question and choice or a column for each question"):
        exchange.read(asked, file)
    assert asked.choices().empty


def test_label_studio_asks_the_same_questions_of_every_image(asked: Book, tmp_path: Path) -> None:
    """One labeling config for all, with one choice per question, though images differ in their concepts."""
    asked.add_items([Item("i9", "0-more.png", "p9", "another", ("cow",))])
    Image.new("RGB", (8, 8)).save(tmp_path / "0-more.png")
    tasks, labeling = exchange.write_label_studio(asked, tmp_path, tmp_path / "out")
    assert len(json.loads(tasks.read_text())) == 4
    text = labeling.read_text()
    assert re.findall(r'<Choices name="(\w+)" toName="image" choice="single" required="true">', text) == [*QUESTIONS]
    assert re.findall(r'<Choice value="([^"]+)"', text) == [
        "astronaut", "knight", "none", "can't tell", "horse", "cow", "none", "can't tell",
    ]  # fmt: skip


def test_annotations_of_questions_become_choices(asked: Book, tmp_path: Path) -> None:
    """Each question's one choice is kept; without one, with two, or with another question's, an annotation is
    refused."""

    def annotated(item: str, **choices: list[str]) -> dict[str, Any]:
        parts = [{"from_name": name, "value": {"choices": choice}} for name, choice in choices.items()]
        return {"data": {"item": item}, "annotations": [{"completed_by": 1, "result": parts}]}

    file = tmp_path / "export.json"
    wrong = [
        {"rider": ["knight"]},
        {"rider": ["none", "knight"], "mount": ["cow"]},
        {"rider": ["cow"], "mount": ["cow"]},
    ]
    file.write_text(json.dumps([annotated("i0", **choices) for choices in wrong]))
    with pytest.raises(ConfigError) as error:
        exchange.read(asked, file)
    assert len(str(error.value).splitlines()) == 3
    file.write_text(json.dumps([annotated("i0", rider=["knight"], mount=["can't tell"])]))
    assert exchange.read(asked, file) == 1
    assert chosen(asked) == [("i0", "mount", "can't tell"), ("i0", "rider", "knight")]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
