"""The images of the page and their cards, on real runs of a toy loop with pixels."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from painted import ResultsFolder, carry_out
from PIL import Image

from entropy_loop.report.page import images


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    return carry_out(tmp_path_factory.mktemp("painted"))


class Cards(HTMLParser):
    """Cards by their anchor: heading, terms (dt -> dd), rows of the judgements, links; and all ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cards: dict[str, dict] = {}
        self.ids: list[str] = []
        self.links: list[str] = []
        self.card: dict | None = None
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.open.append(tag)
        if tag == "article":
            self.card = self.cards[given["id"]] = {"name": "", "terms": {}, "rows": [], "links": [], "pixels": ""}
        elif self.card is not None:
            if tag == "i":
                self.card["pixels"] = given["class"]
            if tag == "a":
                self.card["links"].append(given["href"])
            if tag == "tr":
                self.card["rows"].append([])
            if tag == "dt":
                self.card["terms"][""] = ""

    def handle_endtag(self, tag):
        self.open.pop()
        if tag == "article":
            self.card = None

    def handle_data(self, data):
        if self.card is None:
            return
        if self.open[-1] == "h3":
            self.card["name"] += data
        if self.open[-1] == "dt":
            self.term = data
        if self.open[-1] == "dd":
            self.card["terms"][self.term] = data
        if self.open[-1] in ("td", "th"):
            self.card["rows"][-1].append(data)


def row_of(card: dict, folder: ResultsFolder) -> pd.Series:
    """The row of images.parquet that a card is about, by the id and chain that it names."""
    _, image, run = re.fullmatch(r"(\d+) \(image (\S+) of chain (\S+)\)", card["terms"]["seed"]).groups()
    table = folder.parquet("images")
    generation = int(re.search(r"generation (\d+)", card["name"])[1])
    (row,) = table[(table["id"] == image) & (table["run"] == run) & (table["generation"] == generation)].iloc
    return row


def test_every_image_on_a_sheet_has_a_card_that_leads_back(finished: ResultsFolder) -> None:
    """Every place on a sheet links to a card, every card to all its places; every anchor exists once."""
    parsed = Cards(finished.html)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    places = re.findall(r'class="thumb[^"]*" id="([^"]+)" href="#(i\d+)"', finished.html)
    assert len(places) > 2 * 4 * 4 + 2 * 12  # two arms, four seeds, four generations; two pools of twelve
    for place, card in places:
        assert f"#{place}" in parsed.cards[card]["links"]
    assert {card for _, card in places} == set(parsed.cards)


def test_cards_say_what_the_tables_say(finished: ResultsFolder) -> None:
    """Seed, prompt, score, rank and kept are those of images.parquet."""
    cards = Cards(finished.html).cards
    seen = set()
    for card in cards.values():
        row, terms = row_of(card, finished), card["terms"]
        assert terms["prompt"] == row["prompt"]
        assert terms["seed"].startswith(f"{row['image_seed']} ")
        assert f"seed {row['image_seed']}" in card["name"]
        assert ("pool" in card["name"]) == (row["set"] == "pool")
        if row["set"] == "pool" and pd.notna(row["kept"]):
            assert terms["kept"] == ("yes" if row["kept"] else "no")
            seen.add(terms["kept"])
        score = terms.get("curator\u2019s score")
        assert (score is None) == pd.isna(row["score"])
        if score and pd.notna(row["rank"]):
            assert score.endswith(f"rank {int(row['rank'])} of 12")
    assert seen == {"yes", "no"}


def test_cards_repeat_every_judgement(finished: ResultsFolder) -> None:
    """Each concept's score, threshold and answer are those of judgements.parquet; `all` is their conjunction."""
    table = finished.parquet("judgements")
    for card in Cards(finished.html).cards.values():
        row = row_of(card, finished)
        places = ["run", "generation", "set", "id"]
        judgements = table[(table[places] == row[places]).all(axis=1)]
        expected = [
            [
                judgement.concept,
                f"{judgement.score:.3f}",
                f"{judgement.threshold:.3f}",
                "yes" if judgement.answer else "no",
            ]
            for judgement in judgements.itertuples()
        ]
        assert len(expected) == 2
        heads, joint, *rows = card["rows"]
        assert heads == ["concept", "score", "threshold", "recognised"]
        assert rows == expected
        assert joint == ["all", "yes" if judgements["answer"].all() else "no"]


def test_cards_show_the_lineage_of_the_diets(finished: ResultsFolder) -> None:
    """Which generations were trained on an image, with how many copies, and on what its own model was trained: those
    of diet.parquet."""
    runs = {run.name: run for run in finished.plan.chains}
    twice = 0
    for card in Cards(finished.html).cards.values():
        row, terms = row_of(card, finished), card["terms"]
        generations = runs[row["run"]].generations
        diets = {
            g.number: pd.read_parquet(finished.store.finished(g.model) / "diet.parquet")["id"] for g in generations[1:]
        }
        eaten = {g: int((ids == row["id"]).sum()) for g, ids in diets.items() if (ids == row["id"]).any()}
        twice += max(eaten.values(), default=0) > 1
        if row["set"] == "evaluation":
            assert terms["fate"].startswith("never fed back")
        elif eaten:
            assert {int(g): int(n) for g, n in re.findall(r"generation (\d+) \((\d+) cop", terms["fate"])} == eaten
        else:
            assert terms["fate"] in ("in no diet", "not fed back: this pool was not curated")
        if row["generation"] == 0:
            assert terms["origin"] == "made by the checkpoint, before any feedback"
        else:
            sources = re.findall(r"(\d+) images? kept from generation (\d+)", terms["origin"])
            assert sum(int(n) for n, _ in sources) == len(diets[row["generation"]])
            assert [int(g) for _, g in sources] == list(range(row["generation"]))  # accumulate eats all of them
    assert twice  # some image was chosen more than once


def test_the_pixels_of_an_image_stand_in_the_page_once(finished: ResultsFolder) -> None:
    """Arms share generation 0: one file, one copy in the page, in which every pixel is as it is in the store."""
    embedded = re.findall(r"\.(p\d+)\{background-image:url\(data:image/webp;base64,([^)]+)\)", finished.html)
    sources = {name: base64.b64decode(data) for name, data in embedded}
    assert len(embedded) == len(sources) == len(set(sources.values()))
    assert finished.html.count("data:image") == len(embedded)
    files = set()
    for card in Cards(finished.html).cards.values():
        file = finished.root / row_of(card, finished)["file"]
        files.add(file)
        shown = np.asarray(Image.open(io.BytesIO(sources[card["pixels"]])))
        assert (shown == np.asarray(Image.open(file).convert("RGB"))).all()
    assert len(files) == len(sources)


def test_a_page_has_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheets that do not fit are linked, the others whole; no link leads nowhere."""
    monkeypatch.setattr(images, "BUDGET", 60_000)
    folder = carry_out(tmp_path)
    parsed = Cards(folder.html)
    assert 0 < len(parsed.cards) < 60
    assert folder.html.count("Not embedded, to keep this file small.") > 0
    for link in parsed.links:
        assert link[1:] in parsed.ids if link.startswith("#") else (tmp_path / link).is_file()
    whole = len(folder.html) - len(
        re.sub(r"(?s)<article.*</article>|\.p\d+\{.*?\}|<a class=.thumb.*?</a>", "", folder.html)
    )
    assert whole < 60_000


def test_an_image_whose_file_is_gone_leaves_its_place(tmp_path: Path) -> None:
    """A lost file is marked as missing; the others are shown."""
    folder = carry_out(tmp_path)
    row = folder.parquet("images").query("set == 'evaluation' and generation == 1").iloc[0]
    (tmp_path / row["file"]).unlink()
    text = folder.text()
    assert "file missing" in text
    assert len(Cards(text).cards) == len(Cards(folder.html).cards) - 1


def test_the_text_of_the_page_writes_nothing(finished: ResultsFolder) -> None:
    """`page.text` is the page as `write` writes it, and leaves the folder as it is."""
    before = {path: path.stat().st_mtime_ns for path in finished.root.rglob("*")}
    assert finished.text() == finished.html
    assert {path: path.stat().st_mtime_ns for path in finished.root.rglob("*")} == before


def test_an_unfinished_run_shows_what_there_is(tmp_path: Path) -> None:
    """One of two arms is made: the first screen has its images, and the other arm's share of generation 0 is shown."""
    text = carry_out(tmp_path, runs=1).html
    assert "not made yet" in text
    assert "Unfinished: 1 of 2 chains" in text
    assert Cards(text).cards


def test_many_chains_show_one_per_arm(tmp_path: Path) -> None:
    """Of the chains of an arm the first is shown: the page does not grow with their number."""
    few, many = (carry_out(tmp_path / str(n), sweep={"seed": list(range(n))}, generations=1, images=4) for n in (1, 8))
    assert len(Cards(few.html).cards) == len(Cards(many.html).cards) > 0
