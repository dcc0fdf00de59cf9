"""Numbers as people write them: a decimal comma, thousands marks, currencies, brackets.

What `1,234` is, no text tells alone: all of a column are looked at before any is read.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.core.errors import DataError
from pipeline.core.formatting import format_columns
from pipeline.core.schema import Format

MAX_OTHERS = 0.1  # of the values that tell: with more that tell otherwise, none is read

_DECIMAL_KEY = '"format": {"decimal": "."} or {"decimal": ","} in config.json'
# texts that differ in these digits alone are read alike
SHAPES = str.maketrans("12345678", "99999999")
_OTHER = {".": ",", ",": "."}  # the mark of thousands beside a mark of decimals
_PLAIN = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?", re.ASCII | re.IGNORECASE)
_TWO_WAYS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_CURRENCY = (
    r"[$\xa2-\xa5\u058f\u060b\u09f2\u09f3\u0e3f\u20a0-\u20c0\ufe69\uff04\uffe0\uffe1\uffe5\uffe6]"
)
_CODES = r"EUR|USD|GBP|CHF|JPY|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|INR|CNY|BRL|MXN|ZAR|Kč|kr|zł"
_UNIT = rf"((?:[A-Z]{{1,2}})?{_CURRENCY}|%|{_CODES})?"
_SIGN = r"([+\-\u2212]?)"
_WRITTEN = re.compile(
    rf'(?:=")?(\()?{_SIGN}\s*+{_UNIT}\s*+{_SIGN}'
    rf"([\d.,]++(?:[\s'\u2019]++[\d.,]++)*+(?:e[+-]?\d++)?)"  # never looked at twice
    rf'\s*+{_UNIT}\s*+{_SIGN}(\))?(?:")?',
    re.IGNORECASE,
)
_SPACED = re.compile(r"^\d{1,3}(?:[\s'\u2019]\d{3})+(?!\d)")  # digits in groups, and nothing else
_NO_CENTS = re.compile(r"(?<=\d)[.,](?:--?|\u2013|\u2014)(?=\D*$)")  # as of 10,-
_ZERO = re.compile(rf"{_UNIT}\s*-\s*", re.IGNORECASE)  # as accountants write it, of money
_BARE = re.compile(r"([+-]?)([\d.,]+)", re.ASCII)


def _grammar(decimal: str) -> re.Pattern[str]:
    mark, thousands = re.escape(decimal), re.escape(_OTHER[decimal])
    india = rf"[1-9]\d?(?:{thousands}\d\d)+{thousands}\d{{3}}"
    whole = rf"(?:[1-9]\d{{0,2}}(?:{thousands}\d{{3}})+|{india}|\d++)"
    fraction = rf"(?:{mark}\d*)?(?:e[+-]?\d+)?"
    return re.compile(rf"{whole}{fraction}|{mark}\d+", re.ASCII | re.IGNORECASE)


_READS = {decimal: _grammar(decimal) for decimal in _OTHER}


@dataclass(frozen=True)
class NumberForm:
    """How the numbers of a column are written: which mark is decimal, and in what unit."""

    decimal: str = "."
    unit: str = ""  # a currency, or %: what has another one is no number of this column
    doubtful: bool = False  # whether a comma before three digits may be either mark

    def canonical(self, text: str, plain: Callable[[str], str]) -> str:
        """The canonical text; raises `ValueError`."""
        found = _taken_apart(text)
        if _READS[self.decimal].fullmatch(found.digits):
            if self.doubtful and _TWO_WAYS.fullmatch(found.digits):
                raise ValueError(f"may be read in two ways: say which with {_DECIMAL_KEY}")
            if found.unit != self.unit and (found.unit or self.unit == "%"):
                has = found.unit or "no %"
                raise ValueError(f"has {has} where others have {self.unit or 'nothing'}")
            digits = found.digits.replace(_OTHER[self.decimal], "")
            return plain(found.sign + digits.replace(self.decimal, "."))
        if plain(text):  # which is no word for what is missing
            raise ValueError(f"has no {self.decimal!r} before its decimals as others have")
        return ""


class _Apart(NamedTuple):
    sign: str = ""
    digits: str = ""  # with their marks; none where the text makes no sense as a number
    unit: str = ""


def _taken_apart(text: str) -> _Apart:
    text = text.strip()
    if match := _BARE.fullmatch(text):  # as most are
        return _Apart(match[1], match[2])
    text = _NO_CENTS.sub("", text)
    if (match := _ZERO.fullmatch(text)) and match[1]:
        return _Apart("", "0", match[1].upper())
    if not (match := _WRITTEN.fullmatch(text)):
        return _Apart()
    opened, before, unit, inner, digits, unit_behind, behind, closed = match.groups("")
    signs = before + inner + behind
    if len(opened) != len(closed) or (unit and unit_behind) or len(signs) + len(opened) > 1:
        return _Apart()
    digits = _SPACED.sub(lambda found: re.sub(r"\D", "", found[0]), digits)
    minus = opened or signs in ("-", "\u2212")
    return _Apart("-" if minus else "", digits, (unit + unit_behind).upper())


@dataclass
class Survey:
    """What the values of a column let tell of how all are written."""

    column: str
    units: Counter[str] = field(default_factory=Counter)  # of all numbers
    ways: Counter[str] = field(default_factory=Counter)  # those that tell, by their decimal mark
    odd: bool = False  # whether some are written in a form that is not plain
    # those that may be read in two ways, as 1.234: by their mark the first, and how many they are
    doubtful: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, text: str, count: int = 1) -> None:
        """Look at a value that is not missing, and occurs so often."""
        found = _taken_apart(text)
        ways = [decimal for decimal, read in _READS.items() if read.fullmatch(found.digits)]
        if ways:
            self.units[found.unit] += count
            self.odd = self.odd or not _PLAIN.fullmatch(text.strip())
        if len(ways) == 1:
            self.ways[ways[0]] += count
        elif _TWO_WAYS.fullmatch(found.digits):
            mark = "." if "." in found.digits else ","
            first, before = self.doubtful.get(mark, (text.strip(), 0))
            self.doubtful[mark] = first, before + count

    def form(
        self,
        given: Format,
        others: Collection[str] = (),
        *,
        european: bool = False,
        quoted: bool = True,
    ) -> NumberForm:
        """How the column is written; raises `DataError` where that cannot be told.

        `others` are the decimal marks that further columns of the file tell: one file has one.
        Only where a file is `european` a value such as 1.234 is doubted alone. An example is given
        if values may be `quoted`.
        """
        units = self.units.copy()
        if not units["%"]:
            del units[""]  # a currency may be left out
        unit, tells = _most(units, "")
        if not tells:
            named = ", ".join(each or "none" for each, count in units.most_common() if count)
            raise DataError(
                f"has {self.column} in several units ({named}): export it in one, without its sign"
            )
        if settled := settled_decimal(given):
            return NumberForm(settled, unit)
        if not self.ways and self.doubtful and len(others) == 1:
            return NumberForm(next(iter(others)), unit)
        if not self.ways and ("," in self.doubtful or (european and self.doubtful)):
            example, count = next(iter(self.doubtful.values()))
            if count > MAX_OTHERS * self.units.total():
                digits = _taken_apart(example).digits
                whole = digits.replace(",", "").replace(".", "")
                which = f"{example!r}, which may be {whole} or {digits.replace(',', '.')}"
                raise DataError(
                    f"has {self.column} {which if quoted else 'that may be read in two ways'}: say"
                    f" which with {_DECIMAL_KEY}"
                )
            return NumberForm(".", unit, doubtful=True)
        decimal, tells = _most(self.ways, ".")
        if not tells:
            raise DataError(
                f"has {self.column} with decimal points in {self.ways['.']:,} values and decimal"
                f" commas in {self.ways[',']:,}: export it in one form, or say which counts with"
                f" {_DECIMAL_KEY}"
            )
        return NumberForm(decimal, unit)


def _most(counts: Counter[str], usual: str) -> tuple[str, bool]:
    """What is counted most, if anything is, and whether the others are few enough."""
    (most, count), *_ = counts.most_common() or [(usual, 0)]
    return most, counts.total() - count <= MAX_OTHERS * counts.total()


def notes_of(forms: Mapping[str, NumberForm]) -> list[str]:
    """What is not usual about columns of numbers, in words."""
    commas = [column for column, form in forms.items() if form.decimal == ","]
    notes = [f"decimal comma in {format_columns(commas)}"] * bool(commas)
    return notes + [f"{column} in {form.unit}" for column, form in forms.items() if form.unit]


def is_number(text: str) -> bool:
    """Whether a text is a number in some form."""
    return any(read.fullmatch(_taken_apart(text).digits) for read in _READS.values())


def is_odd(text: str) -> bool:
    """Whether a text is a number in a form that is not plain."""
    return not _PLAIN.fullmatch(text.strip()) and is_number(text)


def settled_decimal(given: Format) -> str:
    """The mark of decimals that the config settles, if it does."""
    return given.decimal or {",": ".", ".": ","}.get(given.thousands, "")
