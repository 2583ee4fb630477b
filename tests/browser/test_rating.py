"""The rating page in a real browser, by keyboard and by touch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import painted
import pytest
import yaml
from playwright.sync_api import Browser, Page, expect
from rooms import Room, command, room

from entropy_loop.people.book import Book, answers

SIZES = {"phone": {"width": 390, "height": 844}, "laptop": {"width": 1280, "height": 800}}


@pytest.fixture(scope="module")
def painting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted.folder(tmp_path_factory.mktemp("rated") / "painted")


@pytest.fixture
def results(painting: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(painting, tmp_path / "results"))


@pytest.fixture
def served(results: Path) -> Iterator[Room]:
    with room(results, links=3) as opened:
        yield opened


def joined(page: Page, link: str) -> Page:
    """The page after the intro was agreed to."""
    page.goto(link)
    page.get_by_role("button", name="I agree").click()
    expect(page.locator("#join")).to_be_hidden()
    return page


def progress(page: Page, answered: int) -> None:
    expect(page.locator("#progress")).to_contain_text(f"{answered} answered")


def test_a_rater_answers_by_keyboard_undoes_reloads_and_comes_back(
    browser: Browser, served: Room, results: Path, errors_of: Callable[[Page], list[str]]
) -> None:
    """Twenty images by keyboard, the last one taken back and answered otherwise; a reload and a new page of the same
    browser go on where it was; no script of ours fails."""
    context = browser.new_context()
    page = context.new_page()
    errors = errors_of(page)
    joined(page, served.links[0])
    assert "#" not in page.url
    for n in range(20):
        page.keyboard.press("2" if n % 2 else "1")
        page.keyboard.press("Enter")
        progress(page, n + 1)
    page.keyboard.press("u")
    progress(page, 19)
    expect(page.get_by_role("button", name="horse")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("c")
    page.keyboard.press("Enter")
    progress(page, 20)
    shown = page.locator("#picture").get_attribute("src")
    page.reload()
    progress(page, 20)
    expect(page.locator("#picture")).to_have_attribute("src", shown or "")
    other = context.new_page()
    other.goto(f"http://{served.host}/")
    expect(other.locator("#picture")).to_have_attribute("src", shown or "")
    context.close()
    assert errors == []
    table = answers(results)
    assert (table["rater"].nunique(), len(table)) == (1, 40)
    book = Book(results)
    assert book.rows("SELECT count(*) FROM answers WHERE withdrawn IS NOT NULL") == [(1,)]
    book.close()
    assert int(table["answer"].isna().sum()) == 2


def test_nothing_is_sent_before_something_is_chosen(browser: Browser, served: Room, results: Path) -> None:
    """Enter on an untouched image asks for a choice; "none of these" is one, and says no to every concept."""
    context = browser.new_context()
    page = joined(context.new_page(), served.links[0])
    page.keyboard.press("Enter")
    expect(page.locator("#say")).to_contain_text("none of these")
    progress(page, 0)
    page.keyboard.press("1")
    page.keyboard.press("0")
    expect(page.get_by_role("button", name="astronaut")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Enter")
    progress(page, 1)
    context.close()
    assert not answers(results)["answer"].any()


def test_two_raters_at_once_do_not_meet(browser: Browser, served: Room, results: Path) -> None:
    """Two browsers answer in turn: each has its own progress and order, and nothing of one becomes the other's."""
    contexts = [browser.new_context() for _ in range(2)]
    pages = [joined(context.new_page(), link) for context, link in zip(contexts, served.links, strict=False)]
    for n in range(6):
        for page in pages:
            page.keyboard.press("1")
            page.keyboard.press("Enter")
            progress(page, n + 1)
    for context in contexts:
        context.close()
    table = answers(results)
    assert table.groupby("rater")["item"].nunique().tolist() == [6, 6]


def test_the_page_works_by_touch_without_scrolling(browser: Browser, served: Room) -> None:
    """On a phone everything that is needed is on the screen, large enough for a finger; pausing tells what is kept."""
    context = browser.new_context(viewport=SIZES["phone"], has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(served.links[0])
    page.get_by_role("button", name="I agree").tap()
    for name in ("astronaut", "horse", "None of these", "Can\u2019t tell", "Next"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44
        assert box["y"] + box["height"] <= 844
    page.get_by_role("button", name="horse").tap()
    page.get_by_role("button", name="Next").tap()
    progress(page, 1)
    page.get_by_role("button", name="Pause").tap()
    expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    page.get_by_role("button", name="Go on").tap()
    progress(page, 1)
    context.close()


def test_a_used_link_says_so(browser: Browser, served: Room) -> None:
    """Another browser with a link that was used gets one clear sentence, and no image."""
    first, second = browser.new_context(), browser.new_context()
    joined(first.new_page(), served.links[0])
    page = second.new_page()
    page.goto(served.links[0])
    page.get_by_role("button", name="I agree").click()
    expect(page.locator("#say")).to_contain_text("already used")
    expect(page.locator("#picture")).to_be_hidden()
    first.close()
    second.close()


def test_the_best_k_are_picked_by_keyboard_and_the_run_goes_on(browser: Browser, results: Path, tmp_path: Path) -> None:
    """A run waits with exit 10; arrows and Space pick, exactly k enable Done, a reload keeps them; the same run then
    feeds back what was picked."""
    raw = yaml.safe_load((results / "config.yaml").read_text())
    raw |= {"name": "picked", "generations": 1, "sweep": {}}
    raw["curate"]["policy"] = {"use": "people", "k": 2}
    (tmp_path / "picked.yaml").write_text(yaml.safe_dump(raw))
    line = ("run", tmp_path / "picked.yaml", "--out", tmp_path / "picked")
    assert command(*line).returncode == 10
    with room(tmp_path / "picked", links=1) as opened:
        context = browser.new_context()
        page = joined(context.new_page(), opened.links[0])
        page.locator("#grid button").first.focus()
        for key in ("Space", "ArrowRight", "ArrowRight", "Space"):
            page.keyboard.press(key)
        expect(page.locator("#picked")).to_have_text("2 of 2 picked")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Done")).to_be_disabled()
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Done")).to_be_enabled()  # every pick is kept
        page.reload()
        expect(page.locator("#picked")).to_have_text("2 of 2 picked")
        page.get_by_role("button", name="Done").click()
        expect(page.locator("#pick")).to_be_hidden()
        context.close()
    result = command(*line)
    assert result.returncode == 0, result.stderr


# ---- asked by questions ------------------------------------------------------------------------------

CHOICES = {
    "rider": ["astronaut", "knight", "robot", "chef", "wizard", "clown", "pirate", "cat"],
    "mount": ["horse", "zebra", "camel", "elephant", "cow", "pig", "reindeer", "turtle"],
    "relation": ["riding", "beside"],
}


@pytest.fixture
def by_choice(results: Path) -> Iterator[Room]:
    """The page of a study that asks by questions."""
    raw = yaml.safe_load((results / "config.yaml").read_text())
    raw["people"] |= {"ask": "choice", "choices": CHOICES}
    (results / "config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    with room(results, links=1) as opened:
        yield opened


def choices(results: Path) -> list[dict[str, str]]:
    """What was chosen of each image, in the order of answering."""
    book = Book(results)
    table = book.choices()
    book.close()
    return [dict(zip(rows["question"], rows["choice"], strict=True)) for _, rows in table.groupby("item", sort=False)]


def test_questions_are_answered_by_keyboard_one_after_the_other(
    browser: Browser, by_choice: Room, results: Path, errors_of: Callable[[Page], list[str]]
) -> None:
    """Digits, 0 and C answer the question that is marked and go on to the next one; an answer that was taken back comes
    again with its choices, and so it is after a reload; a choice is changed by going back to its question."""
    context = browser.new_context()
    page = context.new_page()
    errors = errors_of(page)
    joined(page, by_choice.links[0])
    assert page.locator("legend").all_text_contents() == ["rider", "mount", "relation"]
    for n, keys in enumerate((("2", "0", "c"), ("8", "?", "2"), ("1", "1", "1"))):
        for field, key in enumerate(keys):
            expect(page.locator("fieldset").nth(field)).to_have_class("current")
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        progress(page, n + 1)
    page.keyboard.press("u")
    progress(page, 2)
    page.reload()
    expect(page.get_by_role("radio", name="horse")).to_be_checked()
    page.get_by_role("radio", name="horse").focus()
    page.keyboard.press("5")
    expect(page.get_by_role("radio", name="cow")).to_be_checked()
    expect(page.get_by_role("radio", name="astronaut")).to_be_checked()
    page.keyboard.press("Enter")
    progress(page, 3)
    context.close()
    assert errors == []
    assert choices(results) == [
        {"rider": "knight", "mount": "none", "relation": "can't tell"},
        {"rider": "cat", "mount": "can't tell", "relation": "beside"},
        {"rider": "astronaut", "mount": "cow", "relation": "riding"},
    ]


def test_no_option_is_proposed_and_nothing_is_sent_before_each_question_is_answered(
    browser: Browser, by_choice: Room
) -> None:
    """Nothing is chosen and no option has the focus when a picture comes; Enter names the question that is open."""
    context = browser.new_context()
    page = joined(context.new_page(), by_choice.links[0])
    expect(page.locator("#questions input:checked, #questions input:focus")).to_have_count(0)
    page.keyboard.press("1")
    expect(page.locator("#questions input:focus")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator("#say")).to_contain_text("mount")
    progress(page, 0)
    context.close()


def test_questions_are_answered_by_touch_without_scrolling(browser: Browser, by_choice: Room, results: Path) -> None:
    """On a phone three questions with 24 answers are on the screen, each large enough for a finger; a second tap in a
    question replaces the first."""
    context = browser.new_context(viewport=SIZES["phone"], has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(by_choice.links[0])
    page.get_by_role("button", name="I agree").tap()
    expect(page.get_by_role("radio")).to_have_count(24)
    for target in (*page.get_by_role("radio").all(), page.get_by_role("button", name="Next")):
        box = target.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44
        assert box["y"] + box["height"] <= 844
    for name in ("knight", "zebra", "pig", "beside"):
        page.get_by_role("radio", name=name).tap()
    page.get_by_role("button", name="Next").tap()
    progress(page, 1)
    context.close()
    assert choices(results) == [{"rider": "knight", "mount": "pig", "relation": "beside"}]


@pytest.mark.parametrize(("scheme", "size"), [("light", "laptop"), ("dark", "phone")])
def test_axe_finds_nothing_serious_in_questions(
    browser: Browser, by_choice: Room, axe: str, scheme: str, size: str
) -> None:
    """Questions are groups of radio buttons with names; chosen, marked and other answers can be read."""
    context = browser.new_context(color_scheme=scheme, viewport=SIZES[size], bypass_csp=True)  # type: ignore[arg-type]
    page = joined(context.new_page(), by_choice.links[0])
    page.keyboard.press("2")
    page.add_script_tag(content=axe)
    violations = page.evaluate("axe.run().then((report) => report.violations)")
    context.close()
    assert [violation["id"] for violation in violations if violation["impact"] in ("serious", "critical")] == []


# ---- what a screen reader cannot read ----------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, served: Room, axe: str, scheme: str, size: str) -> None:
    """No serious or critical fault on the intro, the question, the pause, and the end."""
    context = browser.new_context(color_scheme=scheme, viewport=SIZES[size], bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()

    def grave() -> list[str]:
        page.add_script_tag(content=axe)
        violations = page.evaluate("axe.run().then((report) => report.violations)")
        return [str(violation["id"]) for violation in violations if violation["impact"] in ("serious", "critical")]

    page.goto(served.links[0])
    assert grave() == []
    page.get_by_role("button", name="I agree").click()
    page.keyboard.press("1")
    assert grave() == []
    page.get_by_role("button", name="Pause").click()
    assert grave() == []
    page.evaluate("show({ task: 'done', answered: 3, left: 0 })")
    assert grave() == []
    context.close()


def test_axe_finds_nothing_serious_where_pictures_are_picked(
    browser: Browser, results: Path, tmp_path: Path, axe: str
) -> None:
    """The grid of pictures is a group of buttons with names and states."""
    from entropy_loop.people import picks

    book = Book(results)
    files = [
        (str(path.relative_to(results)), path.stem) for path in sorted(results.glob("store/g00-generate-pool-*/*.png"))
    ]
    picks.ask(book, picks.Pool("pool", "stage", "a prompt", 2, 1), files)
    book.close()
    with room(results, links=1) as opened:
        context = browser.new_context(bypass_csp=True)
        page = joined(context.new_page(), opened.links[0])
        page.locator("#grid button").first.click()
        page.add_script_tag(content=axe)
        violations = page.evaluate("axe.run().then((report) => report.violations)")
        context.close()
    assert [violation["id"] for violation in violations if violation["impact"] in ("serious", "critical")] == []
