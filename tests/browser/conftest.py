"""A real browser for the tests of pages: the system's Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-first-run", "--disable-sync", "--disable-background-networking", "--disable-component-update")


def chromium() -> str | None:
    """The browser's path: what CHROMIUM says, else the first that is there; None where none is."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window. A test opens a context of its own in it."""
    with sync_playwright() as playwright:
        # Without a path it is the one that `python -m playwright install chromium` fetched.
        started = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", *QUIET], timeout=60_000
        )
        yield started
        started.close()


def page_errors(page: Page) -> list[str]:
    """A list that fills with what the page's scripts throw and its console calls an error."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    return errors


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core, which finds what a screen reader cannot read."""
    path = Path(os.environ.get("AXE", Path(sys.prefix) / "npm" / "node_modules" / "axe-core" / "axe.min.js"))
    assert path.is_file(), f"{path}: not there; `make test` installs axe-core, or AXE names its axe.min.js"
    return path.read_text(encoding="utf-8")


@pytest.fixture
def errors_of() -> Callable[[Page], list[str]]:
    """`page_errors`, for tests: a conftest is no module to import from."""
    return page_errors
