"""People as curators: a run waits for their picks, and goes on with them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from conftest import Command, Toy
from entropy_loop import loop
from entropy_loop.data import Samples
from entropy_loop.errors import Waiting
from entropy_loop.people import picks
from entropy_loop.people.book import Book
from entropy_loop.plan import plan
from entropy_loop.storage.store import Store
from entropy_loop.study import study

PEOPLE = {"policy": {"use": "people", "k": 3}}


def pick(root: Path, wanted: str) -> None:
    """One more rater picks the images whose ids end so, of every pool that waits."""
    book = Book(root)
    rater = book.rater(book.join(book.link()) or "") or ""
    ids = dict(book.rows("SELECT item, id FROM candidates"))
    for pool in picks.waiting(book):
        for item in picks.candidates(book, pool, rater):
            if ids[item][-1] in wanted:
                assert picks.pick(book, rater, item, True)
        assert picks.finish(book, rater, pool.pool)
    book.close()


def test_a_run_waits_with_exit_10_names_the_command_and_goes_on(toy: Toy, command: Command, tmp_path: Path) -> None:
    """Each curation stops the run politely; after the picks the same command goes on, and feeds exactly what was
    picked."""
    path, root = toy(curate=PEOPLE), tmp_path / "out"
    for _ in range(2):
        result = command("run", path, "--out", root)
        assert result.returncode == 10
        assert f"entropy-loop rate {root}" in result.stderr
        assert "0 of 1 people" in result.stderr
        pick(root, "146")
    done = command("run", path, "--out", root)
    assert done.returncode == 0, done.stderr
    images = pd.read_parquet(root / "images.parquet").query("set == 'pool' and generation < 2")
    assert sorted(images.loc[images["kept"].eq(True), "id"].str[-1]) == ["1", "1", "4", "4", "6", "6"]


def test_of_fewer_images_than_wanted_all_are_to_be_picked(toy: Toy, tmp_path: Path) -> None:
    """A safety checker has left two of a pool of eight, and people were to pick three."""
    run = plan(study.load(toy(curate=PEOPLE))).chains[0]
    table = pd.DataFrame({"id": ["a", "b"], "prompt": run.config.prompts[0].text, "file": ["a.png", "b.png"]})
    (tmp_path / "out" / "store" / "pool").mkdir(parents=True)
    table.to_parquet(tmp_path / "out" / "store" / "pool" / "samples.parquet")
    pool, first = Samples(tmp_path / "out" / "store" / "pool"), run.generations[0]
    with pytest.raises(Waiting):
        loop.curate(run, first, first.curate, pool, Store(tmp_path / "out"))  # type: ignore[arg-type]
    assert [pool.k for pool in picks.waiting(Book(tmp_path / "out"))] == [2]


def test_the_other_chains_do_not_wait(toy: Toy, command: Command, tmp_path: Path) -> None:
    """While one arm waits for people, the others are carried to their end and the report shows them."""
    path = toy(sweep={"curate.policy": [PEOPLE["policy"], {"use": "random_k", "k": 3}]})
    result = command("run", path, "--out", tmp_path / "out")
    assert result.returncode == 10
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
    pick(root, "57")
    assert "1 of 2 people" in command("run", path, "--out", root).stderr
    pick(root, "27")
    assert command("run", path, "--out", root).returncode == 0
    images = pd.read_parquet(root / "images.parquet").query("set == 'pool' and generation == 0")
    assert sorted(images.loc[images["kept"].eq(True), "id"].str[-1]) == ["2", "7"]


def test_a_chosen_arm_gets_its_random_control(toy: Toy, command: Command) -> None:
    """`controls: auto` adds random-k of the same size for people's picks, as for every arm that selects."""
    path = toy(curate=PEOPLE, controls="auto", real={"use": "categorical", "rates": {"astronaut": 1.0, "horse": 1.0}})
    result = command("plan", path)
    assert "random_k-3" in result.stdout, result.stderr


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
    """Numbers out of range and unknown keys are named by their place."""
    result = command("plan", toy(people=people))
    assert result.returncode == 2
    assert f"people.{next(iter(people))}" in result.stderr
