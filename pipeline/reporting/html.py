"""HTML of the page and the report: one set of templates, in which every text is escaped."""

from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.core.formatting import (
    format_horizon,
    format_minute,
    format_percent,
    format_release_number,
    pluralize,
    truncate,
)
from pipeline.reporting.document import TITLE, ReportContent
from pipeline.reporting.picture import svg

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"
MAX_PROBLEM = 110  # characters of one that is named in a line

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,  # a missing name is an error, not an empty text
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    svg=lambda chart: Markup(svg(chart)),  # it escapes all texts
    percent=format_percent,
    minute=format_minute,
    shorten=partial(truncate, most=MAX_PROBLEM),
    counted=pluralize,
    horizon=format_horizon,
    release_number=format_release_number,
)


def rendered(template: str, **values: Any) -> str:
    """A template filled with values."""
    return _ENVIRONMENT.get_template(template).render(values)


def static(name: str) -> str:
    """A style sheet or script of the page."""
    return (STATIC / name).read_text(encoding="utf-8")


def report_html(content: ReportContent) -> str:
    """The report for a browser, as one file that needs nothing else."""
    text = rendered(
        "report.html",
        title=TITLE,
        made=content.made,
        state=content.state,
        sections=content.sections,
        card=content.card,
        style=Markup(static("page.css")),
    )
    return f"{text.lstrip()}\n"
