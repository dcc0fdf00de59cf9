"""HTML of the page and the report: one set of templates, in which every text is escaped."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.core.formatting import (
    format_minute,
    format_percent,
    format_release_number,
    format_score,
    pluralize,
)
from pipeline.reporting.charts.chart import Chart

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,  # a name that nobody gave is a fault, not nothing
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    svg=lambda chart: _svg(chart),
    percent=format_percent,
    score=format_score,
    minute=format_minute,
    counted=pluralize,
    release_number=format_release_number,
)


def rendered(template: str, **values: Any) -> str:
    """A template filled with values."""
    return _ENVIRONMENT.get_template(template).render(values)


def static(name: str) -> str:
    """A style sheet or script of the page."""
    return (STATIC / name).read_text(encoding="utf-8")


def _svg(chart: Chart) -> Markup:
    return Markup(chart.svg())  # matplotlib and `inline_svg` escape all texts
