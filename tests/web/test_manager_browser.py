"""The path of who acts, in a real Chromium: filter, mark, download; the next day they are gone."""

import csv
import io
from collections.abc import Iterator

import pytest
from browser import Browser, Visitor, chromium, expect, violations
from sandbox import HEADER, Sandbox, client_rows, schema_keys
from servers import serving

from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.storage.history import open_history

pytestmark = pytest.mark.slow


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def world(sandbox: Sandbox) -> Sandbox:
    """Clients of two account managers, ranked."""
    schema = {**schema_keys(DEFAULT_SCHEMA), "carry": ["Account manager"]}
    sandbox.configure(schema=schema, labels={"Account manager": "manager"}, api_url=None)
    for name, start in (("sourcedata/a.csv", 0), ("testdata/testdata.csv", 500)):
        rows = client_rows(start, 300, noise=7)
        rows = [f"{row},{('Ada', 'Bo')[i % 2]}" for i, row in enumerate(rows)]
        sandbox.write(name, rows, f"{HEADER},Account manager")
    assert sandbox.run("fullprocess").code == 0
    return sandbox


def test_a_manager_s_day(world: Sandbox, browser: Browser) -> None:
    with serving(world.config) as url:
        visitor = Visitor(browser, url)
        page = visitor.open("/", viewport={"width": 360, "height": 740})
        page.get_by_label("manager").select_option("Bo")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("ul.carried li", has_text="Ada")).to_have_count(0)
        assert "Account+manager=Bo" in page.url
        names = page.locator("table.clients tbody th a").all_text_contents()
        marked = names[:2]
        for name in marked:
            page.locator("tr", has_text=name).get_by_role("button", name="Contacted today").click()
            expect(page.locator(".marked").first).to_contain_text(f"{name} is marked as contacted")
            assert "Account+manager=Bo" in page.url
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert violations(page) == []
        # one is undone, and marked again with a note on its own page
        page.locator(".marked", has_text=marked[1]).get_by_role("button", name="Undo").click()
        page.get_by_role("link", name=marked[1], exact=True).click()
        page.get_by_label("Channel").fill("visit")
        page.get_by_label("Note").fill('wants <b>"less"</b>')
        page.get_by_role("button", name="Record contact").click()
        expect(page.locator("#contacts tbody tr")).to_contain_text("visit")
        expect(page.locator("#contacts tbody tr")).to_contain_text('wants <b>"less"</b>')
        assert violations(page) == []
        page.goto(f"{url}/?Account+manager=Bo")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download these as CSV").click()
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"))))
        assert {row["Account manager"] for row in rows} == {"Bo"}
        assert {row["contact"] for row in rows} == {"yes"}
        assert [row["client"] for row in rows] == names[2:] if len(names) < 25 else rows

        with open_history(world.config.history_path) as history:  # the next day
            history.query("UPDATE master SET contacts_day = '2026-01-01'")
        assert world.run("fullprocess").code == 0
        page.goto(f"{url}/?Account+manager=Bo")
        left = page.locator("table.clients tbody th a").all_text_contents()
        assert not {*marked} & {*left}
        page.get_by_label("Show").select_option("contacted")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("table.clients tbody th a")).to_have_text(marked)
        visitor.leave()
        assert visitor.problems == []
        assert visitor.elsewhere() == []
    with (world.root / "models/clientrisk.csv").open(encoding="utf-8", newline="") as file:
        status = {row["client"]: row["contact_status"] for row in csv.DictReader(file)}
    assert {status[name] for name in marked} == {"cooling_down"}
