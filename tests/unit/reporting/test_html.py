"""report.html: one file that needs nothing else, small, and with the figures of the history."""

import re
from html import unescape

import pytest
from html_reading import Read
from reportworlds import MADE_AT, a_year, content_of, many_judged, ranking_of
from sandbox import Sandbox

from pipeline.registry.releases import live_release
from pipeline.reporting.html import report_html
from pipeline.reporting.overview import top_section
from pipeline.storage.database import History
from pipeline.storage.trends import score_bins

HOSTILE = """</td><script src="http://x">alert(1)</script>'&amp;"""
NAMES = [HOSTILE, *(f"Client number {i:05} of many & Söhne" for i in range(1, 10_000))]


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    return {}


@pytest.fixture
def rich(settled: Sandbox, kept: dict[str, str]) -> str:
    """The report on a year of history and 10,000 clients, made once."""
    if not kept:
        with History(settled.config.history_path) as history:
            a_year(history, settled.config.schema.columns, 10_000)
            last = score_bins(history)[-1]
            ((batches, drifted),) = history.tuples(
                "SELECT count(*), sum(verdict = 'drift') FROM decisions WHERE new_f1 IS NOT NULL"
            )
        content = content_of(settled.config, ranking_of(NAMES), many_judged())
        kept["html"] = report_html(content)
        kept["release"] = live_release(settled.config.prod_deployment_path).id
        kept["score"] = (
            f"F1 of the live model on new rows: latest {last.f1:.3f};"
            f" drift in {drifted:,} of {batches:,} batches"
        )
    return kept["html"]


def test_it_is_small_and_needs_nothing_else(rich: str) -> None:
    read = Read(rich)

    assert 50_000 < len(rich.encode()) < 1_000_000
    assert {link for link in read.links if link[:1] != "#"} == {"data:,"}
    assert {link[1:] for link in read.links if link[:1] == "#"} <= set(read.ids)
    assert "@import" not in rich
    assert not re.findall(r"url\((?!#)", rich)
    assert {"script", "img", "iframe", "form", "link"} & set(read.tags) == {"link"}
    assert rich.lstrip().startswith("<!DOCTYPE html>")
    assert len(read.ids) == len(set(read.ids))
    assert read.tags.count("svg") == read.tags.count("figure") == 8


def test_it_says_what_it_is_of_and_every_text_is_a_text(rich: str, kept: dict[str, str]) -> None:
    words = Read(rich).words

    assert f"Report of {MADE_AT} UTC, of release {kept['release']}" in rich
    assert kept["score"] in unescape(rich)
    assert "The 20 clients at the highest risk" in words
    assert HOSTILE in words
    assert "Client number 00019" in words
    assert "Client number 00020" not in words
    assert "The whole model card" in rich


def test_where_nobody_is_ranked_nobody_is_at_risk() -> None:
    assert top_section(ranking_of([])).title == "No client is at risk"
    assert top_section(ranking_of(["one"])).title == "The client at risk"


def test_the_report_of_a_run_holds_what_the_run_found(settled: Sandbox) -> None:
    settled.configure(report_formats=["html"])
    assert settled.run("reporting").code == 0
    words = Read((settled.root / "models/report.html").read_text(encoding="utf-8")).words

    release = live_release(settled.config.prod_deployment_path)
    assert "All is well" in words
    assert f"has an F1 of {release.f1:.3f} on the test data" in words
    assert "has not ended" not in words
    first = (settled.root / "models/clientrisk.csv").read_text().splitlines()[1].split(",")[1]
    assert first in words
