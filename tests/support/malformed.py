"""Client tables that went wrong on their way, made at random from one that is right."""

from random import Random

from hypothesis import strategies as st
from sandbox import HEADER, client_rows

TABLE = [HEADER.split(","), *[row.split(",") for row in client_rows(1000, 30)]]
TABLE[-4] = ['"Acme, Inc."', "1", "2", "3", "0"]
TABLE[-3] = ['"The ""Best"" Ltd"', "", "1.5", "3", ""]
TABLE[-2] = ["Größe & Söhne 株式会社", "1e3", " 2 ", "na", "yes"]
TABLE[-1] = ['"two\nlines"', "-1", "0.25", "", "no"]

JUNK = ["", " ", "1e400", "nan", "1_000", "0x10", "1,000", "2026-01-31", "=1+1", "maybe", "1.0"]
JUNK += ['"', '"a', "\0", "é", '"a\nb"', "," * 20, "9" * 400, "1" * 5000 + "x", "\u0661\u0662"]
INSERTED = ['"', '""', '","', '"\n', "'", "\0", "\n", "\r", "\r\n", ",", ",,,,", ";", "\t", "="]
INSERTED += ["\ufeff", "\u2028", "\x85", "\x1a", "é", "x" * 200_000, f"\n{HEADER}\n", '\n"x"y\n']
ENCODINGS = ["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "utf-7"]
LINE_ENDS = ["\r\n", "\r", "\n\n", "\n\r", ""]


@st.composite
def malformed(draw: st.DrawFn) -> bytes:
    """The table after some changes to its cells and some to its bytes."""
    cells = [list(row) for row in TABLE]
    for _ in range(draw(st.integers(0, 5))):
        _change_cells(draw, cells)
    content = "".join(",".join(row) + "\n" for row in cells).encode()
    for _ in range(draw(st.integers(0, 3))):
        content = _changed_bytes(draw, content)
    return content


def _change_cells(draw: st.DrawFn, cells: list[list[str]]) -> None:
    row = draw(st.sampled_from(cells))
    at = draw(st.integers(0, len(row)))
    way = draw(st.sampled_from(["junk"] * 5 + ["text", "more", "fewer", "header", "columns"]))
    if way == "junk":
        row[at : at + 1] = [draw(st.sampled_from(JUNK))]
    elif way == "text":
        row[at : at + 1] = [draw(st.text(st.characters(codec="utf-8"), max_size=30))]
    elif way == "more":
        row.insert(at, draw(st.sampled_from(JUNK)))
    elif way == "fewer":
        del row[at : at + 1]
    else:
        seed = draw(st.integers(0, 99))
        for each in cells if way == "columns" else cells[:1]:
            Random(seed).shuffle(each)


def _changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    ways = ["flip", "cut", "insert", "insert", "bytes", "delete", "repeat", "encode", "ends"]
    way = draw(st.sampled_from(ways))
    at, some = draw(st.integers(0, len(content))), draw(st.integers(1, 255))
    before, after = content[:at], content[at:]
    if way == "flip":
        return before + bytes(byte ^ some for byte in after[:1]) + after[1:]
    if way == "cut":
        return before
    if way == "insert":
        return before + draw(st.sampled_from(INSERTED)).encode() + after
    if way == "bytes":
        return before + draw(st.binary(min_size=1, max_size=20)) + after
    if way == "delete":
        return before + after[some:]
    if way == "repeat":
        return before + after[:some] + after
    if way == "ends":
        return content.replace(b"\n", draw(st.sampled_from(LINE_ENDS)).encode())
    encoding = draw(st.sampled_from(ENCODINGS))
    return content.decode(errors="replace").encode(encoding, errors="replace")
