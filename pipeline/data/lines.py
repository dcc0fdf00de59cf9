"""The text of a CSV file, read block by block and taken in long runs or line by line."""

import codecs
import io
import re

from pipeline.core.errors import DataError

BLOCK = 1 << 20  # bytes read at a time
LONGEST_ROW = 1_000_000  # characters, over all its lines

_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)")
_OTHER_FORMATS = {
    b"\x1f\x8b": "is compressed with gzip; expected plain CSV text",
    b"PK\x03\x04": "is a zip archive or spreadsheet; expected plain CSV text",
    b"\xff\xfe": "is UTF-16; expected UTF-8",
    b"\xfe\xff": "is UTF-16; expected UTF-8",
}


class Lines:
    """The lines of a UTF-8 text, with or without a byte-order mark, from the first to the last.

    Raises `DataError` if it begins like another format, and at the first byte that is not UTF-8,
    after all lines before it.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self.taken = 0  # lines so far
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at = "", 0
        self._ended = False
        self._wrong_byte: int | None = None
        head = stream.peek(4)[:4]
        for magic, what in _OTHER_FORMATS.items():
            if head.startswith(magic):
                raise DataError(what)

    def run(self, rows: re.Pattern[str]) -> str:
        """Take whole lines from here on for as long as the pattern matches; perhaps none."""
        if self._at == len(self._text):
            self._read()
        if not (match := rows.match(self._text, self._at)):
            return ""
        self._at = match.end()
        self.taken += match[0].count("\n")
        return match[0]

    def line(self) -> str:
        """Take one line, with its end; empty after the last.

        Of a line longer than `LONGEST_ROW`, somewhat more than that.
        """
        while True:
            match = _LINE.match(self._text, self._at)
            # a block may end between the \r and the \n of one line end
            if match and not (match[0].endswith("\r") and match.end() == len(self._text)):
                break
            if len(self._text) - self._at > LONGEST_ROW or not self._read():
                break
        line = match[0] if match else self._text[self._at :]
        if not line or (not match and self._ended):
            self._refuse_wrong_byte()
        self._at += len(line)
        self.taken += bool(line)
        return line

    def _read(self) -> bool:
        """Read one more block, if there is one."""
        if self._ended:
            return False
        block = self._stream.read(BLOCK)
        self._ended = not block
        try:
            text = self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            text = error.object[: error.start].decode()
            self._wrong_byte, self._ended = error.object[error.start], True
        self._text, self._at = self._text[self._at :] + text, 0
        return True

    def _refuse_wrong_byte(self) -> None:
        if self._wrong_byte is not None:
            raise DataError(f"is not UTF-8: byte 0x{self._wrong_byte:02x} in line {self.taken + 1}")
