import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.data import lines as module
from pipeline.data.lines import Lines

NEVER, SMALL = re.compile(r"(?!)"), re.compile(r"(?:[a-z]*+\n)*+")


def lines(content: bytes) -> Lines:
    return Lines(io.BufferedReader(io.BytesIO(content)))


def all_lines(content: bytes, pattern: re.Pattern[str] = NEVER) -> list[str]:
    text, found = lines(content), []
    while True:
        run = text.run(pattern)
        found += re.findall(r"[^\n]*\n", run)
        if not (line := text.line()):
            assert text.taken == len(found)
            return found
        found.append(line)


@pytest.fixture(params=[1, 2, 3, 7, 1 << 20])
def _any_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", request.param)


@pytest.mark.usefixtures("_any_block")
@pytest.mark.parametrize("pattern", [NEVER, SMALL])
@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a\n", "a\nb", "\n\n", "a\r\nb\r\n", "a\rb\r", "a\r\n\rb\n\r\n", "\r"),
        *("größe\n🙂\n", "a\x85b\u2028c\n", "a\n\nB\nc\n" * 5),
    ],
)
def test_a_text_is_taken_as_python_reads_it(text: str, pattern: re.Pattern[str]) -> None:
    assert all_lines(text.encode(), pattern) == list(io.StringIO(text, newline=""))
    assert all_lines(b"\xef\xbb\xbf" + text.encode(), pattern) == all_lines(text.encode(), NEVER)


@given(st.text(alphabet="ab\r\n\x85é🙂", max_size=30), st.integers(1, 5))
def test_any_text_is_taken_as_python_reads_it(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        for pattern in (NEVER, SMALL):
            assert all_lines(text.encode(), pattern) == list(io.StringIO(text, newline=""))


@pytest.mark.usefixtures("_any_block")
@pytest.mark.parametrize(
    ("content", "whole", "byte", "line"),
    [
        (b"\xff", 0, "ff", 1),
        (b"abc\ndef\nx\xe9y\n", 2, "e9", 3),
        (b"abc\n\xc3", 1, "c3", 2),
        (b"\xef\xbb\xbfabc\n\x80", 1, "80", 2),
        ("é\n".encode() * 9 + b"\xc3(\n", 9, "c3", 10),
    ],
)
def test_the_first_wrong_byte_is_told_after_the_lines_before_it(
    content: bytes, whole: int, byte: str, line: int
) -> None:
    text = lines(content)
    for _ in range(whole):
        assert text.line().endswith("\n")
    with pytest.raises(DataError) as caught:
        text.line()
    assert str(caught.value) == f"is not UTF-8: byte 0x{byte} in line {line}"


def test_a_run_ends_where_the_pattern_does() -> None:
    text = lines(b"a\nb\nC\nd\n")
    assert text.run(SMALL) == "a\nb\n"
    assert text.run(SMALL) == ""
    assert (text.line(), text.taken) == ("C\n", 3)
    assert (text.run(SMALL), text.taken) == ("d\n", 4)
    assert text.run(SMALL) == text.line() == ""


def test_a_line_without_end_is_given_in_pieces() -> None:
    text = lines(b"x" * 5_000_000)
    assert module.LONGEST_ROW < len(text.line()) < 3_000_000
