"""What each reader comes for, walked in a real Chromium on a server with a history of its own."""

import re
from collections.abc import Iterator

import pytest
from browser import Browser, Page, Visitor, chromium, expect
from sandbox import HEADER, NOISE, Sandbox, client_rows
from servers import serving

pytestmark = pytest.mark.slow

CLIENTS = 200
MANAGERS = ("Ana Ruiz", "Ben Oduya")
HELD = "week2.csv"


def managed(rows: list[str]) -> list[str]:
    """Rows with the name of an account manager."""
    return [f"{row},{MANAGERS[int(row[6:11]) % 2]}" for row in rows]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def world(sandbox: Sandbox) -> Sandbox:
    """A company whose second release won, and whose last file is held back."""
    names = ("lastmonth_activity", "lastyear_activity", "number_of_employees")
    schema = {"client": "corporation", "outcome": "exited", "numeric": [*names]}
    sandbox.configure(schema={**schema, "carry": ["account_manager"]})
    before, drifted = client_rows(0, CLIENTS, noise=NOISE), client_rows(300, 400, flipped=True)
    broken = [re.sub(r",\d+,(\d?)$", r",0,\1", row) for row in client_rows(0, CLIENTS)]
    for name, rows in (("a.csv", before), ("week1.csv", drifted), (HELD, broken)):
        sandbox.write(f"sourcedata/{name}", managed(rows), f"{HEADER},account_manager")
        assert sandbox.run("fullprocess").code == 0
    return sandbox


@pytest.fixture
def page(world: Sandbox, browser: Browser) -> Iterator[Page]:
    """The list, on which nothing goes wrong and from which no request leaves."""
    with serving(world.config) as url:
        visitor = Visitor(browser, url)
        yield visitor.open(java_script_enabled=False)
        visitor.leave()
    assert (visitor.problems, visitor.elsewhere()) == ([], [])


def test_a_data_scientist_sees_why_the_release_changed_and_asks_what_if(page: Page) -> None:
    page.get_by_role("link", name="Model").click()
    table = page.get_by_role("table", name="Releases side by side")
    expect(table.locator("thead th")).to_contain_text(["what", "000002-", "000001-"])
    why = table.get_by_role("row", name="why it went live")
    expect(why).to_contain_text(["in place of 000001-"])
    expect(why).to_contain_text("F1")

    page.get_by_role("searchbox", name="Client").fill("client00001")
    page.get_by_role("button", name="Show", exact=True).click()
    outcome = page.locator(".outcome")
    before = outcome.inner_text()
    assert re.fullmatch(r"The risk of client00001 is \d+\.\d % by release 2\.", before)
    page.get_by_label("number of employees").fill("1")
    page.get_by_role("button", name="What if").click()
    expect(outcome).to_contain_text("with the values below")
    assert (
        outcome.locator("strong").first.inner_text() != outcome.locator("strong").last.inner_text()
    )
    page.get_by_role("link", name="As it is").click()
    expect(outcome).to_have_text(before)


def test_an_operator_accepts_a_batch_that_is_held_back(world: Sandbox, page: Page) -> None:
    page.get_by_role("link", name="Operations", exact=True).first.click()
    decision = page.locator(".decision", has_text=f"{HELD} is held back")
    decision.get_by_role("button", name="Accept").click()
    expect(decision).to_contain_text("the next run does it")
    decision.get_by_role("button", name="Undo").click()
    decision.get_by_role("button", name="Accept").click()
    expect(decision.get_by_role("button")).to_have_text([f"Undo accept {HELD}"])

    assert world.run("fullprocess").code == 0

    page.reload()
    expect(page.locator("#decisions")).to_contain_text("Nothing is held back")
    asked = page.get_by_role("table", name="What was asked for here")
    expect(asked.locator("tbody tr")).to_contain_text([f"accept {HELD}"])
    expect(asked).to_contain_text("accepted")
    files = page.get_by_role("table", name="The last files")
    expect(files.locator("tbody tr").first).to_contain_text("ingested")
