"""The documentation builds without a warning, and in a browser asks nothing of anybody."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser

CONFIG = Path("docs/site/mkdocs.yml")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(CONFIG), "-d", str(folder)]
    # Without the theme's notice of what its successor will be.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served, on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_every_page_is_in_the_navigation_and_in_the_site(site: Path) -> None:
    """Nothing under docs/ is left out."""
    pages = {page.relative_to("docs").with_suffix("").as_posix() for page in Path("docs").rglob("*.md")}
    assert {"index", "tutorial", "reading-c", "reference/config", "reference/cli"} <= pages
    assert pages == set(_named(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["nav"]))
    assert all((site / f"{page}.html").is_file() for page in pages)


def _named(nav: list[dict[str, object]]) -> Iterator[str]:
    for entry in nav:
        for target in entry.values():
            yield from _named(target) if isinstance(target, list) else [str(target).removesuffix(".md")]


@pytest.mark.parametrize("page", ["index.html", "tutorial.html", "reference/config.html"])
def test_a_page_asks_nothing_of_another_server(browser: Browser, address: str, page: str) -> None:
    """Fonts, icons, scripts and pictures come with the site, and every picture is there."""
    asked: list[str] = []
    opened = browser.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(f"{address}/{page}", wait_until="networkidle")
    missing = opened.evaluate("[...document.images].filter(one => !one.naturalWidth).map(one => one.src)")
    assert opened.locator("h1").count() == 1
    opened.close()
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert missing == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_is_as_wide_as_its_window(browser: Browser, address: str, width: int) -> None:
    """Tables and commands scroll by themselves; the page never sideways."""
    opened = browser.new_page(viewport={"width": width, "height": 800})
    pages = ("index", "tutorial", "reading-c", "protocol", "laws", "reference/config", "reference/cli", "extending")
    for page in pages:
        opened.goto(f"{address}/{page}.html")
        assert opened.evaluate("document.documentElement.scrollWidth") <= width, page
    opened.close()


def test_the_search_finds(browser: Browser, address: str) -> None:
    """What a reader types is looked up in the site itself."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    opened.goto(f"{address}/index.html", wait_until="networkidle")
    box = opened.get_by_placeholder("Search")
    box.click()
    box.press_sequentially("drift band")
    opened.locator(".md-search-result__item").first.wait_for(timeout=20_000)
    opened.close()
