"""`report.html`, the last of each day in `reports/`, and what `report.pdf` is made from."""

import errno
import os
import re
from collections.abc import Collection
from pathlib import Path

import msgspec

from pipeline.core.files import write_atomic
from pipeline.reporting.document import ReportContent
from pipeline.reporting.html import report_html

FOLDER = "reports"
CONTENT = "report.json"  # what report.html shows, for a PDF
DOCUMENTS = {"report.html": "html", "report.pdf": "pdf", CONTENT: "pdf"}  # and their format
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})\.(?:html|pdf)")


def write_reports(
    folder: Path, formats: Collection[str], content: ReportContent, *, with_pdf: bool
) -> tuple[Path, ...]:
    """Write the report in each format, and once more under today's date.

    Without the PDF, one of an earlier report is deleted: `report_pdf` makes it of this one. Returns
    the files that are not dated. If one cannot be written, all stay as they were.
    """
    day, files = content.made_at[:10], {}
    if "pdf" in formats:
        files[folder / CONTENT] = msgspec.json.encode(content)
    if "html" in formats:
        files[folder / "report.html"] = report_html(content).encode()
    if "pdf" in formats and with_pdf:
        files[folder / "report.pdf"] = _pdf(content)
    written = tuple(path for path in files if path.name != CONTENT)
    copies = {folder / FOLDER / f"{day}{path.suffix}": files[path] for path in written}
    for path in filter(Path.is_dir, files):  # before anything is written
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not with_pdf:
        (folder / "report.pdf").unlink(missing_ok=True)
    for path, text in (copies | files).items():
        write_atomic(path, text)
    return written


def report_pdf(folder: Path) -> bytes | None:
    """The PDF of the last report; None if there is none, or none that this version has written."""
    try:
        return _pdf(msgspec.json.decode((folder / CONTENT).read_bytes(), type=ReportContent))
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def forget_reports(folder: Path, formats: Collection[str], before: str) -> None:
    """Delete formats that are no longer wanted, and reports from before a day."""
    for name, kind in DOCUMENTS.items():
        if kind not in formats and (folder / name).is_file():
            (folder / name).unlink()
    for path in (folder / FOLDER).glob("*.*"):
        dated = _DATED.fullmatch(path.name)  # other files stay
        if dated and dated[1] < before and path.is_file():
            path.unlink()


def _pdf(content: ReportContent) -> bytes:
    from pipeline.reporting.pdf import pdf_of  # slow to import, and most runs make no PDF

    return pdf_of(content)
