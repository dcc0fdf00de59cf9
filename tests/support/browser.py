"""Chromium, driven by Playwright, which writes down what goes wrong in a page and what it asks for.

Who imports this where there is no Chromium skips, unless BROWSER_TESTS is `required`, as in CI.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

REQUIRED = os.environ.get("BROWSER_TESTS") == "required"
PROGRAM = shutil.which("chromium")
try:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
    from playwright.sync_api import Error as PageError
except ImportError as error:
    if REQUIRED:
        raise
    pytest.skip(f"the browser tests need tests/requirements.txt: {error}", allow_module_level=True)
if not PROGRAM:
    if REQUIRED:
        raise RuntimeError("BROWSER_TESTS=required, but no chromium is in PATH")
    pytest.skip("the browser tests need chromium in PATH", allow_module_level=True)

__all__ = [
    "Browser",
    "Locator",
    "Page",
    "PageError",
    "Visitor",
    "chromium",
    "dropped",
    "expect",
    "violations",
]

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
WIDE = {"width": 1280, "height": 900}
SECONDS = 120  # that a page may take, however much else the machine has to do


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium for as long as the context lasts."""
    expect.set_options(timeout=1000 * SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """Someone who opens pages of one site, each in a fresh window, and notes what they do."""

    browser: Browser
    url: str
    asked: list[str] = field(default_factory=list)  # by pages and their scripts, whatever the host
    problems: list[str] = field(default_factory=list)
    windows: list[Any] = field(default_factory=list)
    accepted: str = ""  # what the browser says that it likes to get

    def open(self, path: str = "/", **options: Any) -> Page:
        """A page of the site; `options` are those of a Playwright context."""
        settings: dict[str, Any] = {"viewport": WIDE, "reduced_motion": "reduce", **options}
        window = self.browser.new_context(**settings)
        window.set_default_timeout(1000 * SECONDS)
        self.windows.append(window)
        page = window.new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("requestfailed", self._failed)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        page.on("console", lambda said: self.problems.append(f"{said.type}: {said.text}"))
        answer = page.goto(f"{self.url}{path}")
        self.accepted = answer.request.all_headers()["accept"] if answer else ""
        return page

    def _failed(self, request: Any) -> None:
        # a page that is left before its script came did nothing wrong
        if (request.resource_type, request.failure) != ("script", "net::ERR_ABORTED"):
            self.problems.append(f"failed: {request.url}")

    def leave(self) -> None:
        """Close all windows."""
        for window in self.windows:
            window.close()

    def elsewhere(self) -> list[str]:
        """The requests that were not for the site."""
        return [url for url in self.asked if not url.startswith((f"{self.url}/", "data:"))]


def dropped(page: Page, mark: str, name: str, text: str) -> None:
    """Drop a file of this name and text onto the element."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name, { type: "text/csv" }));
            return transfer;
        }""",
        [name, text],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(mark, event, {"dataTransfer": transfer})


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it stands."""
    found = Axe().run(page, options={"runOnly": list(RULES)}).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule in found
        for node in rule["nodes"]
    ]
