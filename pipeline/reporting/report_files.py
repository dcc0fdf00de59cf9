"""`report.html` and `report.pdf`, and the last of each day in `reports/`."""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.core.config import REPORT_FORMATS, Config
from pipeline.core.files import write_atomic
from pipeline.reporting.html import ReportContent, report_html

FOLDER = "reports"
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})\.(?:html|pdf)")


def write_reports(config: Config, content: ReportContent) -> tuple[Path, ...]:
    """Write the report in each form that the config names, and once more under today's date.

    Returns the files that are not dated. What cannot be written leaves all as they were.
    """
    dated = config.output_model_path / FOLDER
    dated.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    contents: dict[Path, bytes] = {}
    for kind, told in _forms(config, content):
        written.append(config.output_model_path / f"report.{kind}")
        contents |= dict.fromkeys((dated / f"{content.made_at[:10]}.{kind}", written[-1]), told)
    _refuse_folders(contents)
    for path, told in contents.items():
        write_atomic(path, told)
    forget_reports(config)
    return tuple(written)


def forget_reports(config: Config) -> None:
    """Delete the forms that the config no longer names, and days before `keep_history_days`."""
    for kind in REPORT_FORMATS:
        path = config.output_model_path / f"report.{kind}"
        if kind not in config.report_formats and path.is_file():
            path.unlink()
    dated = config.output_model_path / FOLDER
    if dated.is_dir():
        _prune(dated, config.keep_history_days)


def _forms(config: Config, content: ReportContent) -> Iterator[tuple[str, bytes]]:
    if "html" in config.report_formats:
        yield "html", report_html(content).encode()
    if "pdf" in config.report_formats:
        from pipeline.reporting.pdf import report_pdf  # what writes PDF is not needed for the page

        yield "pdf", report_pdf(content)


def _refuse_folders(paths: Iterable[Path]) -> None:
    """Raise the error of writing over a folder before anything is written."""
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _prune(folder: Path, days: int) -> None:
    """Delete what is ours and too old; what others put there stays."""
    oldest = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}"
    for path in folder.iterdir():
        dated = _DATED.fullmatch(path.name)
        if dated and dated[1] < oldest and not path.is_dir():
            path.unlink()
