"""Workbooks, archives and Parquet as the text of a table."""

import io
import zipfile
from datetime import date, datetime
from decimal import Decimal
from itertools import count

import pytest
from tables import read

from pipeline.core.errors import DataError
from pipeline.core.schema import Format, Schema
from pipeline.data.unpacking import unpacked

SCHEMA = Schema("id", "left", ("n",), ("plan",))
PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
    "xl/styles.xml": '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>',
}
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def cell(value: object) -> str:
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, date):
        return f'<c s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, int | float):
        return f"<c><v>{value}</v></c>"
    return "<c/>" if value is None else f'<c t="inlineStr"><is><t>{value}</t></is></c>'


def workbook(**sheets: list[list[object]]) -> bytes:
    """An Excel workbook; a sheet whose name begins with `hidden` is."""
    target, parts = io.BytesIO(), dict(PARTS)
    names, relations = "", ""
    for number, (name, rows) in zip(count(1), sheets.items(), strict=False):
        hidden = ' state="hidden"' if name.startswith("hidden") else ""
        names += f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"{hidden}/>'
        relations += (
            f'<Relationship Id="r{number}" Type="{OFFICE}/worksheet"'
            f' Target="worksheets/sheet{number}.xml"/>'
        )
        lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{MAIN}"><sheetData>{lines}</sheetData></worksheet>'
        )
    parts["xl/workbook.xml"] = (
        f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{names}</sheets></workbook>'
    )
    parts["xl/_rels/workbook.xml.rels"] = (
        f'<Relationships xmlns="{RELATIONS}">{relations}<Relationship Id="s"'
        f' Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>'
    )
    parts["_rels/.rels"] = (
        f'<Relationships xmlns="{RELATIONS}"><Relationship Id="r" Type="{OFFICE}/officeDocument"'
        ' Target="xl/workbook.xml"/></Relationships>'
    )
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0"?>{text}')
    return target.getvalue()


def test_the_first_sheet_with_rows_is_read_as_if_it_were_text() -> None:
    rows: list[list[object]] = [
        ["Export of clients"],
        ["id", "n", "plan", "left", "since"],
        [410007, 1.5, "a, b", True, date(2026, 1, 31)],
        ["0012", 7.0, None, False, None],
        ["x", None, "two\nlines", None, None],
    ]
    found = read(workbook(hidden=[["id"]], empty=[], clients=rows), SCHEMA)
    assert found.good == ['410007,1.5,"a, b",1', "0012,7,,0", "x,,two lines,"]
    assert found.notes == [
        "the header is line 2",
        "sheet 'clients' in a workbook",
    ]


def test_the_sheet_with_the_columns_is_read_and_two_are_refused() -> None:
    header: list[object] = ["id", "n", "plan", "left"]
    cover: list[list[object]] = [["Report of clients"], ["by", "Ada"]]
    found = read(workbook(cover=cover, data=[header, [1, 2, "a", 0]], notes=cover), SCHEMA)
    assert found.good == ["1,2,a,0"]
    assert found.notes == ["sheet 'data' of cover, data, notes in a workbook"]
    unknown = Schema("no", "gone", ("nothing",))
    with pytest.raises(DataError, match=r"; found a, b; "):
        read(workbook(cover=[["x"]], data=[["a", "b"], [1, 2]]), unknown)
    with pytest.raises(DataError, match=r"^has clients in several sheets \(y1, y2\): leave one"):
        read(workbook(y1=[header, [1, 2, "a", 0]], y2=[header, [3, 2, "a", 0]]), SCHEMA)


def test_typed_values_are_not_read_by_the_format_of_texts() -> None:
    form = Format("latin-1", ";", ",", ".", "%d.%m.%Y")
    schema = Schema("id", "left", ("n",), ("plan",), date="day", format=form)
    header: list[object] = ["id", "n", "plan", "left", "day"]
    row: list[object] = ["Müller", 1.125, "a", 0, date(2026, 1, 31)]
    assert read(workbook(a=[header, row]), schema).good == ["Müller,2026-01-31,1.125,a,0"]


@pytest.mark.parametrize(
    ("place", "sheets"),
    [
        ('<row><c r="XFD1048576"', "worksheets"),
        ("<row><c r = 'xfd1048576'", "worksheets"),
        ('<row><c r="A4999999999992"', "worksheets"),
        ('<row r="999999999"><c', "worksheets"),
        ('<row><c r="XFD1048576"', "elsewhere"),
    ],
)
def test_a_cell_far_from_all_others_is_refused(place: str, sheets: str) -> None:
    content = workbook(a=[["id", "n", "plan", "left"]])
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            text = old.read(name).replace(b"<row><c", place.encode(), 1)
            text = text.replace(b"worksheets/", f"{sheets}/".encode())
            new.writestr(name.replace("worksheets/", f"{sheets}/"), text)
    with pytest.raises(DataError, match=r"^is a workbook with a cell far from all others"):
        read(target.getvalue(), SCHEMA)


@pytest.mark.parametrize("damage", [(b"PK\x01\x02", 6, 99), (b"PK\x01\x02", 8, 32)], ids=str)
def test_an_archive_with_a_damaged_list_is_refused(damage: tuple[bytes, int, int]) -> None:
    target, (mark, offset, value) = io.BytesIO(), damage
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.csv", "id,n,plan,left\n1,2,a,0\n")
    content = bytearray(target.getvalue())
    content[content.index(mark) + offset] = value
    with pytest.raises(DataError, match=r"^is damaged, or packed in a way that is not known"):
        read(bytes(content), SCHEMA)


def test_an_archive_may_hold_a_workbook_and_is_packed_as_archives_are() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.xlsx", workbook(a=[["id", "n", "plan", "left"], [1, 2, "a", 0]]))
    assert read(target.getvalue(), SCHEMA).good == ["1,2,a,0"]
    with zipfile.ZipFile(target := io.BytesIO(), "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.csv", "id,n,plan,left\n1,2,a,0\n")
    with pytest.raises(
        DataError, match=r"^is an archive with a password, or packed in a rare way: unpack it$"
    ):
        read(target.getvalue(), SCHEMA)


def test_a_workbook_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match=r"^is a workbook without a row$"):
        read(workbook(a=[]), SCHEMA)


def test_a_packed_text_has_a_limit() -> None:
    content = workbook(a=[["id", "n", "plan", "left"], *[[i, 1, "a", 0] for i in range(100)]])
    with pytest.raises(DataError, match=r"^is a workbook of more than 500 bytes$"):
        unpacked(io.BufferedReader(io.BytesIO(content)), 500)
    with pytest.raises(DataError, match=r"^is packed, as a workbook or archive is; expected"):
        unpacked(io.BufferedReader(io.BytesIO(content)), 0)
    for text in (b"PK_ID,n\n", b"PAID,n\n"):
        assert unpacked(io.BufferedReader(io.BytesIO(text)), 0)[1] == ""


@pytest.mark.spark  # which brings pyarrow
def test_parquet_is_read_as_if_it_were_text() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "id": [1, 2, 3],
        "n": [1.5, None, 2e20],
        "plan": ["a", None, "b"],
        "left": [True, False, None],
        "day": [date(2026, 1, 31), None, None],
        "at": [datetime(2026, 1, 31, 9), None, None],
        "d": [Decimal("1.50"), None, None],
    }
    target = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), target)
    assert read(target.getvalue(), SCHEMA).good == ["1,1.5,a,1", "2,,,0", "3,2e+20,b,"]
    with pytest.raises(DataError, match=r"^is Parquet that cannot be read: "):
        read(target.getvalue()[:-20], SCHEMA)
