"""The lines of a text, from the first to the last, whatever it is encoded in."""

import codecs
import io
import re

from pipeline.core.errors import DataError

BLOCK = 1 << 20  # bytes read at a time
MAX_ROW = 1_000_000  # characters, over all its lines

_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)")
_LINE_END = re.compile(r"\r\n?|\n")
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


def encoding_of(head: bytes) -> str:
    """The encoding that the first bytes of a text let suppose: UTF-16, or else UTF-8."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    zeros = [part.count(0) / max(1, len(part)) for part in (head[::2], head[1::2])]
    if max(zeros) > 0.3 and min(zeros) < 0.05:  # as of letters without accents
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    return "utf-8"


def _as_windows_1252(content: bytes) -> str:
    """Raises `UnicodeDecodeError` at the first byte that is none, or begins a letter of UTF-8."""
    found = _UTF8.search(content)
    text = (content[: found.start()] if found else content).decode("cp1252")
    if found:
        raise UnicodeDecodeError("cp1252", content, found.start(), found.end(), "is UTF-8")
    return text


class Lines:
    """The lines of a text; `note` says what it is encoded in if that is not UTF-8.

    The encoding is the one given, or that of its mark, or UTF-8, or, if only ASCII precedes the
    first byte that is not UTF-8, Windows-1252. Raises `DataError` at a byte that is of neither,
    after all lines before it.
    """

    def __init__(self, stream: io.BufferedReader, encoding: str = "") -> None:
        self.taken = 0  # lines so far
        self.note = ""
        self._stream = stream
        found = encoding_of(head := stream.peek(_HEAD)[:_HEAD])
        marked = any(map(head.startswith, _MARKS))  # which says more than the config
        self._given = bool(encoding) and not marked
        self.encoding = encoding if self._given else found
        if self.encoding.lower().replace("_", "-") == "utf-16" and not marked:
            self.encoding = found if found.startswith("utf-16") else "utf-16-le"
        if not self.encoding.startswith("utf-8"):
            self.note = f"read as {self.encoding.upper()}"
        self._decoder = codecs.getincrementaldecoder(self.encoding)()
        self._text, self._at = "", 0
        self._is_ascii = True  # so far
        self._ended = False
        self._wrong = ""

    def batch(self, size: int) -> str:
        r"""Take whole lines of up to so many characters, with their ends as `\n`; perhaps none."""
        if self._at == len(self._text):
            self._read()
        far = self._at + size
        end = self._text.rfind("\n", self._at, far) + 1 or self._text.find("\n", far) + 1
        if not end:
            return ""
        found = self._text[self._at : end]
        self._at = end
        found = _LINE_END.sub("\n", found) if "\r" in found else found
        self.taken += found.count("\n")
        return found

    def line(self) -> str:
        """Take one line, with its end; empty after the last.

        Raises `DataError` where it is longer than `MAX_ROW`, or no text.
        """
        while True:
            match = _LINE.match(self._text, self._at)
            # a block may end between the \r and the \n of one line end
            if match and not (match[0].endswith("\r") and match.end() == len(self._text)):
                break
            if len(self._text) - self._at > MAX_ROW or not self._read():
                break
        line = match[0] if match else self._text[self._at :]
        if not line or (not match and self._ended):
            self._refuse_wrong_byte()
        self._at += len(line)
        self.taken += bool(line)
        if len(line) > MAX_ROW:
            raise DataError(
                f"has a row of more than {MAX_ROW:,} characters, which begins in line {self.taken}"
            )
        if "\0" in line:
            raise DataError(f"holds binary content in line {self.taken}; expected CSV text")
        return line

    def put_back(self, text: str, lines: int) -> None:
        """Have so many lines, taken last, be taken again."""
        begin = self._at - len(text)
        if begin >= 0 and self._text.startswith(text, begin):  # as it is unless more was read
            self._at = begin
        else:
            self._text, self._at = text + self._text[self._at :], 0
        self.taken -= lines

    def _read(self) -> bool:
        """Read one more block, if there is one."""
        if self._ended:
            return False
        block = self._stream.read(BLOCK)
        self._ended = not block
        try:
            if self.encoding == "cp1252" and not self._given:
                text = _as_windows_1252(block)
            else:
                text = self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            text = self._without_wrong_byte(error)
        self._text, self._at = self._text[self._at :] + text, 0
        self._is_ascii = self._is_ascii and text.isascii()
        return True

    def _without_wrong_byte(self, error: UnicodeDecodeError) -> str:
        """The text, read on as Windows-1252, or that before the wrong byte."""
        content, at = error.object, error.start
        text = content[:at].decode(self.encoding)
        if self.encoding != "utf-8" or self._given or not (self._is_ascii and text.isascii()):
            name = "UTF-8" if self.encoding.startswith("utf-8") else self.encoding.upper()
            self._wrong = f"is not {name}: byte 0x{content[at]:02x}"
            self._ended = True
            return text
        line = self.taken + len(_LINE_END.findall(self._text[self._at :] + text)) + 1
        self.note = f"read as Windows-1252, for it is not UTF-8 in line {line:,}"
        self.encoding = "cp1252"
        try:
            return text + _as_windows_1252(content[at:])
        except UnicodeDecodeError as other:
            wrong = other.object[other.start]
            self._wrong = f"is neither UTF-8 nor Windows-1252: byte 0x{wrong:02x}"
            self._ended = True
            return text + other.object[: other.start].decode("cp1252")

    def _refuse_wrong_byte(self) -> None:
        if self._wrong:
            line = self.taken + 1
            raise DataError(f"{self._wrong} in line {line:,}; if it is another encoding, say {KEY}")
