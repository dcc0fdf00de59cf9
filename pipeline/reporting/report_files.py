"""`report.html` and `report.pdf`, and the last of each day in `reports/`."""

import errno
import os
import re
from collections.abc import Collection
from pathlib import Path

from pipeline.core.config import REPORT_FORMATS
from pipeline.core.files import write_atomic
from pipeline.reporting.document import ReportContent
from pipeline.reporting.html import report_html

FOLDER = "reports"
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})\.(?:html|pdf)")


def write_reports(
    folder: Path, formats: Collection[str], content: ReportContent
) -> tuple[Path, ...]:
    """Write the report in each format, and once more under today's date.

    Returns the files that are not dated. If one cannot be written, all stay as they were.
    """
    dated = folder / FOLDER
    dated.mkdir(parents=True, exist_ok=True)
    written = {folder / f"report.{kind}": _formatted(kind, content) for kind in formats}
    day = content.made_at[:10]
    copies = {dated / f"{day}{path.suffix}": text for path, text in written.items()}
    files = copies | written
    for path in filter(Path.is_dir, files):  # before anything is written
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    for path, text in files.items():
        write_atomic(path, text)
    return tuple(written)


def forget_reports(folder: Path, formats: Collection[str], before: str) -> None:
    """Delete formats that are no longer wanted, and reports from before a day."""
    for kind in REPORT_FORMATS:
        path = folder / f"report.{kind}"
        if kind not in formats and path.is_file():
            path.unlink()
    for path in (folder / FOLDER).glob("*.*"):
        dated = _DATED.fullmatch(path.name)  # other files stay
        if dated and dated[1] < before and path.is_file():
            path.unlink()


def _formatted(kind: str, content: ReportContent) -> bytes:
    if kind == "html":
        return report_html(content).encode()
    from pipeline.reporting.pdf import report_pdf  # slow to import, and the page writes no PDF

    return report_pdf(content)
