"""The lines of a text, from the first to the last, whatever it is encoded in."""

import codecs
import io
import re

from pipeline.core.errors import DataError

BLOCK = 1 << 20  # bytes read at a time
MAX_ROW = 1_000_000  # characters, over all its lines

# letters of UTF-8, which as Windows-1252 hardly make a word
_UTF8 = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HEAD = 4096  # bytes by which an encoding is told
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # which begins as UTF-16 does
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
KEY = '"format": {"encoding": "…"} in config.json'


class NotUtf8Error(Exception):
    """A text is ASCII up to this line, which is not UTF-8: it is to be read as Windows-1252."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def _without_mark(head: bytes) -> str:
    """The encoding that the first bytes of a text let suppose: UTF-16, or else UTF-8."""
    zeros = [part.count(0) / max(1, len(part)) for part in (head[::2], head[1::2])]
    if max(zeros) > 0.3 and min(zeros) < 0.05:  # as of letters without accents
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    return "utf-8"


def _count(text: str) -> int:
    """How many lines a text has; the last one may lack its end."""
    return text.count("\n") + (text[-1:] not in "\n")


class Lines:
    r"""The lines of a text, which all end with `\n`; `note` says its encoding, but for UTF-8.

    That is the one of its mark, or the one given, or found out. `windows_line` is the first line
    of one that has to be Windows-1252, for it is not UTF-8. Raises `DataError` at a byte that the
    encoding has not, and `NotUtf8Error`.
    """

    def __init__(
        self, stream: io.BufferedReader, encoding: str = "", windows_line: int = 0
    ) -> None:
        self.taken = 0  # lines so far
        self._stream, self._windows = stream, bool(windows_line)
        head = stream.peek(_HEAD)[:_HEAD]
        marked = next((code for mark, code in _MARKS.items() if head.startswith(mark)), "")
        found = _without_mark(head)
        if encoding.lower().replace("_", "-") == "utf-16":  # by itself it expects a mark
            encoding = found if found.startswith("utf-16") else "utf-16-le"
        self._given = bool(marked or encoding)
        self.encoding = "cp1252" if windows_line else marked or encoding or found
        self.note = ""
        if windows_line:
            self.note = f"read as Windows-1252, for it is not UTF-8 in line {windows_line:,}"
        elif not self.encoding.startswith("utf-8"):
            self.note = f"read as {self.encoding.upper()}"
        decoder = codecs.getincrementaldecoder(self.encoding)()
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._text, self._at = "", 0
        self._is_ascii, self._ended = True, False  # so far

    def batch(self, size: int) -> str:
        """Take whole lines of up to so many characters; perhaps none."""
        if self._at == len(self._text):
            self._read()
        far = self._at + size
        end = self._text.rfind("\n", self._at, far) + 1 or self._text.find("\n", far) + 1
        return self._take(end) if end else ""

    def line(self) -> str:
        """Take one line, with its end; empty after the last.

        Raises `DataError` where it is longer than `MAX_ROW`, or no text.
        """
        while not (end := self._text.find("\n", self._at) + 1):
            if len(self._text) - self._at > MAX_ROW or not self._read():
                end = len(self._text)
                break
        line = self._take(end)
        if len(line) > MAX_ROW:
            raise DataError(
                f"has a row of more than {MAX_ROW:,} characters, which begins in line {self.taken}"
            )
        if "\0" in line:
            raise DataError(f"holds binary content in line {self.taken}; expected CSV text")
        return line

    def _take(self, end: int) -> str:
        found, self._at = self._text[self._at : end], end
        self.taken += _count(found)
        return found

    def put_back(self, text: str) -> None:
        """Have lines that were taken last be taken again."""
        begin = self._at - len(text)
        if begin >= 0 and self._text.startswith(text, begin):  # as it is unless more was read
            self._at = begin
        else:
            self._text, self._at = text + self._text[self._at :], 0
        self.taken -= _count(text)

    def _read(self) -> bool:
        """Read one more block, if there is one."""
        if self._ended:
            return False
        block = self._stream.read(BLOCK)
        self._ended = not block
        try:
            if self._windows and (utf8 := _UTF8.search(block)):
                raise UnicodeDecodeError("cp1252", block, *utf8.span(), "is UTF-8")
            text = self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            raise self._fault(error) from None
        self._text, self._at = self._text[self._at :] + text, 0
        self._is_ascii = self._is_ascii and text.isascii()
        return True

    def _fault(self, error: UnicodeDecodeError) -> Exception:
        """What a byte that is wrong comes to."""
        above = error.object[: error.start].decode(self.encoding, errors="replace")
        known = self._text[self._at :] + above
        line = self.taken + len(re.findall("\r\n?|\n", known)) + 1
        guessed = self.encoding == "utf-8" and not self._given
        if guessed and self._is_ascii and above.isascii():
            return NotUtf8Error(line)
        name = "UTF-8" if self.encoding.startswith("utf-8") else self.encoding.upper()
        is_no = "neither UTF-8 nor Windows-1252" if self._windows else f"not {name}"
        byte = error.object[error.start]
        return DataError(
            f"is {is_no}: byte 0x{byte:02x} in line {line:,}; if it is another encoding, say {KEY}"
        )
