"""The page for people in a real Chromium, on a server with a real history, as its users meet it."""

import csv
import io
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pandas as pd
import pytest
from browser import (
    Browser,
    Locator,
    Page,
    PageError,
    Visitor,
    chromium,
    dropped,
    expect,
    violations,
)
from pageworld import (
    APOSTROPHE,
    BAD_FILE,
    FORMULA,
    HOSTILE,
    LABEL,
    ODD,
    SCRIPT,
    SEED,
    TAKEN,
    made_world,
)
from pypdf import PdfReader
from sandbox import Sandbox
from servers import serving

from pipeline import sample_data
from pipeline.core.config import Config
from pipeline.reporting.report_files import report_pdf

pytestmark = pytest.mark.slow

PAGE = 25  # clients on a page of the list
PHONES = (320, 375)
NO_SCRIPT = {"java_script_enabled": False}
EVERY = "/?contact=all"  # the list of all clients
MISSING = "error: Failed to load resource: the server responded with a status of 404 (NOT FOUND)"
REFUSED = (
    "error: Failed to load resource: the server responded with a status of 422"
    " (UNPROCESSABLE ENTITY)"
)
BATCH = sample_data.clients(40, SEED + 2, 50_000)
SCORED = BATCH.drop(columns="exited").to_csv(index=False)
DASH = "\N{EN DASH}"
BROKEN = "who,what\nx,1\n"

Visit = Callable[..., Page]


@dataclass(frozen=True)
class Site:
    config: Config
    url: str

    @property
    def release(self) -> str:
        """The number of the live release."""
        return (self.config.prod_deployment_path / "current").readlink().name[:6].lstrip("0")

    @property
    def ranking(self) -> pd.DataFrame:
        """The ranking as a plain reader finds it, names as they are in the client files."""
        text = {"client": str, "reasons": str}
        table = pd.read_csv(self.config.clientrisk_path, dtype=text, keep_default_na=False)
        return table.assign(client=table["client"].str.replace(r"^'(?==)", "", regex=True))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    config = made_world(tmp_path_factory.mktemp("page"))
    with serving(config) as url:
        yield Site(config, url)


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    """Whatever a test does, nothing goes wrong but what it names, and no request leaves."""
    visiting = Visitor(browser, site.url)
    yield visiting
    visiting.leave()
    assert visiting.problems == []
    assert visiting.elsewhere() == []


@pytest.fixture
def visit(visitor: Visitor) -> Visit:
    return visitor.open


def client_path(name: str) -> str:
    return f"/client?name={quote(name, safe='')}"


def found(count: int) -> str:
    return f"of {count:,} client{'s' * (count != 1)}"


def expect_found(page: Page, names: list[str], place: int = 1) -> None:
    """That the list shows this page of these clients, and says so."""
    result = page.locator(".found")
    if not names:
        expect(result).to_contain_text("No client was found.")
        return
    first, last = (place - 1) * PAGE + 1, min(place * PAGE, len(names))
    expect(result).to_contain_text(f"{first:,} to {last:,} {found(len(names))}")
    expect(page.locator("table.clients tbody th")).to_have_text(names[first - 1 : last])


def named(ranking: pd.DataFrame, text: str) -> list[str]:
    return [name for name in ranking["client"] if text.casefold() in name.casefold()]


def by_name(ranking: pd.DataFrame) -> list[str]:
    return sorted(ranking["client"])


def by_expected_loss(ranking: pd.DataFrame) -> list[str]:
    """Highest first; whose value is not known comes last, in order of risk."""
    place = pd.to_numeric(ranking["loss_rank"])
    return list(ranking.assign(place=place).sort_values(["place", "rank"])["client"])


def query_of(page: Page) -> str:
    return urlsplit(page.url).query


def cells(row: Locator) -> list[str]:
    return [" ".join(text.split()) for text in row.locator("th, td").all_text_contents()]


def untouched(config: Config) -> dict[str, bytes]:
    """What scoring must leave alone: every file but those that SQLite makes for a reader."""
    return {
        str(path.relative_to(config.root)): path.read_bytes()
        for path in sorted(config.root.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def live_model(config: Config) -> Any:
    with (config.prod_deployment_path / "trainedmodel.pkl").open("rb") as file:
        return pickle.load(file)


# --- what is there to read ---


def facts_of(page: Page) -> dict[str, str]:
    names, values = page.locator(".facts dt"), page.locator(".facts dd strong")
    return dict(zip(names.all_inner_texts(), values.all_inner_texts(), strict=True))


def test_the_list_says_in_a_line_whether_all_is_well(site: Site, visit: Visit) -> None:
    page, ranking = visit(), site.ranking
    assert page.title() == "Clients about to leave"
    expect(page.locator(".state")).to_have_text(
        re.compile(
            r"\s*Needs attention:\s+the last batch drifted, and no better model was found, and 1"
            r" other point: see Operations\s*"
        )
    )
    facts = facts_of(page)
    assert int(facts.pop("New at high risk")) >= 0
    assert facts == {
        "To be contacted": str((ranking["contact"] == "yes").sum()),
        "At high risk": str((ranking["band"] == "high").sum()),
    }
    expect_found(page, list(ranking[ranking["contact"] == "yes"]["client"]))
    page.get_by_role("link", name="Operations").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Operations")


def test_the_list_tells_what_the_ranking_says(site: Site, visit: Visit) -> None:
    rows = visit(EVERY).locator("table.clients tbody tr")
    for place, row in enumerate(site.ranking.head(PAGE).to_dict(orient="records")):
        loss = f"{float(row['expected_loss']):,.0f}" if row["expected_loss"] != "" else DASH
        risk = f"{100 * row['risk']:.1f} % {row['band']}"
        shown = cells(rows.nth(place))
        assert re.fullmatch(rf"{risk}( new| [+-]\d+ points)?", shown.pop(2))
        assert shown == [
            f"{row['rank']:,}",
            row["client"],
            f"Expected loss: {loss}",
            row["reasons"] or DASH,
            {
                "yes": "Contact: to be contacted Contacted today",
                "no": "Contact: below the threshold",
            }[row["contact"]],
        ]


def test_what_was_refused_is_reported_as_text(visit: Visit) -> None:
    page = visit("/operations")
    refused = page.get_by_role("table", name="Rejected files, and files of which rows")
    files = refused.locator("tbody td:first-child").all_text_contents()
    assert sorted(files) == sorted(["bad rows.csv", BAD_FILE])
    aside = page.get_by_role("table", name="Rows set aside, the last 20")
    assert [cells(row)[1] for row in aside.locator("tbody tr").all()] == ["9", "5"]
    assert page.locator("main script, main img").count() == 0


def test_the_pages_lead_to_each_other_and_to_their_parts(visit: Visit) -> None:
    page = visit()
    for name in ("Model", "Operations", "Clients", "Model"):
        page.get_by_role("navigation", name="Pages", exact=True).get_by_role(
            "link", name=name
        ).click()
        expect(page.locator("[aria-current]")).to_have_text(name)
    page.goto(f"{page.url}#releases")
    heading = page.get_by_role("heading", name="Releases", exact=True)
    expect(heading).to_be_in_viewport()
    top = (heading.bounding_box() or {"y": 0})["y"]
    bar = page.locator("header").bounding_box() or {"height": 0}
    assert top >= bar["height"]


def test_docs_and_report_open_and_ranking_and_pdf_download(site: Site, visit: Visit) -> None:
    page = visit()
    with page.expect_download() as ranking:
        page.get_by_role("link", name="Download all as CSV").click()
    assert ranking.value.suggested_filename == "clientrisk.csv"
    assert Path(ranking.value.path()).read_bytes() == site.config.clientrisk_path.read_bytes()
    with page.expect_download() as paper:
        page.get_by_role("link", name="Report as PDF").click()
    content = Path(paper.value.path()).read_bytes()
    assert content == report_pdf(site.config.output_model_path)
    page.get_by_role("link", name="API", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The API")
    assert page.get_by_role("link", name="GET /risk", exact=True).count() == 1
    page.go_back()
    page.get_by_role("link", name="Report", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Clients about to leave")
    assert page.get_by_role("heading", name="The 20 clients at the highest risk").is_visible()
    assert page.locator("figure svg").count() >= 6


def test_before_the_first_run_it_says_what_to_do(browser: Browser, sandbox: Sandbox) -> None:
    with serving(sandbox.config) as url:
        visiting = Visitor(browser, url)
        page = visiting.open()
        expect(page.locator(".state")).to_contain_text("no release is live yet")
        expect(page.locator("#clients")).to_contain_text("No ranking has been written yet")
        assert violations(page) == []
        page.get_by_role("link", name="Model").click()
        page.wait_for_url("**/model")  # with its script
        dropped(page, "[data-drop]", "a.csv", SCORED)
        expect(page.locator("[data-scored]")).to_have_text("no release is live")
        assert violations(page) == []
        visiting.leave()
    assert [problem[-25:] for problem in visiting.problems] == ["503 (SERVICE UNAVAILABLE)"]


# --- looking for clients ---


def test_the_list_follows_as_one_types(site: Site, visit: Visit) -> None:
    page, names = visit(EVERY), named(site.ranking, "metals")
    assert 1 < len(names) < len(site.ranking)
    page.get_by_label("Name", exact=True).press_sequentially("meTals")
    expect_found(page, names)
    assert query_of(page) == "q=meTals&contact=all"
    these = page.get_by_role("link", name="Download these as CSV")
    expect(these).to_have_attribute("href", "./ranking.csv?q=meTals&contact=all")
    page.get_by_label("Name", exact=True).press_sequentially("zzz")
    expect_found(page, [])
    assert page.locator("table.clients").count() == 0
    page.get_by_label("Name", exact=True).fill("")
    expect_found(page, list(site.ranking["client"]))
    assert query_of(page) == "contact=all"


def test_an_answer_that_comes_late_is_not_shown(site: Site, visit: Visit) -> None:
    page, late = visit(EVERY), []
    page.route("**/clients?q=m&*", lambda route: late.append(route))
    page.get_by_label("Name", exact=True).fill("m")
    page.wait_for_timeout(500)
    page.get_by_label("Name", exact=True).fill("metals")
    expect_found(page, named(site.ranking, "metals"))
    with page.expect_response("**/clients?q=m&*"):
        late[0].continue_()
    page.wait_for_timeout(300)
    expect_found(page, named(site.ranking, "metals"))


@pytest.mark.parametrize("options", [{}, NO_SCRIPT], ids=["script", "no script"])
def test_band_and_contact_filter(site: Site, visit: Visit, options: dict[str, Any]) -> None:
    page, ranking = visit(EVERY, **options), site.ranking
    search = page.get_by_role("button", name="Search")
    page.get_by_label("Band", exact=True).select_option("medium")
    search.click()
    medium = ranking[ranking["band"] == "medium"]
    expect_found(page, list(medium["client"]))
    page.get_by_label("Show").select_option("to be contacted")
    search.click()
    both = medium[medium["contact"] == "yes"]
    assert 0 < len(both) < len(medium)
    expect_found(page, list(both["client"]))
    asked = query_of(page).replace("q=&", "").replace("&sort=risk", "")
    assert asked == "contact=yes&band=medium"


@pytest.mark.parametrize("options", [{}, NO_SCRIPT], ids=["script", "no script"])
def test_the_head_sorts_and_pages_turn(site: Site, visit: Visit, options: dict[str, Any]) -> None:
    page, ranking = visit(EVERY, **options), site.ranking
    head = page.locator("table.clients thead")
    head.get_by_role("link", name="Expected loss").click()
    expect(head.locator("th", has_text="Expected loss")).to_have_attribute(
        "aria-sort", "descending"
    )
    expect_found(page, by_expected_loss(ranking))
    expect(page.get_by_label("Sorted by")).to_have_value("expected_loss")
    head.get_by_role("link", name="Client").click()
    expect(head.locator("th", has_text="Client")).to_have_attribute("aria-sort", "ascending")
    expect_found(page, by_name(ranking))
    turn = page.get_by_role("navigation", name="Pages of clients")
    turn.get_by_role("link", name="Next").click()
    expect_found(page, by_name(ranking), 2)
    turn.get_by_role("link", name="Last").click()
    expect_found(page, by_name(ranking), -(-len(ranking) // PAGE))
    assert query_of(page) == f"contact=all&sort=client&page={-(-len(ranking) // PAGE)}"
    page.go_back()
    expect_found(page, by_name(ranking), 2)
    page.go_back()
    expect_found(page, by_name(ranking))
    page.go_back()
    expect_found(page, by_expected_loss(ranking))
    expect(page.get_by_label("Sorted by")).to_have_value("expected_loss")
    page.go_forward()
    expect_found(page, by_name(ranking))


def test_a_search_can_be_sent_to_a_colleague_and_come_back_to(site: Site, visit: Visit) -> None:
    page, names = visit(EVERY), named(site.ranking, "mills")
    page.get_by_label("Name", exact=True).fill("mills")
    expect_found(page, names)
    other = visit(page.url.removeprefix(site.url))
    expect_found(other, names)
    page.get_by_role("link", name=names[0], exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(names[0])
    page.go_back()
    expect_found(page, names)
    expect(page.get_by_label("Name", exact=True)).to_have_value("mills")


def test_a_server_that_cannot_tell_says_why(site: Site, visitor: Visitor) -> None:
    page = visitor.open()
    ranking, aside = site.config.clientrisk_path, site.config.clientrisk_path.with_suffix(".aside")
    ranking.rename(aside)
    try:
        page.get_by_label("Name", exact=True).fill("metals")
        expect(page.locator(".found")).to_have_text("not recorded yet: run the pipeline first")
    finally:
        aside.rename(ranking)
    assert len(visitor.problems) == 1
    assert "503" in visitor.problems[0]
    visitor.problems.clear()


def test_a_server_that_does_not_answer_is_reported(visitor: Visitor) -> None:
    page = visitor.open()
    page.route("**/clients?*", lambda route: route.abort())
    page.get_by_label("Name", exact=True).fill("metals")
    silent = "The server does not answer. Try again in a moment."
    expect(page.locator(".found")).to_have_text(silent)
    page.get_by_role("link", name="Model").click()
    page.route("**/score", lambda route: route.abort())
    dropped(page, "[data-drop]", "a.csv", SCORED)
    expect(page.locator("[data-scored]")).to_have_text(silent)
    assert sorted(visitor.problems) == [
        *["error: Failed to load resource: net::ERR_FAILED"] * 2,
        f"failed: {visitor.url}/clients?q=metals&contact=yes",
        f"failed: {visitor.url}/score",
    ]
    visitor.problems.clear()


# --- one client ---


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("options", [{}, NO_SCRIPT], ids=["script", "no script"])
def test_a_client_of_any_name_opens(
    site: Site, visit: Visit, name: str, options: dict[str, Any]
) -> None:
    page, ranking = visit(EVERY, **options), site.ranking
    page.get_by_label("Name", exact=True).fill(name)
    if options:
        page.get_by_role("button", name="Search").click()
    expect_found(page, [name])
    page.locator("table.clients tbody a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    row = ranking[ranking["client"] == name].iloc[0]
    facts = page.locator(".facts dd strong").all_inner_texts()
    assert facts == [
        f"{100 * row['risk']:.1f} %",
        f"{row['rank']:,}",
        row["contact"],
        f"{float(row['expected_loss']):,.0f}",
        site.release,
    ]
    reasons = page.locator("[aria-labelledby='reasons-heading'] li").all_text_contents()
    assert reasons == row["reasons"].split("; ")
    assert reasons[0].startswith(f"{LABEL} ")
    page.locator("summary").click()
    points = page.locator("details tbody tr").all()
    assert cells(points[0])[1] == f"{100 * round(row['risk'], 2):.0f} %"
    with site.config.finaldata_path.open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row[0] == name]
    result = page.locator("#rows tbody tr").all()
    assert [cells(row) for row in result] == rows[::-1]
    assert len(result) == 2
    assert name in page.title()


def test_an_unknown_client_is_a_page_that_leads_back(visitor: Visitor) -> None:
    page = visitor.open(client_path("nobody <i>at all</i>"))
    expect(page.get_by_role("heading", level=1)).to_have_text("That did not work")
    expect(page.locator("main")).to_contain_text("no client of that name is on record")
    page.get_by_role("link", name="To the list").click()
    expect(page.locator("#clients")).to_be_visible()
    assert visitor.problems == [MISSING]
    visitor.problems.clear()


# --- scoring a file ---


def expect_scored(page: Page, config: Config) -> None:
    """That the page shows the batch's clients by the live model's own risk, and nothing else."""
    risk = live_model(config).predict_proba(BATCH[list(config.schema.features)])[:, 1]
    order = sorted(range(len(risk)), key=lambda place: -risk[place])[:20]
    result = page.locator("[data-result]")
    live = (config.prod_deployment_path / "current").readlink().name
    leave = int(live_model(config).predict(BATCH[list(config.schema.features)]).sum())
    expect(result.locator(".lead")).to_contain_text(f"40 clients scored by release {live}")
    expect(result.locator(".lead")).to_contain_text(
        f": {leave} predicted to leave. Nothing was kept."
    )
    rows = result.get_by_role("table", name="The 20 at the highest risk").locator("tbody tr")
    assert [cells(row)[:3] for row in rows.all()] == [
        [BATCH["corporation"][i], str(i + 2), f"{100 * risk[i]:.1f} %"] for i in order
    ]


@pytest.mark.parametrize("mark", ["[data-drop]", "h2 >> nth=2"], ids=["zone", "elsewhere"])
def test_a_dropped_file_is_scored_and_nothing_is_kept(site: Site, visit: Visit, mark: str) -> None:
    before, page = untouched(site.config), visit("/model")
    dropped(page, mark, "batch.csv", SCORED)
    expect_scored(page, site.config)
    expect(page.locator("[data-scored]")).to_be_in_viewport()
    expect(page.locator(".drop.over")).to_have_count(0)
    assert untouched(site.config) == before


@pytest.mark.parametrize("options", [{}, NO_SCRIPT], ids=["script", "no script"])
def test_a_chosen_file_is_scored(site: Site, visit: Visit, options: dict[str, Any]) -> None:
    before, page = untouched(site.config), visit("/model", **options)
    file = {"name": "batch.csv", "mimeType": "text/csv", "buffer": SCORED.encode()}
    page.get_by_label("A CSV file with the columns").set_input_files(file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Show the result").click()
    expect_scored(page, site.config)
    assert untouched(site.config) == before


def test_a_broken_file_says_why(site: Site, visitor: Visitor) -> None:
    before, page = untouched(site.config), visitor.open("/model")
    dropped(page, "[data-drop]", "broken.csv", BROKEN)
    reason = "the CSV has no header line: expected lastmonth_activity"
    expect(page.locator("[data-scored]")).to_contain_text(reason)
    page.get_by_role("button", name="Download the result as CSV").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("That did not work")
    expect(page.locator("main")).to_contain_text(reason)
    assert visitor.problems == [REFUSED, REFUSED]
    visitor.problems.clear()
    assert untouched(site.config) == before


# --- how it looks ---


def test_the_dark_is_dark_in_charts_too(visit: Visit) -> None:
    colours = [
        visit("/model", color_scheme=scheme).evaluate(
            """() => [
                getComputedStyle(document.body).backgroundColor,
                getComputedStyle(document.body).color,
                getComputedStyle(document.querySelector("figure svg text")).fill,
                getComputedStyle(document.querySelector(".drop button")).backgroundColor,
            ]"""
        )
        for scheme in ("light", "dark")
    ]
    light, dark = colours
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] == "rgb(13, 17, 23)"
    assert all(one != other for one, other in zip(light, dark, strict=True))
    assert dark[2] == dark[1]


def opened(visit: Visit, kind: str, **options: Any) -> Page:
    """One of the pages there are, open."""
    paths = {"client": client_path(ODD), "/model": f"/model?client={quote(ODD, safe='')}&f0=99"}
    return visit(paths.get(kind, kind), **options)


KINDS = ["/", "/model", "/operations", "client", "/docs", "/report"]


CUT_LETTERS = """() => [...document.querySelectorAll("figure svg text")]
    .map((text) => [
        text.getBoundingClientRect(),
        text.ownerSVGElement.getBoundingClientRect(),
        text.textContent,
    ])
    .filter(([box, all]) => box.left < all.left - 2 || box.right > all.right + 2
        || box.top < all.top - 2 || box.bottom > all.bottom + 2)
    .map(([box, all, words]) => words)"""
IDS = """() => {
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    const naming = "[aria-labelledby], [for], a[href^='#'], use";
    const named = [...document.querySelectorAll(naming)]
        .flatMap((one) => [
            ...(one.getAttribute("aria-labelledby") ?? "").split(" "),
            one.getAttribute("for") ?? "",
            (one.getAttribute("href") ?? one.getAttribute("xlink:href") ?? "").slice(1),
        ].filter(Boolean));
    return [
        ids.filter((id, place) => ids.indexOf(id) !== place),
        named.filter((id) => !ids.includes(id)),
    ];
}"""
CUT_AT_TWICE_THE_SIZE = """() => {
    document.documentElement.style.fontSize = "200%";
    return [...document.querySelectorAll("body *:not(svg *, .unseen, option)")]
        .filter((one) => {
            const style = getComputedStyle(one);
            const hides = /hidden|clip/.test(style.overflowX + style.overflowY);
            const over = one.scrollWidth > one.clientWidth + 1
                || one.scrollHeight > one.clientHeight + 1;
            return hides && over && one.tagName !== "svg";
        })
        .map((one) => one.outerHTML.slice(0, 100));
}"""


@pytest.mark.parametrize("kind", KINDS)
def test_charts_ids_and_letters_are_as_they_should(visit: Visit, kind: str) -> None:
    page = opened(visit, kind)
    charts = page.locator("figure svg")
    assert charts.count() >= (kind not in ("/", "/docs"))
    for i in range(charts.count()):
        chart = charts.nth(i)
        expect(chart).to_have_attribute("role", "img")
        names = (chart.get_attribute("aria-labelledby") or "").split()
        title, summary = [page.locator(f"[id='{name}']").text_content() or "" for name in names]
        assert title == page.locator("figure:has(svg) figcaption").nth(i).inner_text()
        assert len(summary) > 20
        assert chart.bounding_box()
    assert page.evaluate(CUT_LETTERS) == []
    assert page.evaluate(IDS) == [[], []]
    assert page.evaluate(CUT_AT_TWICE_THE_SIZE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


SMALL_LETTERS = """() => [...document.querySelectorAll("figure svg text")]
    .map((text) => [
        parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getScreenCTM().a,
        text.textContent,
    ])
    .filter(([size]) => size < 8)"""
SMALL_TARGETS = """() => [...document.querySelectorAll("a, button, input, select, summary")]
    .filter((one) => !one.closest(".lead") && one.checkVisibility())
    .map((one) => [one.getBoundingClientRect(), one.outerHTML])
    .filter(([box]) => box.right > 0 && (box.width < 24 || box.height < 24))
    .map(([box, text]) => `${box.width} x ${box.height}: ${text}`)"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_phone_can_show_read_and_tap_all(visit: Visit, kind: str) -> None:
    page = opened(visit, kind, viewport={"width": 320, "height": 640})
    assert page.evaluate(SMALL_TARGETS) == []
    if kind == "/model":
        dropped(page, "[data-drop]", "batch.csv", SCORED)
        expect(page.locator("[data-result]")).to_be_visible()
    for width in PHONES:
        page.set_viewport_size({"width": width, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(SMALL_LETTERS) == []


def test_a_phone_shows_what_a_desk_shows_of_a_client(site: Site, visit: Visit) -> None:
    page = visit(EVERY, viewport={"width": 320, "height": 640})
    row = page.locator("table.clients tbody tr").first
    for cell in row.locator("th, td").all():
        expect(cell).to_be_visible()
    expect(row).to_contain_text("Expected loss:")
    page.locator("table.clients thead").get_by_role("link", name="Expected loss").click()
    expect_found(page, by_expected_loss(site.ranking))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "/docs"])
def test_printed_it_is_what_there_is_to_read(site: Site, visit: Visit, kind: str) -> None:
    page = opened(visit, kind, color_scheme="dark")
    page.emulate_media(media="print")
    for mark in ("header nav", "form", ".pages", ".skip", "details"):
        for one in page.locator(mark).all():
            expect(one).to_be_hidden()
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert ink == "rgb(0, 0, 0)"
    pdf = PdfReader(io.BytesIO(page.pdf(format="A4")))
    text = " ".join(" ".join(sheet.extract_text() for sheet in pdf.pages).split())
    first = {"client": ODD.split(" é")[0], "/model": "Releases", "/operations": "Runs"}
    assert first.get(kind, site.ranking["client"][0]) in text
    assert "Download" not in text
    for sheet in pdf.pages:  # nothing beyond the sheet, on which the browser would have shrunk it
        assert sheet.mediabox.width == pytest.approx(595, abs=2)


# --- by keyboard ---

FOCUS = """() => {
    const one = document.activeElement, box = one.getBoundingClientRect();
    const style = getComputedStyle(one), header = document.querySelector("header");
    const bar = header.getBoundingClientRect();
    const sticks = getComputedStyle(header).position === "sticky" && !header.contains(one);
    return {
        what: one === document.body ? "" : one.id || one.getAttribute("aria-label")
            || one.textContent.trim(),
        outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
        hidden: sticks && !one.matches(".skip") && box.bottom <= bar.bottom + 1,
        inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
}"""


def walked(page: Page, key: str, most: int = 120) -> list[dict[str, Any]]:
    """What has the focus, key by key, until the page is through."""
    stops = []
    for _ in range(most):
        page.keyboard.press(key)
        stop = page.evaluate(FOCUS)
        if not stop["what"]:
            break
        stops.append(stop)
    return stops


@pytest.mark.parametrize(
    "size", [(1280, 900), (1030, 700), (700, 500), (320, 640)], ids=lambda size: f"{size[0]}"
)
def test_a_keyboard_reaches_all_and_shows_where_it_is(
    site: Site, visit: Visit, size: tuple[int, int]
) -> None:
    page = visit(EVERY, viewport={"width": size[0], "height": size[1]})
    there = walked(page, "Tab")
    names = [stop["what"] for stop in there]
    assert names[0] == "To the content"
    order = ["q", "contact", "band", "sort", "Search", "Download all as CSV"]
    order += ["Download these as CSV", "Table of clients", "Rank", "Client", "Expected loss"]
    order += [*site.ranking["client"].head(PAGE), "Next", "Last"]
    assert [name for name in names if name in order][: len(order)] == order
    page.evaluate("document.activeElement.blur()")
    back = walked(page, "Shift+Tab", len(there))
    assert [stop["what"] for stop in back] == names[::-1]
    for stop in (*there, *back):
        assert (stop["outline"] >= 2, stop["hidden"], stop["inside"]) == (True, False, True), stop


def test_the_focus_stays_where_the_list_changes(site: Site, visit: Visit) -> None:
    page = visit(EVERY)
    page.locator("table.clients thead").get_by_role("link", name="Client").focus()
    page.keyboard.press("Enter")
    expect_found(page, by_name(site.ranking))
    expect(page.locator("table.clients thead").get_by_role("link", name="Client")).to_be_focused()
    page.get_by_role("link", name="Next").focus()
    page.keyboard.press("Enter")
    expect_found(page, by_name(site.ranking), 2)
    expect(page.get_by_role("link", name="Next")).to_be_focused()


def test_a_region_that_scrolls_does_so_by_keyboard(visit: Visit) -> None:
    page = visit("/model", viewport={"width": 320, "height": 640})
    region = page.get_by_role("region", name="The last batches")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.activeElement.scrollLeft > 0")


# --- axe-core ---


@pytest.mark.parametrize("kind", [*KINDS, "scored", "problem"])
def test_axe_finds_nothing(visitor: Visitor, kind: str) -> None:
    if kind == "scored":
        page = visitor.open("/model")
        lines = f"{SCORED}{SCRIPT},many,1,1\n"
        dropped(page, "[data-drop]", "batch.csv", lines)
        expect(page.locator("[data-result]")).to_be_visible()
    elif kind == "problem":
        page = visitor.open(client_path("nobody"))
        assert visitor.problems == [MISSING]
        visitor.problems.clear()
    else:
        page = opened(visitor.open, kind)
    for summary in page.locator("summary").all():
        summary.click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], scheme
    page.set_viewport_size({"width": 320, "height": 640})
    assert violations(page) == []


# --- who may see it, and what it may do ---


def test_a_browser_sends_the_token_as_a_password(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISK_API_TOKEN", "secret-token")
    with serving(site.config) as url:
        visiting = Visitor(browser, url)
        page = visiting.open(http_credentials={"username": "anyone", "password": "secret-token"})
        expect(page.locator(".state .word")).to_have_text("Needs attention:")
        assert page.evaluate("getComputedStyle(document.querySelector('.facts')).display") == "grid"
        page.get_by_label("Name", exact=True).fill(APOSTROPHE)
        expect_found(page, [APOSTROPHE])
        page.get_by_role("link", name="Model").click()
        page.wait_for_url("**/model")  # with its script
        dropped(page, "[data-drop]", "batch.csv", SCORED)
        expect_scored(page, site.config)
        assert visiting.elsewhere() == []
        visiting.leave()

        stranger = browser.new_context().new_page()
        with pytest.raises(PageError, match="ERR_INVALID_AUTH_CREDENTIALS"):  # nobody to ask
            stranger.goto(url)
        stranger.context.close()
    assert [problem for problem in visiting.problems if "401" not in problem] == []


@pytest.mark.parametrize("text", [SCRIPT, f'"><img src=x onerror="{TAKEN}">', "{{7*7}}", FORMULA])
@pytest.mark.parametrize("options", [{}, NO_SCRIPT], ids=["script", "no script"])
def test_what_is_searched_for_is_only_text(
    site: Site, visit: Visit, text: str, options: dict[str, Any]
) -> None:
    page = visit(f"/?q={quote(text)}", **options)
    expect(page.get_by_label("Name", exact=True)).to_have_value(text)
    expect_found(page, named(site.ranking, text))
    assert page.title() == "Clients about to leave"
    assert page.locator("main script, main img").count() == 0


def test_no_script_but_ours_can_run(visitor: Visitor) -> None:
    page = visitor.open(client_path(SCRIPT))
    page.evaluate(
        f"""() => {{
            const inline = document.createElement("script");
            inline.textContent = "{TAKEN}";
            const other = document.createElement("script");
            other.src = "https://example.com/x.js";
            document.body.append(inline, other);
            const image = document.createElement("p");
            image.innerHTML = `<img src="https://example.com/x.png" onerror="{TAKEN}">`;
            document.body.append(image);
        }}"""
    )
    page.wait_for_timeout(300)
    assert page.title().startswith(f"{SCRIPT} ")
    refused = [one for one in visitor.problems if "Content Security Policy" in one]
    assert len(refused) >= 3
    visitor.problems.clear()
    visitor.asked[:] = [url for url in visitor.asked if "example.com" not in url]
