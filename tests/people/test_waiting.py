"""People as curators: a run waits for their picks, and goes on with them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from conftest import Command, Toy
from entropy_loop.people.book import Book, now

PEOPLE = {"policy": {"use": "people", "k": 3}}


def pick(root: Path, wanted: list[str]) -> None:
    """One more rater picks these images of every pool that has not been finished yet."""
    book = Book(root)
    session = book.join(book.link())
    rater = book.rater(session or "")
    with book.writing() as db:
        for pool in book.pools():
            if db.execute("SELECT 1 FROM finished WHERE pool = ?", (pool,)).fetchall():
                continue
            for item, image in db.execute("SELECT item, id FROM candidates WHERE pool = ?", (pool,)).fetchall():
                if image[-1] in wanted:
                    db.execute("INSERT INTO picks VALUES (?, ?, 1, ?)", (rater, item, now()))
            db.execute("INSERT INTO finished VALUES (?, ?, ?)", (rater, pool, now()))
    book.close()


def test_a_run_waits_with_exit_10_names_the_command_and_goes_on(toy: Toy, command: Command, tmp_path: Path) -> None:
    """Each curation stops the run politely; after the picks the same command goes on, and feeds exactly what was
    picked."""
    path, root = toy(curate=PEOPLE), tmp_path / "out"
    for _ in range(2):
        told = command("run", path, "--out", root)
        assert told.returncode == 10
        assert f"entropy-loop rate {root}" in told.stderr
        assert "0 of 1 people" in told.stderr
        pick(root, ["1", "4", "6"])
    done = command("run", path, "--out", root)
    assert done.returncode == 0, done.stderr
    images = pd.read_parquet(root / "images.parquet").query("set == 'pool' and generation < 2")
    assert sorted(images.loc[images["kept"].eq(True), "id"].str[-1]) == ["1", "1", "4", "4", "6", "6"]


def test_the_other_chains_do_not_wait(toy: Toy, command: Command, tmp_path: Path) -> None:
    """While one arm waits for people, the others are carried to their end and the report tells of them."""
    path = toy(sweep={"curate.policy": [PEOPLE["policy"], {"use": "random_k", "k": 3}]})
    told = command("run", path, "--out", tmp_path / "out")
    assert told.returncode == 10
    rates = pd.read_csv(tmp_path / "out" / "rates.csv").query("set == 'pool'")
    assert rates.groupby("arm")["generation"].max().to_dict() == {"people-3": 0, "random_k-3": 2}
    assert (tmp_path / "out" / "report.html").is_file()


def test_as_many_people_as_wanted_must_finish_and_the_most_picked_are_kept(
    toy: Toy, command: Command, tmp_path: Path
) -> None:
    """With two raters wanted, one is not enough; images that both picked come before those of one."""
    policy = {"use": "people", "k": 2, "raters": 2}
    path, root = toy(curate={"policy": policy}, generations=1), tmp_path / "out"
    command("run", path, "--out", root)
    pick(root, ["5", "7"])
    assert "1 of 2 people" in command("run", path, "--out", root).stderr
    book = Book(root)
    with book.writing() as db:
        (first,) = db.execute("SELECT rater FROM finished").fetchone()
        db.execute("INSERT INTO raters VALUES ('other', NULL, ?)", (now(),))
        for item, image in db.execute("SELECT item, id FROM candidates").fetchall():
            if image[-1] in "27":
                db.execute("INSERT INTO picks VALUES ('other', ?, 1, ?)", (item, now()))
        db.execute("INSERT INTO finished SELECT 'other', pool, at FROM finished WHERE rater = ?", (first,))
    book.close()
    assert command("run", path, "--out", root).returncode == 0
    images = pd.read_parquet(root / "images.parquet").query("set == 'pool' and generation == 0")
    assert sorted(images.loc[images["kept"].eq(True), "id"].str[-1]) == ["2", "7"]


def test_a_chosen_arm_gets_its_random_control(toy: Toy, command: Command) -> None:
    """`controls: auto` adds random-k of the same size for people's picks, as for every arm that selects."""
    path = toy(curate=PEOPLE, controls="auto", real={"use": "categorical", "rates": {"astronaut": 1.0, "horse": 1.0}})
    told = command("plan", path)
    assert "random_k-3" in told.stdout, told.stderr


def test_what_people_are_asked_is_in_no_key(toy: Toy, command: Command, tmp_path: Path) -> None:
    """Another number of raters on the page makes nothing anew, and arms cannot differ in it."""
    assert command("run", toy(), "--out", tmp_path / "out").returncode == 0
    again = command("plan", toy(people={"raters": 5}), "--out", tmp_path / "out", "--json")
    stages = json.loads(again.stdout)["stages"]
    assert all(row["done"] == row["stages"] for row in stages.values())
    refused = command("plan", toy(sweep={"people.raters": [1, 2]}))
    assert refused.returncode == 2
    assert "no part of the experiment" in refused.stderr


@pytest.mark.parametrize("people", [{"raters": 0}, {"repeats": 0.9}, {"intro": ""}, {"rater": 3}])
def test_wrong_settings_are_refused(toy: Toy, command: Command, people: dict[str, object]) -> None:
    """Numbers out of range and unknown keys are told by their place."""
    told = command("plan", toy(people=people))
    assert told.returncode == 2
    assert f"people.{next(iter(people))}" in told.stderr
