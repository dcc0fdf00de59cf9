"""`report.html` and `report.pdf`, and the last of each day in `reports/`."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.config import Config
from pipeline.files import write_atomic
from pipeline.reportpage import ReportContent, report_html

FOLDER = "reports"
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})\.(?:html|pdf)")


def write_reports(config: Config, content: ReportContent) -> tuple[Path, ...]:
    """Write the report in each form that the config names, and once more under today's date.

    Those of days before `keep_history_days` are deleted. Returns the files that are not dated.
    """
    dated = config.output_model_path / FOLDER
    dated.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, told in _forms(config, content):
        path = config.output_model_path / f"report.{kind}"
        write_atomic(dated / f"{content.made_at[:10]}.{kind}", told)
        write_atomic(path, told)
        written.append(path)
    _prune(dated, config.keep_history_days)
    return tuple(written)


def _forms(config: Config, content: ReportContent) -> Iterator[tuple[str, bytes]]:
    if "html" in config.report_formats:
        yield "html", report_html(content).encode()
    if "pdf" in config.report_formats:
        from pipeline.reportpdf import report_pdf  # what writes PDF is not needed for the page

        yield "pdf", report_pdf(content)


def _prune(folder: Path, days: int) -> None:
    """Delete what is ours and too old; what others put there stays."""
    oldest = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}"
    for path in folder.iterdir():
        if (dated := _DATED.fullmatch(path.name)) and dated[1] < oldest:
            path.unlink()
