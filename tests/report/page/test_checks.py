"""checks.csv: what a judge is worth on the loop's own pictures, on real runs of the toy loop."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import painted
import pandas as pd
import pytest

from entropy_loop import loop, registry
from entropy_loop.analysis.checks import alarm_warnings, checks, worst_share
from entropy_loop.analysis.tables import Tables, tables
from entropy_loop.data import CHECK, CHECKS, MOVED, columns
from entropy_loop.judges.exact import ExactRecogniser
from entropy_loop.plan import Plan, plan
from entropy_loop.report.page import page
from entropy_loop.report.text import formats
from entropy_loop.report.text.final_message import final_message
from entropy_loop.storage.reading import Reader
from entropy_loop.storage.store import Store
from entropy_loop.study import study

TARGET = {"text": "an astronaut on a horse", "concepts": ["astronaut", "horse"]}
OTHERS = [
    {"text": "a knight on a horse", "role": "check", "concepts": ["knight", "horse"]},
    {"text": "a cow", "role": "check", "concepts": ["cow"]},
]
CONFIG = {
    **painted.CONFIG,
    "generations": 2,
    "prompts": [TARGET, *OTHERS],
    "check_images": 12,
    "steady_images": 6,
    "sweep": {},
}


@pytest.fixture(scope="module", autouse=True)
def generator() -> Iterator[None]:
    """`use: painted`."""
    with painted.registered():
        yield


def carried(root: Path, **changes: object) -> tuple[Plan, Store, Tables]:
    """A whole run, and its tables."""
    planned, store = plan(study.check({**CONFIG, **changes})), Store(root)
    with store.lock():
        for run in planned.chains:
            loop.carry(run, store)
    return planned, store, tables(planned, store)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store, Tables]:
    """One chain of two feedback steps with a judge that knows the truth."""
    return carried(tmp_path_factory.mktemp("checks"))


def again(run: tuple[Plan, Store, Tables], judgements: pd.DataFrame) -> pd.DataFrame:
    """checks.csv, had the judge answered so."""
    planned, store, _ = run
    return columns(pd.DataFrame(checks(planned.chains[0], judgements, Reader(store))), CHECKS)


def blind(run: tuple[Plan, Store, Tables]) -> pd.DataFrame:
    """The judgements of a judge that recognises everything up to generation 1 and nothing in generation 2."""
    return run[2].judgements.assign(answer=run[2].judgements["generation"] < 2)


def test_shares_are_counts_of_the_check_images(run):
    """Specificity counts what is not recognised where the prompt does not name it, sensitivity what is where it does;
    counted here from the stored images."""
    planned, store, results = run
    for g in planned.chains[0].generations:
        table = pd.read_parquet(store.stages / g.sets[CHECK].folder / "samples.parquet")
        shown = table["shows"].str.split("+").map(set)
        knight = table["prompt"] == "a knight on a horse"
        expected = {
            ("astronaut", "specificity"): (24, sum("astronaut" not in s for s in shown)),
            ("horse", "specificity"): (12, sum("horse" not in s for s in shown[~knight])),
            ("horse", "sensitivity"): (12, sum("horse" in s for s in shown[knight])),
            ("all", "specificity"): (24, sum(not {"astronaut", "horse"} <= s for s in shown)),
        }
        rows = results.checks[
            (results.checks["generation"] == g.number) & ~results.checks["check"].isin(["mirror", "shift"])
        ]
        assert {(r.concept, r.check): (r.n, r.hits) for r in rows.itertuples()} == expected
        assert (rows["rate"] == rows["hits"] / rows["n"]).all()
        assert (rows["low"] <= rows["rate"]).all()
        assert (rows["rate"] <= rows["high"]).all()


def test_a_moved_image_is_held_to_its_original(run):
    """A judge that reads the truth answers the same; one that says no to one mirrored image does so for 5 of 6."""
    moved = run[2].checks[run[2].checks["check"].isin(["mirror", "shift"])]
    assert len(moved) == 3 * 3 * 2
    assert (moved["rate"] == 1).all()
    judgements = run[2].judgements.copy()
    mirrored = (
        judgements["id"].str.endswith("-mirror")
        & (judgements["concept"] == "astronaut")
        & (judgements["generation"] == 1)
    )
    changed = judgements[mirrored & judgements["answer"]].index[0]
    judgements.loc[changed, "answer"] = False
    row = again(run, judgements).query("generation == 1 and concept == 'astronaut' and check == 'mirror'").iloc[0]
    assert (row["n"], row["hits"]) == (6, 5)


def test_sets_that_check_the_judge_are_never_fed_back_and_enter_no_other_table(run, tmp_path):
    """Without them every other table is the same, and so is every diet."""
    _, store, with_ = run
    _, other, without = carried(tmp_path, checks="none")
    for name in ("rates", "changes", "summary", "ledger", "verdicts"):
        pd.testing.assert_frame_equal(getattr(with_, name), getattr(without, name))
    diets = [sorted(s.stages.glob("*-train-*/diet.parquet")) for s in (store, other)]
    assert [path.read_bytes() for path in diets[0]] == [path.read_bytes() for path in diets[1]]
    assert len(diets[0]) == 2
    assert set(with_.images["set"]) - set(without.images["set"]) == {CHECK, MOVED}
    assert set(with_.judgements["set"]) - set(without.judgements["set"]) == {CHECK, MOVED}
    assert without.checks.empty


def test_a_judge_that_goes_blind_raises_an_alarm_where_it_does(run):
    """Its sensitivity falls in generation 2, and only that: what recognises nothing is specific and steady."""
    rows = again(run, blind(run))
    assert set(rows.loc[rows["alarm"] != "", "check"]) == {"sensitivity"}
    assert set(rows.loc[rows["alarm"] != "", "generation"]) == {2}
    (warning,) = alarm_warnings(rows)
    assert warning.startswith("From generation 2 on exact does worse on its checks than in generation 0 (")
    assert "it recognises horse less often where the check prompt asks for that." in warning
    assert "entropy-loop rate" in warning
    assert alarm_warnings(run[2].checks) == []


def test_a_missing_answer_is_left_out_and_counted_in_the_reason(run):
    """Two of 12 images could not be judged: n is 10; where none could be there is no rate, and a reason."""
    judgements = run[2].judgements.astype({"answer": "boolean"})
    horses = judgements[
        (judgements["set"] == CHECK) & (judgements["concept"] == "horse") & (judgements["generation"] == 1)
    ]
    knights = run[2].images.set_index("id")["prompt"].loc[horses["id"]].to_numpy() == "a knight on a horse"
    judgements.loc[horses[knights].index[:2], "answer"] = None
    row = again(run, judgements).query("generation == 1 and concept == 'horse' and check == 'sensitivity'").iloc[0]
    assert (row["n"], row["reason"]) == (10, "2 images could not be judged")
    judgements.loc[horses[knights].index, "answer"] = None
    row = again(run, judgements).query("generation == 1 and concept == 'horse' and check == 'sensitivity'").iloc[0]
    assert row["n"] == 0
    assert pd.isna(row["rate"])
    assert row["reason"] == "12 images could not be judged"
    assert row["alarm"] == ""


@dataclass(frozen=True)
class Averaging(ExactRecogniser):
    """A judge whose answer is the mean over an image and its mirror image."""

    version: ClassVar[int] = 1
    averages_mirror: ClassVar[bool] = True


def test_of_a_judge_that_averages_mirrored_views_the_mirror_is_not_reported(tmp_path, monkeypatch):
    """It would be the same by definition."""
    monkeypatch.setitem(registry.JUDGE.bundled, "averaging", f"{__name__}:Averaging")
    registry.known.cache_clear()
    rows = carried(tmp_path, judges=[{"use": "averaging"}], generations=1)[2].checks
    registry.known.cache_clear()
    assert set(rows["check"]) == {"specificity", "sensitivity", "shift"}


def test_the_page_and_every_other_report_show_an_alarm_once(run):
    """One sentence at the head of the page, in Markdown, in JSON and at the end of a run."""
    planned, store, results = run
    alarmed = replace(results, checks=again(run, blind(run)))
    (warning,) = alarm_warnings(alarmed.checks)
    assert page.text(planned, store, alarmed).count(warning) == 1
    assert formats.markdown(planned, alarmed).count(warning) == 1
    assert formats.values(planned, alarmed)["warnings"] == [warning]
    assert len(formats.values(planned, alarmed)["checks"]) == len(alarmed.checks)
    assert final_message(alarmed, store.root / "report.html").warnings == [warning]


def test_the_page_shows_the_worst_of_the_checks_beside_v_and_the_check_images(run):
    """The table of V has the three columns, and every check prompt two images in each generation, with a card each."""
    planned, store, results = run
    text = page.text(planned, store, results)
    for head in ("worst specificity", "worst sensitivity", "worst steadiness"):
        assert f'class="check">{head}</th>' in text
    assert text.count("never fed back: check prompts only test the judges") == 2 * 2 * 3
    assert "judged as the prompt says" in text
    assert "Newcombe" in text


def test_without_checks_the_page_has_none_of_it(tmp_path):
    """No column, no section."""
    planned, store, results = carried(tmp_path, checks="none", generations=1)
    text = page.text(planned, store, results)
    assert "worst specificity" not in text
    assert 'id="checks"' not in text


def test_the_worst_is_the_lowest_share_of_a_single_concept():
    """`all` stands aside; what is missing says why; an alarm on it is shown."""
    rows = pd.DataFrame(
        [
            ("all", "specificity", 8, 1, 0.125, "", ""),
            ("horse", "specificity", 8, 8, 1.0, "", ""),
            ("astronaut", "specificity", 8, 4, 0.5, "fell by 0.50 [0.10, 0.80] since generation 0", ""),
            ("horse", "mirror", 0, 0, None, "", "8 images could not be judged"),
        ],
        columns=["concept", "check", "n", "hits", "rate", "alarm", "reason"],
    )
    worst = worst_share(rows, ["specificity"])
    assert (worst.value, worst.counts, worst.reason) == (0.5, "astronaut 4/8", "alarm")
    assert worst_share(rows, ["mirror", "shift"]).text() == "\u2013 (8 images could not be judged)"
    assert worst_share(rows, ["sensitivity"]).value is None
