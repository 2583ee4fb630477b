"""The report's promises, on real runs of the toy loop."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from entropy_loop import loop
from entropy_loop.analysis.tables import tables
from entropy_loop.plan import Plan, plan
from entropy_loop.report.page import appendix, page
from entropy_loop.storage.store import Store
from entropy_loop.study import study

TOY: dict[str, Any] = {
    "name": "toy",
    "generations": 3,
    "images": 40,
    "measured_images": 16,
    "evaluation": {"images": 4},
    "prompts": [
        {"text": "an astronaut riding a horse", "concepts": ["astronaut", "horse", "riding"]},
        {"text": "a <horse> & nobody", "role": "unrelated", "concepts": ["horse"]},
    ],
    "generator": {"use": "categorical", "rates": {"astronaut": 0.9, "horse": 0.9, "riding": 0.8}},
    "curate": {"scorer": {"use": "exact"}},
    "judges": [{"use": "exact"}],
    "sweep": {"curate.policy": [{"use": "none"}, {"use": "top_k", "k": 10}]},
}


def planned(**changes: object) -> Plan:
    return plan(study.check({**TOY, **changes}))


def written(plan: Plan, root: Path, runs: int | None = None) -> str:
    """The page after the first `runs` chains (all of them if None) were carried through."""
    store = Store(root)
    with store.lock():
        for run in plan.chains[:runs]:
            loop.carry(run, store)
    results = tables(plan, store)
    results.write(root)
    return page.write(plan, store, results).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("finished")
    return root, written(planned(), root)


class Attributes(HTMLParser):
    """Every (tag, attribute, value) of a page, and the values of the <data> elements of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.numbers: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen += [(tag, name, value or "") for name, value in attrs]
        if tag == "table":
            self.open.append(dict(attrs).get("class") or "")
        if tag == "data" and self.open:
            self.numbers.setdefault(self.open[-1], []).append(dict(attrs)["value"] or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.open.pop()

    def values(self, *names: str) -> Iterator[str]:
        return (value for _, name, value in self.seen if name in names)


CONCEPTS = {"target": ["all", "astronaut", "horse", "riding"], "unrelated": ["all", "horse"]}


def in_order(path: Path, generation: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV as text, in the order of the page: prompt, chain, `generation`, and `all` first."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "set" in table:
        table = table[table["set"] == "pool"]
    for role, concepts in CONCEPTS.items():
        for run in ("none-seed0", "top_k-10-seed0"):
            chain_rows = table[(table["role"] == role) & (table["run"] == run)]
            for place in chain_rows[generation].unique():
                rows = chain_rows[chain_rows[generation] == place].set_index("concept")
                yield from (rows.loc[concept].to_dict() | {"concept": concept} for concept in concepts)


def test_report_is_a_function_of_the_store(finished: tuple[Path, str]) -> None:
    """Written twice, the page and every figure have the same bytes: no clock, no random ids."""
    root, first = finished
    figures = {path: path.read_bytes() for path in (root / "figures").iterdir()}
    # SVG and PNG of recognition, the same arm by arm, change, and the prompt that is only measured
    assert len(figures) == 2 * 4
    assert written(planned(), root) == first
    assert {path: path.read_bytes() for path in (root / "figures").iterdir()} == figures


def test_numbers_of_the_v_table_stand_in_rates_csv(finished: tuple[Path, str]) -> None:
    """Every V with its interval stands in its own place: each number is that of its chain, generation and concept."""
    root, text = finished
    rows = list(in_order(root / "rates.csv", "generation"))
    assert len(rows) == 2 * 4 * (4 + 2)  # chains x generations x concepts of the two prompts
    assert Attributes(text).numbers["rates"] == [row[name] for row in rows for name in ("rate", "low", "high")]


def test_numbers_of_the_c_table_stand_in_changes_csv(finished: tuple[Path, str]) -> None:
    """Every c with its interval stands in the place of its chain, step and concept; the bands are those of `all`."""
    root, text = finished
    table = pd.read_csv(root / "changes.csv", dtype=str, keep_default_na=False)
    table["step"] = table["from_generation"] + " to " + table["to_generation"]
    table.to_csv(root / "steps.csv", index=False)
    expected, bands = [], []
    for row in in_order(root / "steps.csv", "step"):
        if row["concept"] == "all":
            bands = [row[f"{name}_{end}"] for name in ("sampling", "drift") for end in ("low", "high")]
        expected += [row[name] for name in ("change_rate", "low", "high")]
        expected += bands if row["concept"] == CONCEPTS[row["role"]][-1] else []
    assert len(expected) > 2 * 4 * (4 + 2) * 3
    assert Attributes(text).numbers["changes"] == [number for number in expected if number]


def test_no_request_leaves_the_page(finished: tuple[Path, str]) -> None:
    """Nothing is loaded from anywhere: no script, no style sheet, no font, no picture but what is inside."""
    _, text = finished
    parsed = Attributes(text)
    loaded = [v for v in parsed.values("src", "srcset", "data", "poster", "xlink:href") if v]
    assert loaded
    assert all(value.startswith(("data:", "#")) for value in loaded)
    assert not {tag for tag, *_ in parsed.seen} & {"script", "link", "iframe", "object", "embed", "base"}
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_links_lead_somewhere(finished: tuple[Path, str]) -> None:
    """Every anchor of the page exists once, every linked file lies in the results folder."""
    root, text = finished
    parsed = Attributes(text)
    ids = list(parsed.values("id"))
    assert len(ids) == len(set(ids))
    targets = {value for tag, name, value in parsed.seen if tag == "a" and name == "href"}
    assert {"#finding", "rates.csv", "figures/recognition-1.svg", "figures/recognition-1.png"} <= targets
    for target in targets:
        assert target[1:] in ids if target.startswith("#") else (root / target).is_file()


def test_missing_data_is_shown_as_missing(tmp_path: Path) -> None:
    """A concept that is never there has V = 0 and no c: an en dash with the reason, not 0."""
    text = written(planned(generator={"use": "categorical", "rates": {"horse": 1.0, "astronaut": 0.0}}), tmp_path)
    changes = pd.read_csv(tmp_path / "changes.csv")
    undefined = changes[changes["concept"] == "astronaut"]
    assert undefined["change_rate"].isna().sum() == len(undefined) > 0
    assert text.count('<span class="missing">\u2013 <small>undefined: V1 = 0</small></span>') >= len(undefined)
    assert "= \u2013 (undefined: V1 = 0)" in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower().split()


def test_unfinished_run_says_so(tmp_path: Path) -> None:
    """With one of two chains made, the page names the other, which shares generation 0, and what is not made yet."""
    text = written(planned(), tmp_path, runs=1)
    assert "Unfinished: 1 of 2 chains are at their last generation. top_k-10: generation 0 of 3." in text
    assert text.count("not made yet") >= 3 * (4 + 2)
    longer = written(planned(generations=5), tmp_path, runs=0)
    assert "no curation: generation 3 of 5" in longer


def test_empty_folder_has_a_report(tmp_path: Path) -> None:
    """Before the first stage is done there is a page that says that there is nothing."""
    text = written(planned(), tmp_path, runs=0)
    assert "Unfinished: 0 of 2 chains" in text
    assert "<data" not in text


def test_fewer_than_three_chains_claim_nothing(finished: tuple[Path, str]) -> None:
    """One chain is a picture, not evidence; c is labelled and its sign explained."""
    text = finished[1]
    assert "This describes one chain per arm; a claim needs at least three." in text
    assert text.count("This chain only: c(0") == 2
    assert "c &gt; 0 means recognition fell" in text


def test_several_chains_are_counted_and_shown_one_by_one(tmp_path: Path) -> None:
    """Chains are counted and shown one by one; the page pools nothing."""
    text = written(planned(sweep={"seed": [0, 1, 2]}, generations=2), tmp_path)
    assert "3 of 3 chains have a c" in text
    assert "no curation, seed 2" in text
    assert "Arm by arm" not in text  # one arm: its bands stand in the first figures


def test_many_arms_stand_in_a_table_and_their_chains_are_folded(tmp_path: Path) -> None:
    """With four arms the finding is one line per arm, with the numbers of summary.csv; single chains are folded."""
    policies = [{"use": "none"}, *({"use": "top_k", "k": k} for k in (5, 10, 20))]
    text = written(planned(sweep={"curate.policy": policies, "seed": [0, 1, 2]}, generations=1), tmp_path)
    assert text.count('<ul class="finding">') == 1
    assert '<summary>The verdict on each arm, with its reasons</summary><ul class="finding">' in text
    table = pd.read_csv(tmp_path / "summary.csv", dtype=str, keep_default_na=False)
    table = table[(table["concept"] == "all") & (table["role"] == "target") & (table["against"] == "")]
    expected = []
    for arm in ("none", "top_k-5", "top_k-10", "top_k-20"):
        arm_rows = table[table["arm"] == arm]
        expected += arm_rows.loc[arm_rows["statistic"] == "rate", "mean"].tolist()
        (c,) = arm_rows[arm_rows["statistic"] == "change_rate"].to_dict("records")
        expected += [c[name] for name in ("mean", "low", "high", "null_low", "null_high", "p_adjusted")]
    assert Attributes(text).numbers["overview"] == expected
    outside = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert "top_k-20, seed 2" in text
    assert "top_k-20, seed 2" not in outside


def test_arms_that_have_not_begun_have_no_empty_panels(tmp_path: Path) -> None:
    """One of two arms has run: the figures by arm show that one, and the page says so."""
    text = written(planned(), tmp_path, runs=1)
    assert "Arms that have not made a feedback step yet are left out" in text
    assert text.count('aria-label="Change rate per feedback step of') == 1


def test_an_arm_without_a_prompt_is_left_out_of_its_tables(tmp_path: Path) -> None:
    """Where arms have different prompts or judges, no table has a place for numbers that nobody will ever make."""
    other = {"text": "another horse", "concepts": ["horse"]}
    arms = [{"name": "more", "set": {"prompts": [*TOY["prompts"], other]}}]
    text = written(planned(sweep={}, arms=arms, generations=1), tmp_path)
    assert "not made yet" not in text
    assert text.count("another horse") > 3


def test_figures_of_an_earlier_config_are_deleted(tmp_path: Path) -> None:
    """What an earlier report drew and this one does not is deleted; a file of the user's own stays."""
    written(planned(), tmp_path, runs=0)
    (tmp_path / "figures" / "mine.svg").write_text("<svg/>")
    written(planned(prompts=TOY["prompts"][:1]), tmp_path, runs=0)
    drawn = {f"{name}.{end}" for name in ("recognition-1", "recognition-1-arms", "change-1") for end in ("svg", "png")}
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {*drawn, "mine.svg"}


@pytest.mark.parametrize(
    ("policy", "judge", "expected"),
    [
        ({"use": "top_k", "k": 8}, "bundled:storybook-curator", True),
        ({"use": "top_k", "k": 8}, "bundled:storybook-judge", False),
        ({"use": "random_k", "k": 8}, "bundled:storybook-curator", False),
    ],
)
def test_a_curator_that_measures_itself_is_reported(policy: dict[str, Any], judge: str, expected: bool) -> None:
    """Only where the scores of one model select what the same model measures, whatever the config permits."""
    curate = {"scorer": {"use": "clip", "model": "bundled:storybook-curator"}, "policy": policy}
    permitted = "yes, the curator measures itself on purpose"
    judges = [{"use": "clip", "model": judge}]
    plan = planned(sweep={}, curate=curate, judges=judges, curator_may_judge=permitted)
    assert appendix.curator_judges(plan.chains[0].config) is expected


def test_prompts_are_escaped(finished: tuple[Path, str]) -> None:
    """A prompt is text, never markup."""
    text = finished[1]
    assert "a &lt;horse&gt; &amp; nobody" in text
    assert "<horse>" not in text


def test_toy_generator_has_no_sheets(finished: tuple[Path, str]) -> None:
    """A generator without pixels leaves the sheets out, in words."""
    assert "The toy generator draws no pictures: each \u201cimage\u201d is a list of the concepts" in finished[1]
    assert 'class="sheet' not in finished[1]


def test_report_never_loads_torch(tmp_path: Path) -> None:
    """Reading results needs no model."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_page\n"
        "test_page.written(test_page.planned(generations=1), Path(sys.argv[2]))\n"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
