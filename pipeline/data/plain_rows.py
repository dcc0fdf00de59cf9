"""Rows that are canonical already, recognized by the thousand with one regular expression.

Most rows are. The CSV reader, with one check a field, takes ten times as long a row.
"""

import re
from collections.abc import Iterable, Sequence

from pipeline.core.schema import SHORTEST, ClientNames, Schema

MAX_COLUMNS = 200  # of a table: a pattern of more takes seconds to make
MAX_CHARACTERS = 10_000  # of a field
_SPECIAL = r'",\r\n\x00'  # characters that a plain field cannot have
# without an exponent; with `.0`, pandas writes the integers of a column in which some are missing
_NUMBER = rf"(?:(?:-?[1-9][0-9]{{0,17}}+|0)(?:\.0)?+|{SHORTEST})?"
# of these centuries; the 29th of February is not among them
_DAY = (
    r"(?:19|20|21)[0-9]{2}-(?:(?:0[13-9]|1[0-2])-(?:0[1-9]|[12][0-9]|30)"
    r"|(?:0[13578]|1[02])-31|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
# What a client's name has, but for spaces, where a row is plain: what it keeps in its canonical
# form, in a text in NFC and in any. What it has is found faster than what it may not have.
_ANY_LETTERS = r"!#-+\--~\xa1-\xac\xae-\u02ff"
_NFC_LETTERS = (
    r"!#-+\--~\xa1-\xac\xae-\u034e\u0350-\u061b\u061d-\u115e\u1161-\u167f\u1681-\u17b3"
    r"\u17b6-\u180a\u1810-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\u3163"
    r"\u3165-\ufdff\ufe10-\ufefe\uff00-\uff9f\uffa1-\uffef\ufffc-\U0001bc9f"
    r"\U0001bca4-\U0001d172\U0001d17b-\U000dffff\U000e1000-\U0010ffff"
)
_WORDS = 20  # of a client's name, each of no more than a twentieth of a field's characters
# names that are not plain: those in scientific notation; for `ClientNames.DIGITS` those that it
# shortens
_ODD = (r"[1-9][.eE][0-9eE+]++",)
_ODD_DIGITS = (r"0[0-9]++(?:\.0+)?", r"[1-9][0-9]*+\.0+", r"0\.0+")
# what a row of totals has in place of a client
TOTALS = (
    *("total", "totals", "grand total", "subtotal", "sub-total", "sub total", "sum", "overall"),
    *("summe", "gesamt", "gesamtsumme", "insgesamt", "endsumme", "zwischensumme"),
    *("total général", "total general", "totale", "totaal", "suma", "somma", "soma", "razem"),
    *("average", "mean", "count", "durchschnitt", "mittelwert", "anzahl", "moyenne"),
)
_TOTAL = re.compile(
    rf"(?:{'|'.join(TOTALS)})(?:\s?[:=(][\d\s.,()]*+|[\w ]*+[:=]\s?[\d.,]++)?", re.IGNORECASE
)


def is_total(text: str) -> bool:
    """Whether a text is a word for a total, perhaps with a number."""
    return bool(_TOTAL.fullmatch(text.strip()))


class PlainRows:
    """The rows of a file with this header that are canonical, but for their order and for a `.0`.

    Nothing in them is quoted, so a line is a row. No row has more than `max_row` characters, or a
    date after `last_day`, if there is one. Columns that the header lacks are empty. `run` matches
    them in a text that is in NFC, `any_run` in any text, and fewer of them.
    """

    def __init__(
        self,
        header: Sequence[str],
        columns: Sequence[str],
        schema: Schema,
        max_row: int,
        last_day: str = "",
    ) -> None:
        if len(header) > MAX_COLUMNS:
            self.run = self.any_run = re.compile("")
            return
        longest = max(1, min(MAX_CHARACTERS, max_row // len(header) - 1))
        other = f"[^{_SPECIAL}]{{0,{longest}}}+"

        def pattern(letters: str) -> re.Pattern[str]:
            fields = [
                _client(schema, letters, longest)
                if name == schema.client and name in columns
                else _field(name, schema, longest, last_day)
                if name in columns
                else other
                for name in header
            ]
            # a line with nothing on it is no row, even where the only field may be empty
            start = r"(?!\r?\n)" if len(header) == 1 else ""
            return re.compile(rf"(?:{start}{','.join(fields)}\r?\n)*+")

        self.run, self.any_run = pattern(_NFC_LETTERS), pattern(_ANY_LETTERS)
        texts = {schema.client, *schema.categorical, *schema.carry}
        self._is_text = [name in texts for name in columns]
        self._span: re.Pattern[str] | None = None
        self._places: list[int] | None = None
        first, count = header.index(columns[0]), len(columns)
        if tuple(header[first : first + count]) != tuple(columns):
            self._places = [header.index(n) if n in header else len(header) for n in columns]
        elif count < len(header):
            field = r"[^,\n]*+"  # written out for each, which is faster than counted
            wanted = ",".join([field] * count)
            self._span = re.compile(rf"{f'{field},' * first}({wanted})[^\n]*+\n")

    def canonical(self, run: str) -> str:
        """The canonical lines of rows that `run` matched."""
        if "\r" in run:
            run = run.replace("\r\n", "\n")
        if self._span:
            run = "\n".join(self._span.findall(run)) + "\n"
        elif self._places:
            rows = [[*row.split(","), ""] for row in run.split("\n")[:-1]]
            run = "".join([",".join([row[i] for i in self._places]) + "\n" for row in rows])
        return self._without_zeros(run) if ".0," in run or ".0\n" in run else run

    def _without_zeros(self, run: str) -> str:
        """Integers without their `.0`, with which a text may end as well."""
        if not any(self._is_text):
            return run.replace(".0,", ",").replace(".0\n", "\n")
        columns = zip(*[row.split(",") for row in run.split("\n")[:-1]], strict=True)
        kept = (
            column if is_text else [field.removesuffix(".0") for field in column]
            for is_text, column in zip(self._is_text, columns, strict=True)
        )
        return "\n".join(map(",".join, zip(*kept, strict=True))) + "\n"


def _field(column: str, schema: Schema, longest: int, last_day: str) -> str:
    """A pattern for texts of a column, of up to so many characters, that are canonical."""
    if column in (schema.date, schema.left_on):
        if schema.format.date:
            return "(?!)"
        day = _upto(last_day) + _DAY
        return day if column == schema.date else f"(?:{day})?+"
    if column == schema.outcome:
        if any(word in ("0", "1") for word, _ in schema.outcomes):  # which may be turned
            return "(?!)"
        return r"(?:[01](?:\.0)?+)?+"
    if column in schema.numeric:
        return _NUMBER
    none = _not_one_of(schema.missing) if column in schema.categorical else ""
    return rf"(?:{none}[^\s{_SPECIAL}][^{_SPECIAL}]{{0,{longest}}}+(?<!\s))?"


def _not_one_of(words: Iterable[str], end: str = "") -> str:
    """A look ahead for a field that is none of these words, in any case."""
    words = sorted(filter(None, words))
    first = "".join(sorted({re.escape(f) for w in words for f in (w[0], w[0].upper())}))
    return rf"(?!(?=[{first}])(?i:{'|'.join(map(re.escape, words))}){end}[,\r\n])"


def _upto(last_day: str) -> str:
    """A look ahead for days that are not after that one, in ISO's form."""
    if not last_day:
        return ""
    digits = ((i, int(d)) for i, d in enumerate(last_day) if d not in "-0")
    earlier = (f"{last_day[:i]}[0-{digit - 1}]" for i, digit in digits)
    return f"(?={'|'.join([*earlier, last_day])})"


def _client(schema: Schema, letters: str, longest: int) -> str:
    """A pattern for names of clients, made of these letters, that are canonical."""
    odd = _ODD if schema.client_names is ClientNames.EXACT else (*_ODD, *_ODD_DIGITS)
    none = "".join(rf"(?!{names}[,\r\n])" for names in odd)
    none += _not_one_of(schema.missing) + _not_one_of(TOTALS, r"(?:[\s:=(][^,\r\n]*)?")
    word = f"[{letters}]{{1,{max(1, longest // _WORDS)}}}+"
    return rf"{none}{word}(?: {word}){{0,{_WORDS - 1}}}+"
