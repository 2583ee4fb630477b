"""People as a judge in the tables and on the page, from real answers to a painted run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import painted
import pandas as pd
import pytest

from entropy_loop.analysis.people import People
from entropy_loop.analysis.tables import Tables, tables
from entropy_loop.data import AGREEMENT
from entropy_loop.people.asking import Questions
from entropy_loop.people.book import Book, Item
from entropy_loop.people.queue import Queue

PROMPT = painted.CONFIG["prompts"][0]["text"]
LOOKS = ["run", "generation", "set", "id"]
Says = Callable[[str, Item], list[str] | dict[str, str] | None]


def rated(
    root: Path, says: Says, raters: int = 3, repeats: float = 0.0, last: int = 3, questions: Questions | None = None
) -> tuple[painted.ResultsFolder, Tables]:
    """A run whose pools, up to generation `last`, are rated by so many people in the way of `says`, and its tables."""
    folder = painted.carry_out(root, report=False)
    images = folder.parquet("images").query(f"set == 'pool' and generation <= {last}").drop_duplicates("file")
    book = Book(root)
    book.set_questions(questions or {})
    book.add_items(
        [Item(f"i{n}", row.file, row.id, PROMPT, ("astronaut", "horse")) for n, row in enumerate(images.itertuples())]
    )
    queue, items = Queue(book, raters, repeats, 0.0), book.items()
    for number in range(raters):
        rater = book.rater(book.join(book.link()) or "") or ""
        while ask := queue.next(rater):
            queue.answer(rater, ask.ask, says(f"rater {number}", items[ask.item]))
    book.close()
    with painted.registered():
        return folder, tables(folder.plan, folder.store)


def everything(rater: str, item: Item) -> list[str]:
    return ["astronaut", "horse"]


def by_file(rater: str, item: Item) -> list[str] | None:
    """Two say what the file's name decides, the third the contrary of it; and one image nobody can judge."""
    if item.id.endswith("03"):
        return None
    even = int(item.id[-1]) % 2 == 0
    return ["astronaut", *(["horse"] if even != (rater == "rater 2") else [])]


def test_v_of_people_is_the_mean_share_and_all_is_asked_of_one_person(tmp_path: Path) -> None:
    """Of 12 images one has no answer; in half of the others two of three see the horse, in half one: n, hits, V and the
    interval stand in rates.csv, for `all` too."""
    _, results = rated(tmp_path, by_file)
    rows = results.rates[(results.rates["judge"] == "people") & (results.rates["generation"] == 0)]
    rows = rows[rows["run"] == rows["run"].iloc[0]].set_index("concept")
    even, odd = 6, 5
    hits = even * 2 / 3 + odd / 3
    assert rows.loc["horse", ["n", "rate"]].tolist() == [11, pytest.approx(hits / 11)]
    assert rows.loc["horse", "hits"] == pytest.approx(hits)
    assert rows.loc["all", "rate"] == pytest.approx(hits / 11)
    assert rows.loc["astronaut", ["rate", "high"]].tolist() == [1.0, 1.0]
    assert (rows["low"] <= rows["rate"]).all()
    assert (rows["rate"] <= rows["high"]).all()


def test_an_image_that_arms_share_counts_in_each(tmp_path: Path) -> None:
    """Generation 0 was rated once and stands in both chains."""
    _, results = rated(tmp_path, by_file)
    first = results.rates[(results.rates["judge"] == "people") & (results.rates["generation"] == 0)]
    assert first.groupby("concept")["rate"].nunique().tolist() == [1, 1, 1]
    assert first.groupby("concept")["run"].nunique().tolist() == [2, 2, 2]


def test_most_people_decide_and_a_tie_is_missing(tmp_path: Path) -> None:
    """In judgements.parquet the score is the share of people, the answer what most say; nobody and a tie: nothing."""
    _, results = rated(tmp_path, by_file, raters=2)
    rows = results.judgements[results.judgements["judge"] == "people"]
    horse = rows[rows["concept"] == "horse"]
    even = horse["id"].str[-1].astype(int) % 2 == 0
    unclear = horse["id"].str.endswith("03")
    assert set(horse.loc[even & ~unclear, "score"]) == {1.0}
    assert horse.loc[unclear, "answer"].isna().all()
    assert set(horse.loc[unclear, "reason"]) == {"nobody could tell"}
    _, results = rated(tmp_path / "tie", lambda rater, item: ["horse"] if rater == "rater 0" else [], raters=2)
    tied = results.judgements.query("judge == 'people' and concept == 'horse'")
    assert tied["answer"].isna().all()
    assert set(tied["reason"]) == {"as many people say yes as no"}


def test_c_of_people_follows_from_their_shares(tmp_path: Path) -> None:
    """changes.csv holds 1 - V2/V1 of the rates, inside its interval, with both bands."""
    rng = np.random.default_rng(0)
    _, results = rated(tmp_path, lambda rater, item: [c for c in item.concepts if rng.random() < 0.7])
    rows = results.changes[results.changes["judge"] == "people"]
    assert len(rows) == 2 * 3 * 4  # chains, concepts with `all`, steps and 0 -> last
    assert np.allclose(rows["change_rate"], 1 - rows["v2"] / rows["v1"])
    assert (rows["low"] <= rows["change_rate"]).all()
    assert (rows["change_rate"] <= rows["high"]).all()
    assert rows[["sampling_low", "drift_high"]].notna().all(axis=None)


def test_people_stand_in_the_summary_and_the_ledger_has_models_only(tmp_path: Path) -> None:
    """People stand in summary.csv and verdicts.csv; a ledger would need whole pools."""
    _, results = rated(tmp_path, by_file)
    assert "people" in set(results.summary["judge"])
    assert set(results.ledger.get("judge", [])) <= {"exact"}


def test_agreement_covers_people_and_every_judge(tmp_path: Path) -> None:
    """agreement.csv has alpha, repeats, and each model judge against most people, over all and by generation."""
    _, results = rated(tmp_path, by_file, repeats=0.2)
    agreement = results.agreement
    assert list(agreement.columns) == list(AGREEMENT)
    alpha = agreement[(agreement["statistic"] == "alpha") & (agreement["concept"] == "horse")].iloc[0]
    assert alpha["value"] < 0  # the third rater contradicts the others on every image
    same = agreement[agreement["statistic"] == "self_agreement"]
    assert set(same["value"]) == {1.0}
    judge = agreement[(agreement["judge"] == "exact") & (agreement["statistic"] == "sensitivity")]
    assert {str(g) for g in judge["generation"]} == {"<NA>", "0", "1", "2", "3"}
    people = results.judgements.query("judge == 'people' and concept == 'horse'")
    exact = results.judgements.query("judge == 'exact' and concept == 'horse'")
    by = ["run", "generation", "set", "id"]
    both = people.merge(exact, on=by).dropna(subset=["answer_x", "answer_y"])
    images = results.images[[*by, "file"]]
    both = both.merge(images, on=by).drop_duplicates("file")
    positives = both[both["answer_x"].astype(bool)]
    row = judge[(judge["concept"] == "horse") & judge["generation"].isna()].iloc[0]
    assert (row["n"], row["value"]) == (len(positives), pytest.approx(positives["answer_y"].astype(float).mean()))


def test_judges_are_held_to_people_on_all_concepts_in_one_image(tmp_path: Path) -> None:
    """The judge's joint answer against that of most people, each of whom saw all concepts in the image or not."""
    _, results = rated(tmp_path, by_file)
    exact = (
        results.judgements.query("judge == 'exact'").pivot(index=LOOKS, columns="concept", values="answer").astype(bool)
    )
    both = exact.all(axis=1).rename("judge").reset_index().merge(results.images[[*LOOKS, "file"]], on=LOOKS)
    both = both[both["set"].eq("pool") & ~both["id"].str.endswith("03")].drop_duplicates("file")
    people = both["id"].str[-1].astype(int) % 2 == 0  # two of three see the horse there, and all three the astronaut
    agreement = results.agreement.query("judge == 'exact' and concept == 'all'")
    over_all = agreement[agreement["generation"].isna()].set_index("statistic")
    assert over_all.loc["kappa", "n"] == len(both)
    assert over_all.loc["sensitivity", "value"] == pytest.approx(both.loc[people, "judge"].mean())
    assert over_all.loc["specificity", "value"] == pytest.approx(1 - both.loc[~people, "judge"].mean())
    assert {str(g) for g in agreement["generation"]} == {"<NA>", "0", "1", "2", "3"}


def test_choices_are_rates_of_concepts_and_a_no_to_one_is_a_no_to_all(tmp_path: Path) -> None:
    """Of 12 images one shows a knight on an unclear mount: not all concepts. Another shows an astronaut on an unclear
    mount: nobody knows whether that one has all of them."""

    def chosen(rater: str, item: Item) -> dict[str, str]:
        unclear = item.id.endswith(("03", "04"))
        rider = "knight" if item.id.endswith("03") else "astronaut"
        return {"rider": rider, "mount": "can't tell" if unclear else "horse"}

    questions = {"rider": ("astronaut", "knight"), "mount": ("horse", "cow")}
    _, results = rated(tmp_path, chosen, raters=2, last=0, questions=questions)
    rows = results.rates.query("judge == 'people'").drop_duplicates("concept").set_index("concept")
    assert rows["n"].to_dict() == {"astronaut": 12, "horse": 10, "all": 11}
    assert rows["hits"].to_dict() == {"astronaut": 11, "horse": 10, "all": 10}
    judged = results.judgements.query("judge == 'people' and concept == 'horse'").drop_duplicates("id")
    assert sorted(judged.loc[judged["answer"].isna(), "id"].str[-2:]) == ["03", "04"]
    alpha = results.agreement.query("statistic == 'alpha'").set_index("concept")
    assert alpha["value"].to_dict() == {"astronaut": 1.0, "horse": pytest.approx(float("nan"), nan_ok=True), "all": 1.0}


def look(file: str, answers: list[bool] | None, truth: list[bool] | None = None, repeat: bool = False) -> pd.DataFrame:
    """One rater's answers to one image, of the astronaut and of the horse."""
    rows = {"rater": "a", "file": file, "prompt": PROMPT, "concept": ["astronaut", "horse"], "repeat": repeat}
    return pd.DataFrame(rows | {"answer": answers, "truth": truth}).astype({"answer": "boolean", "truth": "boolean"})


def test_raters_are_held_to_themselves_and_to_truth_on_all_concepts_in_one_image() -> None:
    """An image counts once: of four repeats one has another joint answer and one has none; of three catch
    trials one is joint where it should not be."""
    yes, horse, none = [True, True], [False, True], [False, False]
    first = [look(f"{n}.png", answers) for n, answers in enumerate((yes, yes, horse, yes))]
    again = [look(f"{n}.png", answers, repeat=True) for n, answers in enumerate((yes, horse, none, None))]
    trials = [look("t0", yes, yes), look("t1", horse, none), look("t2", yes, horse)]
    people = People(pd.concat([*first, *again, *trials], ignore_index=True), pd.DataFrame(columns=[*LOOKS, "file"]))
    rows = pd.DataFrame(people.agreement(pd.DataFrame(columns=["judge", *LOOKS, "concept", "answer"]))).query(
        "concept == 'all'"
    )
    by_statistic = rows.set_index("statistic")[["n", "value"]]
    assert by_statistic.loc["self_agreement"].tolist() == [3, pytest.approx(2 / 3)]
    assert by_statistic.loc["catch_accuracy"].tolist() == [3, pytest.approx(2 / 3)]


def test_repeats_and_catch_trials_enter_no_rate(tmp_path: Path) -> None:
    """With a fifth of the answers repeated, V is what first looks say."""
    _, plain = rated(tmp_path / "plain", by_file)
    _, again = rated(tmp_path / "again", by_file, repeats=0.2)
    columns = ["run", "generation", "concept", "n", "rate"]
    first, second = (t.rates.query("judge == 'people'")[columns].reset_index(drop=True) for t in (plain, again))
    pd.testing.assert_frame_equal(first, second)


def test_the_page_shows_people_beside_judges_only_where_there_are_some(tmp_path: Path) -> None:
    """With answers the page has a section with their number; without, no word of it."""
    folder, _ = rated(tmp_path / "rated", by_file, repeats=0.2)
    text = folder.text()
    assert 'id="people"' in text
    assert "not asked" not in text
    assert "3 people have given 252 answers to 77 images" in " ".join(text.split())
    assert 'id="people"' not in painted.carry_out(tmp_path / "none").html


def test_the_same_answers_make_the_same_tables(tmp_path: Path) -> None:
    """The bootstrap is seeded: read twice, every table is the same."""
    folder, results = rated(tmp_path, by_file)
    with painted.registered():
        again = tables(folder.plan, folder.store)
    for name in ("rates", "changes", "summary", "agreement"):
        pd.testing.assert_frame_equal(getattr(results, name), getattr(again, name))


def test_people_who_saw_a_few_generations_decide_nothing_and_break_nothing(tmp_path: Path) -> None:
    """The last generations are not rated: c from 0 to last is missing with a reason, recognition by people is
    undecided, the other judge's rows are as without people, and the page is whole."""
    folder, results = rated(tmp_path / "rated", by_file, last=1)
    _, alone = rated(tmp_path / "alone", by_file, raters=0)
    people = results.summary.query("judge == 'people' and statistic == 'change_rate' and against == ''")
    assert people[["mean", "p"]].isna().all(axis=None)
    assert people["reason"].str.contains("a pool is missing").all()
    verdicts = results.verdicts.query("judge == 'people'")
    assert set(verdicts["recognition"]) == {"undecided"}
    assert verdicts["reason"].str.contains("recognition V(all): missing", regex=False).all()
    for name in ("summary", "verdicts", "rates", "changes"):
        with_people, without = (
            getattr(t, name).query("judge == 'exact'").reset_index(drop=True) for t in (results, alone)
        )
        pd.testing.assert_frame_equal(with_people, without, check_dtype=False)
    assert 'id="people"' in folder.text()


def test_where_nobody_was_asked_no_database_is_made(tmp_path: Path) -> None:
    """Tables of a folder without answers have no people in them, and leave no file of theirs behind."""
    folder = painted.carry_out(tmp_path, report=False)
    with painted.registered():
        results = tables(folder.plan, folder.store)
    assert results.agreement.empty
    assert "people" not in set(results.rates["judge"])
    assert list(tmp_path.glob("people.sqlite*")) == []
