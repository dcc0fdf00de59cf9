"""Client tables to try: texts that are none, with the reason each is refused for, and odd ones."""

import gzip
import io
import zipfile

from sandbox import HEADER, client_rows

ROWS = client_rows(1000, 20)
PLAIN = "\n".join([HEADER, *ROWS]) + "\n"
NEEDED = ", ".join(HEADER.split(",")[:-1])
NO_HEADER = f"has no header line: expected {NEEDED}; found "
CHECK = "; python ingestion.py --check FILE proposes a schema"


OTHER = '; if it is another encoding, say "format": {"encoding": "…"} in config.json'


def zipped(*texts: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.mkdir("__MACOSX")
        archive.writestr("__MACOSX/._clients0.csv", "\0")
        archive.writestr("readme.md", "not this")
        for i, text in enumerate(texts):
            archive.writestr(f"clients{i}.csv", text)
    return target.getvalue()


def without(column: str) -> str:
    lines = [HEADER, *ROWS]
    keep = [i for i, name in enumerate(HEADER.split(",")) if name != column]
    return "".join(",".join(line.split(",")[i] for i in keep) + "\n" for line in lines)


HEADERS = {
    "empty": ("", "is empty; expected a header line and rows"),
    "blank lines only": ("\n\r\n   \n", "is empty; expected a header line and rows"),
    "commas only": (",,,,\n,,,,\n", "is empty; expected a header line and rows"),
    "a byte-order mark only": ("\ufeff", "is empty; expected a header line and rows"),
    "header only": (f"{HEADER}\n", "has a header and no rows below it"),
    "header, blank rows": (f"{HEADER}\n\n,,,,\n", "has a header and no rows below it"),
    "no header": ("\n".join(ROWS), NO_HEADER + ROWS[0].replace(",", ", ") + CHECK),
    "other columns": ("name,age\nacme,3\n", f"{NO_HEADER}name, age{CHECK}"),
    "one column missing": (
        without("number_of_employees"),
        "lacks the column number_of_employees; it has corporation, lastmonth_activity,"
        f" lastyear_activity, exited{CHECK}",
    ),
    "two columns missing": (
        "corporation,lastyear_activity\nacme,1\n",
        "lacks the column lastmonth_activity, number_of_employees;"
        f" it has corporation, lastyear_activity{CHECK}",
    ),
    "a misspelt outcome": (
        PLAIN.replace("exited", "exitted"),
        "lacks the column exited and has exitted: if that is the outcome, name it so",
    ),
    "a letter that looks like another": (
        PLAIN.replace("corporation", "c\u043erporation"),
        "lacks the column corporation; it has c\\u043erporation, lastmonth_activity,"
        f" lastyear_activity, number_of_employees, exited{CHECK}",
    ),
    "sorted with its header": (
        "\n".join([*ROWS, HEADER, *ROWS, ""]),
        "has rows above its header, which is line 21",
    ),
    "a column twice": (f"{HEADER},exited\n", "has the column exited more than once"),
    "two columns twice": (
        f"{HEADER},exited,corporation\n",
        "has the column corporation, exited more than once",
    ),
    "two byte-order marks": (
        f"\ufeff\ufeff{PLAIN}",
        "lacks the column corporation; it has \\ufeffcorporation, lastmonth_activity,"
        f" lastyear_activity, number_of_employees, exited{CHECK}",
    ),
    "a header over two lines": (
        '"corp\noration",exited\nacme,1\n',
        f"{NO_HEADER}corp{CHECK}",
    ),
    "a header that forges the log": (
        '"x\n2026-01-01T00:00:00Z INFO ingestion: all is well",y\n1,2\n',
        f"{NO_HEADER}x{CHECK}",
    ),
    "10,000 other columns": (
        ",".join(f"c{i}" for i in range(10_000)) + "\n" + ",".join("1" * 10_000) + "\n",
        f"{NO_HEADER}c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 and 9,988 more{CHECK}",
    ),
    "a long column": ("x" * 100_000, f"{NO_HEADER}{'x' * 40}…{CHECK}"),
    "a longer column": ("x" * 200_000 + "\n", f"{NO_HEADER}{'x' * 40}…{CHECK}"),
    "a web page": ("<!DOCTYPE html>\n<html>\n", "is a web page: save it as CSV or as a workbook"),
    "many columns beside an outcome": (
        "corporation,exited,a,b,c\nacme,1,2,3,4\n",
        f"lacks the column {NEEDED.partition(', ')[2]}; it has corporation, exited, a, b, c{CHECK}",
    ),
    "json": ('{"corporation": "acme"}\n', f'{NO_HEADER}{{"corporation": "acme"}}{CHECK}'),
}
ENCODINGS = {
    "gzip that is cut": (
        gzip.compress(PLAIN.encode(), mtime=0)[:-9],
        "is damaged, or packed in a way that is not known: Compressed file ended before the"
        " end-of-stream marker was reached",
    ),
    "two tables in an archive": (
        zipped(PLAIN, PLAIN),
        "is an archive of 2 tables (clients0.csv, clients1.csv); expected one: unpack it",
    ),
    "an archive of none": (
        zipped(),
        "is an archive of 0 tables (none); expected one: unpack it",
    ),
    "two encodings": (
        f"{PLAIN}Köln,1,2,3,0\n".encode() + "Café,1,2,3,0\n".encode("latin-1"),
        f"is not UTF-8: byte 0xe9 in line 23{OTHER}",
    ),
    "two encodings, the other way round": (
        f"{PLAIN}Café,1,2,3,0\n".encode("latin-1") + "Köln,1,2,3,0\n".encode(),
        f"is neither UTF-8 nor Windows-1252: byte 0xc3 in line 23{OTHER}",
    ),
    "a surrogate": (
        f"{PLAIN}a".encode() + b"\xed\xa0\x80,1,2,3,0\n",
        f"is neither UTF-8 nor Windows-1252: byte 0xed in line 22{OTHER}",
    ),
    "a byte of no text": (
        f"{PLAIN}a".encode() + b"\x81,1,2,3,0\n",
        f"is neither UTF-8 nor Windows-1252: byte 0x81 in line 22{OTHER}",
    ),
    "a NUL byte": (
        f"{PLAIN}a\0b,1,2,3,0\n",
        "holds binary content in line 22; expected CSV text",
    ),
    "NUL bytes only": ("\0" * 5000, "holds binary content in line 1; expected CSV text"),
    "an old spreadsheet": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500,
        "is a workbook that cannot be read: Cannot detect file format",
    ),
    "a picture": (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "holds binary content in line 3; expected CSV text",
    ),
}
QUOTES = {
    "in the header": (f'"{PLAIN}', f"{NO_HEADER}corporation,lastmonth_activity,lastyear_…{CHECK}"),
    "a 10 MB line": (
        f"{PLAIN}{'x' * 10_000_000},1,2,3,0\n",
        "has a row of more than 1,000,000 characters, which begins in line 22",
    ),
    "a 10 MB header": (
        "x" * 10_000_000,
        "has a row of more than 1,000,000 characters, which begins in line 1",
    ),
    "a line of 5,000,000 commas": (
        f"{PLAIN}{',' * 5_000_000}\n",
        "has a row of more than 1,000,000 characters, which begins in line 22",
    ),
    "one row of 10 MB over many lines": (
        PLAIN + '"' + '","\n' * 2_500_000,
        "has too many bad rows: more than 100,000 (line 100022: has 1 fields where the header"
        " has 5)",
    ),
    "three bad rows in ten": (
        "\n".join([HEADER, *ROWS[:7], "a,x,2,3,0", "b", ",1,2,3,0"]),
        "has too many bad rows: 3 of 10, more than a tenth (line 9: lastmonth_activity 'x' is not"
        " a number; line 10: has 1 fields where the header has 5; line 11: corporation '' is"
        " empty; expected a name)",
    ),
    "a bad value over lines": (
        f'{HEADER}\nacme,"1\n2026-01-01T00:00:00Z INFO all is well",2,3,0\n',
        "has too many bad rows: 1 of 1, more than a tenth (line 2: lastmonth_activity"
        " '1\\n2026-01-01T00:00:00Z INFO all is well' is not a number)",
    ),
}
FAULTS: dict[str, tuple[bytes | str, str]] = {**HEADERS, **ENCODINGS, **QUOTES}


def wide(line: str) -> str:
    """A row among 10,000 columns, its own ones far apart."""
    cells = ["x" if line is HEADER else "1"] * 10_000
    cells[:: len(cells) // 5] = line.split(",")
    return ",".join(cells)


# and texts that are one, however odd, each with the rows above
FINE: dict[str, bytes | str] = {
    "byte-order mark": "\ufeff" + PLAIN,
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CR": PLAIN.replace("\n", "\r"),
    "mixed line ends": PLAIN.replace("\n", "\r\n", 3).replace("0\n", "0\r", 5),
    "no last line end": PLAIN[:-1],
    "everything quoted": "".join(
        ",".join(f'"{value}"' for value in line.split(",")) + "\n" for line in [HEADER, *ROWS]
    ),
    "blank lines": PLAIN.replace("\n", "\n\n  \n"),
    "rows of nothing but commas below": PLAIN + ",,,,\n" * 500,
    "spaces around everything": PLAIN.replace(",", " ,\t ").replace("\n", "  \n"),
    "more columns": "".join(f"{line},note\n" for line in [HEADER, *ROWS]),
    "more columns, one of them twice": "".join(f"x,{line},x\n" for line in [HEADER, *ROWS]),
    "columns in another order": "".join(
        ",".join(reversed(line.split(","))) + "\n" for line in [HEADER, *ROWS]
    ),
    "10,000 columns": "".join(f"{wide(line)}\n" for line in [HEADER, *ROWS]),
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "semicolons, and it says so": "sep=;\n" + PLAIN.replace(",", ";"),
    "capitals and spaces in the header": PLAIN.replace(HEADER, HEADER.replace("_", " ").upper(), 1),
    "a title and a remark above": f'Clients, ,,,\nas of "today\n\n{PLAIN}',
    "a comma after each row": PLAIN.replace("\n", ",\n").replace("exited,", "exited"),
    "gzip": gzip.compress(PLAIN.encode(), mtime=0),
    "an archive": zipped(PLAIN),
    "UTF-16 LE": b"\xff\xfe" + PLAIN.encode("utf-16-le"),
    "UTF-16 BE": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "UTF-16 LE without a mark": PLAIN.encode("utf-16-le"),
    "UTF-16 BE without a mark": PLAIN.encode("utf-16-be"),
    "numbers with a fraction": PLAIN.replace(",1\n", ",1.0\n").replace(",0\n", ",0.0\n"),
}
