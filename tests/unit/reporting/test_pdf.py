"""report.pdf: a few pages of A4 that can be read, searched and listened to, whatever it tells."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from pypdf import PdfReader
from reportworlds import (
    MADE_AT,
    a_year,
    checked_features,
    content_of,
    many_judged,
    ranking_of,
    with_features,
)
from sandbox import Sandbox

from pipeline.core.formatting import truncate
from pipeline.registry.releases import Challenge, live_release
from pipeline.reporting.document import Grid, ReportContent, Section, State
from pipeline.reporting.model_card import release_grid
from pipeline.reporting.pdf import MARGIN, paper_rows, pdf_of
from pipeline.storage.database import History

POINTS = 72 / 25.4  # of a millimetre
LONG = "{} " + "Extremely Long Company Name & Sons " * 5
NAMES = [
    "Ромашка и Партнёры",
    "Ελληνικά Αλεύρια",
    "北京市朝阳区贸易有限公司",
    "שלום בע״מ",
    "💥 Boom",
    "x" * 5000,
    "a name of many words " * 60,
    "tab\tand \u202e direction",
    "=1+1",
    "<b>&amp;",
]


@dataclass(frozen=True)
class Paper:
    """A PDF as it was read: its pages' words, and where in points each text begins."""

    reader: PdfReader
    pages: list[str]
    places: list[list[tuple[float, float]]]

    @property
    def words(self) -> str:
        return " ".join(self.pages)


def paper_of(content: bytes) -> Paper:
    reader = PdfReader(io.BytesIO(content))
    pages, places = [], []
    for page in reader.pages:
        here: list[tuple[float, float]] = []

        def note(text: str, turn: list[float], at: list[float], *_: object) -> None:
            if text.strip():  # axes' names are turned
                (a, b, c, d, e, f), (x, y) = turn, at[4:6]
                here.append((a * x + c * y + e, b * x + d * y + f))  # noqa: B023 - called within

        pages.append(" ".join(page.extract_text(visitor_text=note).split()))
        places.append(here)
    return Paper(reader, pages, places)


@pytest.fixture(scope="module")
def kept() -> dict[str, Paper]:
    return {}


@pytest.fixture
def paper(settled: Sandbox, kept: dict[str, Paper]) -> Callable[[str], Paper]:
    """The report of a world by its name, each made once."""

    def content(name: str) -> ReportContent:
        config = settled.config
        if name == "rich":
            with History(config.history_path) as history:
                a_year(history, config.schema.columns, 2000)
            names = [f"Client {i}" for i in range(10_000)]
            return content_of(config, ranking_of(names), many_judged())
        release = with_features(live_release(config.prod_deployment_path), 60)
        names = [*NAMES, *(LONG.format(i) for i in range(600))]
        table = ranking_of(names, "; ".join(["a_long_column_name " * 4] * 3))
        table.insert(5, "expected_loss", 1e61)
        return content_of(config, table, many_judged(), release=release, features=60)

    def read(name: str) -> Paper:
        if name not in kept:
            kept[name] = paper_of(pdf_of(content(name)))
        return kept[name]

    return read


WORLDS = ["rich", "too much"]


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_a_few_pages_of_a4_with_its_letters_in_it(
    paper: Callable[[str], Paper], world: str
) -> None:
    reader, names = paper(world).reader, set()

    assert 2 <= len(reader.pages) <= 5
    for page in reader.pages:
        size = (float(page.mediabox.width), float(page.mediabox.height))
        assert size == pytest.approx((595.28, 841.89), abs=0.01)
        for font in page["/Resources"]["/Font"].values():
            result = font.get_object()
            names.add(result["/BaseFont"].split("+")[1])
            (described,) = result["/DescendantFonts"]
            assert "/FontFile2" in described.get_object()["/FontDescriptor"].get_object()
    assert names == {"DejaVuSansBook", "DejaVuSansBold"}


def test_it_has_a_title_a_language_and_its_moment(paper: Callable[[str], Paper]) -> None:
    reader = paper("rich").reader
    about = reader.metadata

    assert about is not None
    title = f"Clients about to leave: Report of {MADE_AT} UTC, of release 000001-"
    assert str(about.title).startswith(title)
    assert reader.trailer["/Root"]["/Lang"] == "en"
    assert f"{about.creation_date:%Y-%m-%d %H:%M:%S %z}" == f"{MADE_AT}:00 +0000"


def test_it_tells_state_clients_scores_and_release(
    paper: Callable[[str], Paper], settled: Sandbox
) -> None:
    result = paper("rich").words

    live = live_release(settled.config.prod_deployment_path)
    assert "All is well Release 1, live since" in result
    assert f"has an F1 of {live.f1:.3f} on the test data" in result
    assert f"F1 {many_judged().scores.f1:.3f}" in result
    assert "1 Client 0 99.0 % number of employees 3, usual 41" in result
    assert "20 Client 19 " in result
    assert "F1 of the live model on new rows: " in result


@pytest.mark.parametrize("world", WORLDS)
def test_every_page_says_which_it_is_and_no_text_begins_within_a_margin(
    paper: Callable[[str], Paper], world: str
) -> None:
    edge, found = (MARGIN - 0.1) * POINTS, paper(world)
    for number, (result, places) in enumerate(zip(found.pages, found.places, strict=True), 1):
        assert f"Report of {MADE_AT} UTC, of release 000001-" in result
        assert f"Page {number}" in result
        for x, y in places:
            assert edge <= x <= 595.28 - edge
            assert 5 * POINTS <= y <= 841.89 - edge


def test_letters_of_any_script_do_not_stop_it_and_those_that_are_lacking_are_reported(
    paper: Callable[[str], Paper],
) -> None:
    result, note = paper("too much"), "□: a letter that this font lacks; report.html has it."

    for name in (*NAMES[:2], "=1+1", "<b>&amp;", f"3 {'□' * 12} "):
        assert name in result.words
    assert note in result.pages[-1]
    assert note not in paper("rich").words


def test_long_names_and_huge_numbers_are_cut_short(paper: Callable[[str], Paper]) -> None:
    result = paper("too much").words

    assert f"11 {truncate(LONG.format(0), 40)} 97.4 % 1e+61 " in result
    assert "x" * 5000 not in result.replace(" ", "")
    drifted = sum(one.verdict == "drift" for one in checked_features(60).input)
    assert f"Input: {drifted} features drifted" in result


@pytest.mark.parametrize("lines", [34, 40, 43, 46])
def test_a_title_stands_on_the_page_of_its_table(lines: int) -> None:
    table = Grid("Numbers", ("what", "how"), (("first cell", "1"),) * 6)
    sections = (
        Section("before", "Before", notes=("one line",) * lines),
        Section("after", "Title after it", lead="What it is.", grids=(table,)),
    )
    state = State("good", "All is well", "it is", ())
    content = ReportContent(MADE_AT, "000001-x", state, sections, "")

    titled = [page for page in paper_of(pdf_of(content)).pages if "Title after it" in page]
    assert len(titled) == 1
    assert "first cell" in titled[0]


def test_why_a_release_went_live_is_reported_in_full(settled: Sandbox) -> None:
    live = live_release(settled.config.prod_deployment_path)
    challenge = Challenge("mean", "000001-x", 9, 0.1, 0.2, 0.0, 0.2, "because " * 80)
    grid = release_grid(replace(live, challenge=challenge))

    assert "because " * 80 in dict(paper_rows(grid))["why it went live"]
