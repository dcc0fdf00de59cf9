"""Tables that are packed: compressed, in an archive, a workbook or Parquet, as plain CSV text."""

import csv
import errno
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from importlib.util import find_spec
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO, Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pipeline.core.errors import DataError
from pipeline.data.input_files import ENDINGS

_IN_MEMORY = 64 << 20  # bytes, beyond which a packed table is held in a temporary file
_PAGES = (b"<!do", b"<htm", b"<?xm")  # first bytes, in small letters
_GZIP, _ZIP, _OLE, _PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1"
MAX_WORKBOOK = 1 << 30  # bytes once it is unpacked, all of which is held in memory
_WHOLE = 1e17  # whole numbers below have no exponent
_CELL = re.compile(rb"""\br\s*=\s*["']([A-Z]*)([0-9]+)["']""", re.IGNORECASE)  # or of a row
Fits = Callable[[io.BufferedReader], bool]


class Unpacked(NamedTuple):
    """The text of a table, in words what it was taken from, and whether its values had types.

    Of such as had, the text is UTF-8 with commas, decimal points and days as ISO writes them.
    """

    text: io.BufferedReader
    packed: str = ""
    typed: bool = False


def unpacked(
    stream: io.BufferedReader, most: int | None = None, fits: Fits = lambda _: False
) -> Unpacked:
    """What a file holds; of a workbook the sheet that `fits`, or that with most rows.

    Raises `DataError` if there is no one table in it, it is damaged, or, if `most` is given, it
    has more bytes than that; 0: it may not be packed.
    """
    head = stream.peek(4)[:4]
    if head.lower().startswith(_PAGES):
        raise DataError("is a web page: save it as CSV or as a workbook")
    if most == 0 and (head.startswith(_GZIP) or head in (_ZIP, _OLE, _PARQUET)):
        raise DataError("is packed, as a workbook or archive is; expected plain CSV text")
    try:
        if head.startswith(_GZIP):
            with gzip.open(stream) as text:
                return Unpacked(_kept(_blocks(text), most), "gzip")
        if head == _ZIP:
            return _unzipped(stream, most, fits)
        if head == _OLE:
            return _workbook(io.BytesIO(stream.read()), most, fits)
        if head == _PARQUET:
            lines = _parquet_lines(io.BytesIO(stream.read()))
            return Unpacked(_kept(lines, most), "Parquet", typed=True)
    except (
        *(EOFError, ValueError, zlib.error, gzip.BadGzipFile, BadZipFile),
        *(NotImplementedError, LookupError),  # of a damaged list of an archive's parts
    ) as error:
        raise DataError(f"is damaged, or packed in a way that is not known: {error}") from None
    return Unpacked(stream)


def _blocks(stream: Any) -> Iterator[bytes]:
    return iter(lambda: stream.read(1 << 20), b"")


def _kept(blocks: Iterable[bytes], most: int | None) -> io.BufferedReader:
    """Blocks of bytes as a stream from its beginning."""
    kept: Any = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  closed with the stream
    try:
        for block in blocks:
            kept.write(block)
            if most and kept.tell() > most:
                raise DataError(f"has more than {most:,} bytes once it is unpacked")
        kept.seek(0)
    except BaseException as error:
        kept.close()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DataError(f"takes more room to unpack than {gettempdir()} has") from None
        raise
    return io.BufferedReader(kept)


def _unzipped(stream: io.BufferedReader, most: int | None, fits: Fits) -> Unpacked:
    with _kept(_blocks(stream), None) as content, ZipFile(content) as archive:
        entries = archive.infolist()
        if {entry.filename for entry in entries} & {
            "xl/workbook.xml",
            "xl/workbook.bin",
            "content.xml",
        }:
            if sum(entry.file_size for entry in entries) > (most or MAX_WORKBOOK):
                raise DataError(f"is a workbook of more than {most or MAX_WORKBOOK:,} bytes")
            for entry in entries:  # a far cell would have all before it in memory
                if entry.filename.startswith("xl/"):  # sheets may be anywhere in it
                    _check_cells(archive, entry)
            content.seek(0)
            return _workbook(content, most, fits)
        tables = [entry for entry in entries if _is_table(entry)]
        if len(tables) != 1:
            named = ", ".join(sorted(entry.filename for entry in tables)[:5]) or "none"
            raise DataError(
                f"is an archive of {len(tables)} tables ({named}); expected one: unpack it"
            )
        if tables[0].flag_bits & 1 or tables[0].compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise DataError("is an archive with a password, or packed in a rare way: unpack it")
        with archive.open(tables[0]) as inner:
            text = _kept(_blocks(inner), most)
    found = unpacked(text, most, fits)  # a workbook, perhaps
    if found.text is not text:
        text.close()
    said = f"{tables[0].filename} in an archive"
    return found._replace(packed=", ".join(filter(None, [said, found.packed])))


def _check_cells(archive: ZipFile, entry: ZipInfo) -> None:
    """Raise `DataError` where a sheet spans far more cells than it has."""
    rows, columns, end = 1, 1, b""
    with archive.open(entry) as sheet:
        for block in _blocks(sheet):
            for letters, digits in _CELL.findall(end + block):
                number = 0
                for letter in letters.upper():
                    number = 26 * number + letter - 64
                rows, columns = max(rows, int(digits)), max(columns, number)
            end = block[-99:]
    if rows * columns > max(1_000_000, 2 * entry.file_size):
        raise DataError(
            f"is a workbook with a cell far from all others, in row {rows:,} and column"
            f" {columns:,}: delete what lies below and beside the table"
        )


def _is_table(entry: ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not (entry.is_dir() or hidden) and path.name.lower().endswith(ENDINGS)


def _workbook(content: IO[bytes], most: int | None, fits: Fits) -> Unpacked:
    """The sheet of a workbook that fits; if none does, the one with most rows."""
    import python_calamine as calamine  # for who has workbooks alone

    texts: dict[str, io.BufferedReader] = {}
    sizes: dict[str, int] = {}
    try:
        book = calamine.CalamineWorkbook.from_filelike(content)
        for sheet in book.sheets_metadata:
            shown = sheet.visible == calamine.SheetVisibleEnum.Visible
            if shown and sheet.typ == calamine.SheetTypeEnum.WorkSheet:
                rows = book.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False)
                if rows:
                    texts[sheet.name] = _kept(_csv_lines(rows), most)
                    sizes[sheet.name] = len(rows)
        if not texts:
            raise DataError("is a workbook without a row")
        found = [name for name, text in texts.items() if fits(text)]
        if len(found) > 1:
            raise DataError(f"has clients in several sheets ({', '.join(found)}): leave one in it")
        name = found[0] if found else max(texts, key=sizes.__getitem__)
        of = f" of {', '.join(texts)}" if len(texts) > 1 else ""
        texts[name].seek(0)
        return Unpacked(texts.pop(name), f"sheet {name!r}{of} in a workbook", typed=True)
    except calamine.CalamineError as error:  # a password, too
        raise DataError(f"is a workbook that cannot be read: {error}") from None
    finally:
        for text in texts.values():
            text.close()


def _parquet_lines(content: IO[bytes]) -> Iterator[bytes]:
    if not find_spec("pyarrow"):
        raise DataError("is Parquet, which takes the package pyarrow: install it, or export CSV")
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(content)
        yield from _csv_lines([file.schema_arrow.names])
        for batch in file.iter_batches():
            yield from _csv_lines(zip(*(column.to_pylist() for column in batch), strict=True))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"is Parquet that cannot be read: {error}") from None


def _csv_lines(rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Rows of typed values as CSV, a line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([_text(value) for value in row])
        if text.tell() > 1 << 20:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _text(value: object) -> str:
    """A cell as CSV would have it: whole numbers without `.0`, days in ISO's form."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _WHOLE else repr(value)
    if isinstance(value, datetime):
        return (value.date() if value.time() == time() else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    return " ".join(str(value).splitlines())
