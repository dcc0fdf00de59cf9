"""Where reports lie: the last one, the last of each day, and for how long."""

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pypdf import PdfReader
from reportworlds import content_of, many_judged, ranking_of, set_aside
from sandbox import Sandbox, today

from pipeline.reporting.document import ReportContent
from pipeline.reporting.report_files import forget_reports, report_pdf, write_reports

TODAY = today().isoformat()
YESTERDAY = (today() - timedelta(days=1)).isoformat()
BOTH = ("html", "pdf")


@pytest.fixture
def content(settled: Sandbox) -> ReportContent:
    """A short report, made at a known time."""
    whole = content_of(settled.config, ranking_of(["a"]), many_judged(5))
    return ReportContent(f"{TODAY} 09:00", "000001-x", whole.state, whole.sections[:1], whole.card)


def reports(world: Sandbox) -> list[str]:
    return [name for name in set_aside(world.root / "models") if "report" in name]


def test_by_default_both_forms_are_written(settled: Sandbox) -> None:
    settled.configure(report_formats=None)
    assert settled.config.report_formats == ("html", "pdf")


@pytest.mark.parametrize("formats", [["html"], ["pdf"], ["html", "pdf"]])
def test_each_format_is_written_and_copied_under_its_day(
    settled: Sandbox, content: ReportContent, formats: list[str]
) -> None:
    models = settled.root / "models"

    written = write_reports(models, formats, content, with_pdf=True)

    assert written == tuple(models / f"report.{kind}" for kind in formats)
    source = ["report.json"] * ("pdf" in formats)
    copies = [f"reports/{TODAY}.{kind}" for kind in formats]
    assert reports(settled) == sorted([*source, *(path.name for path in written), *copies])
    for kind in formats:
        assert (models / f"report.{kind}").read_bytes() == (
            models / f"reports/{TODAY}.{kind}"
        ).read_bytes()


def test_within_a_day_it_is_replaced_and_the_next_day_not(
    settled: Sandbox, content: ReportContent
) -> None:
    models = settled.root / "models"
    for made_at in (f"{YESTERDAY} 23:50", f"{TODAY} 00:00", f"{TODAY} 09:10"):
        write_reports(models, ["html"], replace(content, made_at=made_at), with_pdf=True)

    assert reports(settled) == [
        "report.html",
        f"reports/{YESTERDAY}.html",
        f"reports/{TODAY}.html",
    ]
    assert f"{YESTERDAY} 23:50" in (models / f"reports/{YESTERDAY}.html").read_text()
    assert f"{TODAY} 09:10" in (models / f"reports/{TODAY}.html").read_text()


def test_old_ones_are_deleted_and_other_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    (folder / "2020-01-02.pdf").mkdir(parents=True)
    kept, old = "2026-01-31", "2026-01-30"
    others = ["2020-01-01.txt", "2020-01-01-mine.html", "notes.pdf", "2020-01-01.html.bak"]
    for name in (f"{kept}.pdf", f"{old}.pdf", f"{old}.html", "2020-01-01.html", *others):
        (folder / name).write_text("?")

    forget_reports(tmp_path, BOTH, kept)

    left = {path.name for path in folder.iterdir()}
    assert left == {f"{kept}.pdf", "2020-01-02.pdf", *others}


@pytest.mark.parametrize("kind", ["html", "pdf"])
def test_where_one_form_cannot_be_written_the_other_stays_too(
    settled: Sandbox, content: ReportContent, kind: str
) -> None:
    models = settled.root / "models"
    write_reports(models, BOTH, content, with_pdf=True)
    (models / f"report.{kind}").unlink()
    (models / f"report.{kind}").mkdir()
    before = settled.files()

    later = replace(content, made_at=f"{TODAY} 10:00")
    with pytest.raises(IsADirectoryError) as caught:
        write_reports(models, BOTH, later, with_pdf=True)

    assert caught.value.filename == str(models / f"report.{kind}")
    assert settled.files() == before


def test_forms_no_longer_named_are_deleted(settled: Sandbox) -> None:
    models = settled.root / "models"
    for name in (f"reports/{TODAY}.pdf", "report.html", "report.pdf"):
        settled.write(f"models/{name}", "?")
    (models / "report.txt").write_text("?")

    result = settled.run("reporting")  # into no form

    assert (result.code, len(result.out.splitlines())) == (0, 3)
    assert reports(settled) == ["report.txt", f"reports/{TODAY}.pdf"]


def test_a_pdf_is_made_of_the_last_report_when_it_is_asked_for(
    settled: Sandbox, content: ReportContent
) -> None:
    models = settled.root / "models"
    write_reports(models, BOTH, content, with_pdf=True)
    first = (models / "report.pdf").read_bytes()
    assert report_pdf(models) == first

    write_reports(models, BOTH, replace(content, made_at=f"{TODAY} 10:00"), with_pdf=False)

    assert not (models / "report.pdf").exists()  # of the earlier report
    later = report_pdf(models) or b""
    assert f"Report of {TODAY} 10:00 UTC" in PdfReader(io.BytesIO(later)).pages[0].extract_text()
    assert (models / f"reports/{TODAY}.pdf").read_bytes() == first


@pytest.mark.parametrize("kept", [None, "{}", "[1", '{"made_at": 3}'])
def test_without_a_report_to_read_there_is_no_pdf(tmp_path: Path, kept: str | None) -> None:
    if kept is not None:
        (tmp_path / "report.json").write_text(kept)

    assert report_pdf(tmp_path) is None
