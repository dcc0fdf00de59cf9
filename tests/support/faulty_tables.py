"""Client tables to try: texts that are none, with the reason each is refused for, and odd ones."""

import gzip
import io
import zipfile

from sandbox import HEADER, client_rows

ROWS = client_rows(1000, 20)
PLAIN = "\n".join([HEADER, *ROWS]) + "\n"
NO_HEADER = f"has no header line: expected {HEADER.replace(',', ', ')}; found "
COLUMNS = HEADER.replace(",", ", ")


def zipped(text: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("clients.csv", text)
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
    "no header": ("\n".join(ROWS), NO_HEADER + ROWS[0].replace(",", ", ")),
    "other columns": ("name,age\nacme,3\n", f"{NO_HEADER}name, age"),
    "capitals": (PLAIN.upper(), NO_HEADER + COLUMNS.upper()),
    "one column missing": (
        without("exited"),
        "lacks the column exited; it has corporation, lastmonth_activity, lastyear_activity,"
        " number_of_employees",
    ),
    "three columns missing": (
        "corporation,lastyear_activity\nacme,1\n",
        "lacks the column lastmonth_activity, number_of_employees, exited;"
        " it has corporation, lastyear_activity",
    ),
    "a misspelt column": (
        PLAIN.replace("exited", "exitted"),
        "lacks the column exited; it has corporation, lastmonth_activity, lastyear_activity,"
        " number_of_employees, exitted",
    ),
    "a column twice": (f"{HEADER},exited\n", "has the column exited more than once"),
    "two columns twice": (
        f"{HEADER},exited,corporation\n",
        "has the column corporation, exited more than once",
    ),
    "two byte-order marks": (
        f"\ufeff\ufeff{PLAIN}",
        "lacks the column corporation; it has '\\ufeffcorporation', lastmonth_activity,"
        " lastyear_activity, number_of_employees, exited",
    ),
    "a header over two lines": (
        '"corp\noration",exited\nacme,1\n',
        "lacks the column corporation, lastmonth_activity, lastyear_activity,"
        " number_of_employees; it has 'corp\\noration', exited",
    ),
    "a header that forges the log": (
        '"x\n2026-01-01T00:00:00Z INFO ingestion: all is well",y\n1,2\n',
        f"{NO_HEADER}'x\\n2026-01-01T00:00:00Z INFO ingestion: a…', y",
    ),
    "semicolons": (PLAIN.replace(",", ";"), "is separated by ';'; expected commas"),
    "tabs": (PLAIN.replace(",", "\t"), "is separated by '\\t'; expected commas"),
    "bars": (PLAIN.replace(",", "|"), "is separated by '|'; expected commas"),
    "10,000 other columns": (
        ",".join(f"c{i}" for i in range(10_000)) + "\n" + ",".join("1" * 10_000) + "\n",
        f"{NO_HEADER}c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 and 9,988 more",
    ),
    "a long column": ("x" * 100_000, f"{NO_HEADER}{'x' * 40}…"),
    "a web page": ("<!DOCTYPE html>\n<html>\n", f"{NO_HEADER}<!DOCTYPE html>"),
    "json": ('{"corporation": "acme"}\n', f'{NO_HEADER}{{"corporation": "acme"}}'),
}
ENCODINGS = {
    "gzip": (
        gzip.compress(PLAIN.encode(), mtime=0),
        "is compressed with gzip; expected plain CSV text",
    ),
    "zip": (zipped(PLAIN), "is a zip archive or spreadsheet; expected plain CSV text"),
    "UTF-16 LE": (b"\xff\xfe" + PLAIN.encode("utf-16-le"), "is UTF-16; expected UTF-8"),
    "UTF-16 BE": (b"\xfe\xff" + PLAIN.encode("utf-16-be"), "is UTF-16; expected UTF-8"),
    "UTF-16 LE without a mark": (
        PLAIN.encode("utf-16-le"),
        "holds binary content in line 1; expected CSV text",
    ),
    "UTF-16 BE without a mark": (
        PLAIN.encode("utf-16-be"),
        "holds binary content in line 1; expected CSV text",
    ),
    "Latin-1": (
        f"{PLAIN}Café,1,2,3,0\n".encode("latin-1"),
        "is not UTF-8: byte 0xe9 in line 22",
    ),
    "Latin-1 far down": (
        "\n".join([HEADER, *client_rows(0, 3000), "Café,1,2,3,0\n"]).encode("latin-1"),
        "is not UTF-8: byte 0xe9 in line 3002",
    ),
    "Latin-1 with CRLF": (
        f"{PLAIN}Café,1,2,3,0\n".replace("\n", "\r\n").encode("latin-1"),
        "is not UTF-8: byte 0xe9 in line 22",
    ),
    "a letter cut in half": (
        f"{PLAIN}Café".encode()[:-1],
        "is not UTF-8: byte 0xc3 in line 22",
    ),
    "a surrogate": (
        f"{PLAIN}a".encode() + b"\xed\xa0\x80,1,2,3,0\n",
        "is not UTF-8: byte 0xed in line 22",
    ),
    "a NUL byte": (
        f"{PLAIN}a\0b,1,2,3,0\n",
        "holds binary content in line 22; expected CSV text",
    ),
    "NUL bytes only": ("\0" * 5000, "holds binary content in line 1; expected CSV text"),
    "an old spreadsheet": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500,
        "is not UTF-8: byte 0xd0 in line 1",
    ),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not UTF-8: byte 0x89 in line 1"),
}
QUOTES = {
    "a quote that never closes": (
        f'{PLAIN}"acme,1,2,3,0\n{PLAIN}',
        "has a quote in line 22 that never closes",
    ),
    "in the header": (f'"{PLAIN}', "has a quote in line 1 that never closes"),
    "at the very end": (f'{PLAIN}"', "has a quote in line 22 that never closes"),
    "a quote that never closes in a large file": (
        "\n".join([HEADER, '"acme,1,2,3,0', *client_rows(0, 20_000)]),
        "has a quote in line 2 that never closes",
    ),
    "a quote that closes lines below": (
        f'{PLAIN}"acme,1,2,3,0\n{ROWS[0]}\nb",1,2,3,0,9\n',
        "has a quote in line 22 that closes in another line",
    ),
    "text after a quote": (
        f'{PLAIN}"acme" Ltd,1,2,3,0\n',
        "has a quote in line 22 where none is allowed (',' expected after '\"')",
    ),
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
    "a long field": (
        f"{PLAIN}{'x' * 200_000},1,2,3,0\n",
        "has a field of more than 131,072 characters in line 22",
    ),
    "one row of 10 MB over many lines": (
        PLAIN + '"' + '","\n' * 2_500_000,
        "has a row of more than 1,000,000 characters, which begins in line 22",
    ),
    "three bad rows in ten": (
        "\n".join([HEADER, *ROWS[:7], "a,x,2,3,0", "b,1", ",1,2,3,0"]),
        "has too many bad rows: 3 of 10, more than a tenth (line 9: lastmonth_activity 'x' is not"
        " a number; line 10: has 2 fields where the header has 5; line 11: corporation '' is"
        " empty; expected a name)",
    ),
    "a comma after each row": (
        PLAIN.replace("\n", ",\n").replace("exited,", "exited"),
        "has too many bad rows: 20 of 20, more than a tenth (line 2: has 6 fields where the header"
        " has 5; line 3: has 6 fields where the header has 5; line 4: has 6 fields where the"
        " header has 5)",
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
FINE = {
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
    "numbers with a fraction": PLAIN.replace(",1\n", ",1.0\n").replace(",0\n", ",0.0\n"),
}
