"""The report in a real browser: images that open their cards, with and without JavaScript, and what axe says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from painted import ResultsFolder, carry_out
from playwright.sync_api import Browser, Page, expect

HOSTILE = '"><img src=x onerror="window.ran = 1"><script>window.ran = 1</script>'
SIZES = {"phone": {"width": 390, "height": 844}, "laptop": {"width": 1280, "height": 800}}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    prompt = {"text": f"an astronaut {HOSTILE}", "concepts": ["astronaut", "horse"]}
    return carry_out(tmp_path_factory.mktemp("report"), prompts=[prompt])


def opened(browser: Browser, report: ResultsFolder, **options: object) -> Iterator[Page]:
    """The report from disk, in a context of its own."""
    context = browser.new_context(offline=True, **{"viewport": SIZES["laptop"], **options})
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto((report.root / "report.html").as_uri())
    yield page
    context.close()


@pytest.fixture
def page(browser: Browser, report: ResultsFolder) -> Iterator[Page]:
    yield from opened(browser, report)


@pytest.fixture
def plain(browser: Browser, report: ResultsFolder) -> Iterator[Page]:
    yield from opened(browser, report, java_script_enabled=False)


def thumb(page: Page, row: int, column: int):
    """A place on the first screen's sheet."""
    return page.locator(".first .sheet tbody").first.locator("tr").nth(row).locator("a.thumb").nth(column)


def test_without_javascript_an_image_leads_to_its_card_and_back(plain: Page) -> None:
    """A click makes the card the target, which alone is visible over the page; closing leads back to the image."""
    expect(plain.locator(".card:visible")).to_have_count(0)
    place = thumb(plain, 0, 2)
    href = place.get_attribute("href")
    place.click()
    card = plain.locator(".card:target")
    expect(card).to_be_visible()
    expect(plain.locator(".card:visible")).to_have_count(1)
    assert card.get_attribute("id") == href[1:]
    expect(card).to_contain_text("generation 2, evaluation set")
    card.get_by_role("link", name="close").click()
    expect(plain.locator(".card:visible")).to_have_count(0)
    assert plain.url.endswith("#" + place.get_attribute("id"))
    expect(place).to_be_in_viewport()


def test_with_javascript_the_card_is_a_dialog_for_the_keyboard(page: Page, errors_of) -> None:
    """Enter opens it, arrows go to the images beside, above and below, Escape closes it; the focus comes along."""
    errors = errors_of(page)
    thumb(page, 0, 1).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("generation 1, evaluation set")
    expect(dialog.get_by_role("heading")).to_be_focused()
    names = [dialog.get_by_role("heading").inner_text()]
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        names.append(dialog.get_by_role("heading").inner_text())
    assert [re.search(r"generation (\d)", name)[1] for name in names] == ["1", "2", "2", "1", "1"]
    seeds = [name.rpartition(" ")[2] for name in names]
    assert seeds[0] == seeds[1] == seeds[4] != seeds[2] == seeds[3]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(thumb(page, 0, 2)).to_be_focused()
    assert errors == []


def test_a_dialog_closes_by_hand_and_steps_by_touch(browser: Browser, report: ResultsFolder) -> None:
    """On a phone: tap an image, step by the links, close beside the card or by its link."""
    for page in opened(browser, report, viewport=SIZES["phone"], has_touch=True):
        thumb(page, 0, 0).tap()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("generation 0")
        expect(dialog.get_by_role("link", name="previous")).to_have_count(0)
        dialog.get_by_role("link", name="next").tap()
        expect(dialog).to_contain_text("generation 1")
        dialog.get_by_role("link", name="close").tap()
        expect(dialog).to_have_count(0)
        thumb(page, 0, 0).tap()
        page.touchscreen.tap(4, 4)
        expect(dialog).to_have_count(0)


def test_a_link_to_a_card_opens_it(page: Page, report: ResultsFolder) -> None:
    """Who is sent a link to an image's card sees it."""
    page.goto("about:blank")
    page.goto((report.root / "report.html").as_uri() + "#i3")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_nothing_is_loaded_and_nothing_else_runs(browser: Browser, report: ResultsFolder, errors_of) -> None:
    """The page asks for nothing but itself, and a prompt that tries to be a script stays text."""
    context = browser.new_context()
    page, asked = context.new_page(), []
    errors = errors_of(page)
    page.on("request", lambda request: asked.append(request.url))
    page.goto((report.root / "report.html").as_uri())
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith("data:")] == [page.url]
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    assert page.evaluate("window.ran") is None
    assert errors == []
    # What is injected all the same is refused by the page's policy.
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in errors)
    context.close()


@pytest.mark.parametrize("size", SIZES)
def test_no_page_is_wider_than_its_window(browser: Browser, report: ResultsFolder, size: str) -> None:
    """Nothing makes the page scroll sideways; wide tables scroll by themselves."""
    for page in opened(browser, report, viewport=SIZES[size]):
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]


def test_the_first_screen_shows_question_verdict_curve_and_images(page: Page) -> None:
    """On a laptop nobody scrolls for them."""
    for element in (page.get_by_role("heading", level=1), page.locator(".verdict"), page.locator(".first svg").first):
        expect(element).to_be_in_viewport(ratio=0.95)
    expect(thumb(page, 0, 0)).to_be_in_viewport(ratio=1)


def test_the_images_of_a_sheet_have_one_size(page: Page) -> None:
    """Kept or not, recognised or not: on a sheet every image is a square of the same width."""
    sizes = "sheet => [...sheet.querySelectorAll('.thumb i')].map(i => [i.clientWidth, i.clientHeight].join())"
    for sheet in page.locator(".sheet, .pool").all():
        (size,) = set(sheet.evaluate(sizes))
        width, height = map(int, size.split(","))
        assert abs(width - height) <= 1
        assert width > 40


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, report: ResultsFolder, axe: str, scheme: str, size: str) -> None:
    """No serious or critical fault, in the page with everything unfolded and in an open card."""
    for page in opened(browser, report, color_scheme=scheme, viewport=SIZES[size], bypass_csp=True):
        page.add_script_tag(content=axe)
        page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
        violations = page.evaluate("axe.run().then((report) => report.violations)")
        thumb(page, 0, 0).click()
        violations += page.evaluate("axe.run('dialog').then((report) => report.violations)")
        grave = [violation for violation in violations if violation["impact"] in ("serious", "critical")]
        assert [
            (violation["id"], violation["nodes"][0]["html"][:200], len(violation["nodes"])) for violation in grave
        ] == []
