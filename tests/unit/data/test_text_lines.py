"""The lines of a text, in any encoding."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.data import text_lines as module
from pipeline.data.text_lines import Lines, NotUtf8Error


def lines_of(content: bytes) -> Lines:
    return Lines(io.BufferedReader(io.BytesIO(content)))


def all_lines(content: bytes) -> list[str]:
    text = lines_of(content)
    found = [*iter(text.line, "")]
    assert text.taken == len(found)
    return found


@pytest.fixture(params=[1, 3, 1 << 20])
def _any_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", request.param)


@given(st.text(alphabet="ab\r\n\x85\u2028é🙂", max_size=30), st.integers(1, 7))
def test_any_text_is_taken_as_python_reads_it(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        for mark in (b"", b"\xef\xbb\xbf"):
            assert all_lines(mark + text.encode()) == list(io.StringIO(text, newline=None))


@pytest.mark.usefixtures("_any_block")
@pytest.mark.parametrize(
    ("content", "byte", "line"),
    [
        (b"\xef\xbb\xbfabc\n\x80", "80", 2),
        ("é\n".encode() * 9 + b"\xc3(\n", "c3", 10),
    ],
)
def test_a_wrong_byte_is_reported_with_its_line(content: bytes, byte: str, line: int) -> None:
    with pytest.raises(DataError, match=f"^is not UTF-8: byte 0x{byte} in line {line};"):
        all_lines(content)


@pytest.mark.usefixtures("_any_block")
@pytest.mark.parametrize(
    ("content", "text", "line"),
    [
        (b"\xff", "\xff", 1),
        (b"abc\ndef\nx\xe9y\n", "abc\ndef\nx\xe9y\n", 3),
        (b"a\r\n\x80\r\n\xe9", "a\n\u20ac\n\xe9", 2),
        (b"Nescaf\xe9\xae\nCaf\xe9\x92s\n", "Nescaf\xe9\xae\nCaf\xe9\u2019s\n", 1),
    ],
)
def test_what_is_ascii_up_to_the_first_other_byte_is_windows_1252(
    content: bytes, text: str, line: int
) -> None:
    with pytest.raises(NotUtf8Error) as caught:
        all_lines(content)
    lines = Lines(io.BufferedReader(io.BytesIO(content)), windows_line=caught.value.line)
    assert "".join(iter(lines.line, "")) == text
    assert lines.note == f"read as Windows-1252, for it is not UTF-8 in line {line}"


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [
        (b"\xef\xbb\xbfa\xc3\xa9", "latin-1", "a\xe9"),
        (b"\xff\xfea\0", "utf-8", "a"),
        (b"a\0\xe9\0", "utf-16", "a\xe9"),
        (b"\xa4", "iso8859-15", "\u20ac"),
    ],
)
def test_a_mark_says_more_than_the_config(content: bytes, encoding: str, text: str) -> None:
    assert Lines(io.BufferedReader(io.BytesIO(content)), encoding).line() == text


def test_lines_are_taken_in_batches_and_put_back() -> None:
    text = lines_of(b"a\r\nbc\r\nd\r\ne")
    assert (text.batch(4), text.taken) == ("a\n", 1)
    text.put_back("a\n")
    assert (text.batch(99), text.taken) == ("a\nbc\nd\n", 3)
    assert (text.batch(99), text.line(), text.line()) == ("", "e", "")


def test_a_line_without_end_is_given_up() -> None:
    with pytest.raises(
        DataError, match=r"^has a row of more than 1,000,000 characters, which begins"
    ):
        lines_of(b"x" * 5_000_000).line()
