"""One look at the page in a real Chromium, among the everyday tests; the others are slow."""

from browser import Visitor, chromium, expect
from sandbox import Sandbox
from servers import serving


def test_the_page_loads_finds_a_client_and_asks_nobody_else(deployed: Sandbox) -> None:
    with serving(deployed.config) as url, chromium() as browser:
        visitor = Visitor(browser, url)
        page = visitor.open("/?contact=all")
        page.get_by_label("Name", exact=True).fill("client00007")
        expect(page.locator(".found")).to_contain_text("1 to 1 of 1 client")
        visitor.leave()
    assert visitor.problems == []
    assert visitor.elsewhere() == []
