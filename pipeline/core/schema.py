"""The client table: which column is the client, the outcome, a number, a category.

A value has one canonical text: `1`, `1.0` and ` 01 ` are the same number, and two rows are
identical if and only if their canonical texts are. The functions here take one value's text and
return its canonical text, or raise `ValueError` with what is wrong with it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property, partial
from typing import Annotated
from unicodedata import normalize

from pipeline.core.json_reader import NAMES, Kind, one_of, text

# words for what is missing, in small letters; `format.missing` adds to them
MISSING = frozenset(
    {
        *("", "na", "n/a", "n.a.", "nan", "<na>", "null", "(null)", "\\n", "none"),
        *("#nv", "#wert!", "#bezug!", "#zahl!", "#n/d", "#valeur!", "#nom?", "#nombre!"),
        *("#n/a", "#na", "#null!", "#value!", "#ref!", "#div/0!", "#num!", "#name?"),
        *("?", "-", "--", "unknown", "(unknown)", "missing", "(blank)"),
    }
)
LARGEST_NUMBER = 1e100  # beyond it, sums of squares overflow
STAYED = ("0", "no", "n", "false", "f", "nein", "falsch", "non", "faux", "falso", "nee")
LEFT = ("1", "yes", "y", "true", "t", "ja", "j", "wahr", "oui", "vrai", "verdadero", "vero", "si")
OUTCOMES = dict.fromkeys(STAYED, "0") | dict.fromkeys((*LEFT, "sí", "sì"), "1")

_OUTCOMES = OUTCOMES | dict.fromkeys(MISSING, "")

# Within a name these show nothing: Unicode's Default_Ignorable_Code_Point, and control characters
# that are no white space. Joiners are among them, though they shape Persian and Indic words and
# join emoji: who types the same name elsewhere leaves them out. Signs that show are not, such as
# the Arabic number sign.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_FORMULA = re.compile(r'\s*="(.*)"\s*', re.DOTALL)  # by which a spreadsheet keeps an id as text
_DIGITS = re.compile(r"0*([1-9][0-9]*|0)(?:\.0+)?")
_INTEGER = re.compile(r"([+-]?\d{1,18})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# of no more digits than a double holds, so that it is the shortest text of the same number
SHORTEST = r"-?(?:[1-9][0-9]{0,8}\.[0-9]{0,5}[1-9]|0\.(?!0000)[0-9]{0,13}[1-9])"
_SHORTEST = re.compile(SHORTEST)
_LINE_BREAKS = re.compile(r"[\r\n]+")
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d.*")  # which is one whatever the others are
_YEARS = range(1900, 2200)
_NEVER = 9999  # the year of what a database calls never
_INTEGERS = 10**18  # those below have no more digits than `_INTEGER` takes


def _is_encoding(name: str) -> bool:
    try:
        return isinstance("".encode(name), bytes)
    except (LookupError, ValueError):
        return False


def _is_date_format(form: str) -> bool:
    """Whether `strptime` reads a day back by it that `strftime` wrote."""
    try:
        day = datetime(1999, 12, 31)
        return datetime.strptime(day.strftime(form), form) == day
    except (ValueError, re.error):  # of a directive that occurs twice
        return False


_ENCODING = text(
    lambda name: not name or _is_encoding(name),
    "the name of an encoding such as utf-8, cp1252 or utf-16",
)
_DELIMITER = Kind(
    lambda value: isinstance(value, str) and len(value) < 2 and value not in ('"', "\n", "\r"),
    "one character",
)
_DATE_FORM = text(
    lambda form: not form or _is_date_format(form), "a form of a date such as %d.%m.%Y"
)
_SMALL_NAMES = replace(NAMES, make=lambda words: tuple(word.strip().lower() for word in words))


@dataclass(frozen=True)
class Format:
    """How files are written, as far as the config says; what is empty is found out of each."""

    encoding: Annotated[str, _ENCODING] = ""
    delimiter: Annotated[str, _DELIMITER] = ""
    decimal: Annotated[str, one_of("", ".", ",")] = ""
    thousands: Annotated[str, one_of("", ".", ",", " ", "'")] = ""
    date: Annotated[str, _DATE_FORM] = ""  # of strptime; empty: ISO
    # words for it beside `MISSING`, in small letters
    missing: Annotated[tuple[str, ...], _SMALL_NAMES] = ()


@dataclass(frozen=True)
class Rule:
    """What values of a column may be; what is missing may be so."""

    column: str
    least: float | None = None
    most: float | None = None
    one_of: tuple[str, ...] = ()

    def check(self, value: str) -> None:
        """Raise `ValueError` if this canonical text is not what may be."""
        if not value:
            return
        if self.one_of and value not in self.one_of:
            raise ValueError(f"is none of {', '.join(self.one_of)}")
        if self.least is not None and float(value) < self.least:
            raise ValueError(f"is below {self.least:g}")
        if self.most is not None and float(value) > self.most:
            raise ValueError(f"is above {self.most:g}")


class ClientNames(StrEnum):
    """Which names are one client's."""

    EXACT = "exact"  # equal ones
    DIGITS = "digits"  # also those of digits that differ in leading zeros or a trailing .0


@dataclass(frozen=True)
class Schema:
    """The columns of a client table, by the role each plays, and what an outcome means."""

    client: str = "corporation"
    outcome: str = "exited"
    numeric: tuple[str, ...] = ("lastmonth_activity", "lastyear_activity", "number_of_employees")
    categorical: tuple[str, ...] = ()
    client_names: ClientNames = ClientNames.EXACT
    date: str = ""  # of the day on which a row was true; empty if there is no such column
    left_on: str = ""  # of the day on which a client left; empty if there is none
    carry: tuple[str, ...] = ()  # those that no model sees
    format: Format = Format()
    outcomes: tuple[tuple[str, str], ...] = ()  # words beside `OUTCOMES`, in small letters
    rules: tuple[Rule, ...] = ()
    has_outcome: bool = True  # whether client files have the column of the outcome
    horizon_days: int = 0  # within which a client leaves who is about to; 0: not said
    snapshots: bool = False  # whether the client files of a day are the list of all clients
    absent_left: bool = False  # whether who is no longer on that list has left

    @property
    def features(self) -> tuple[str, ...]:
        """What a model sees, in the order of `finaldata.csv`."""
        return (*self.numeric, *self.categorical)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order of `finaldata.csv`."""
        return (self.client, *filter(None, [self.date]), *self.features, *self.tail)

    @property
    def tail(self) -> tuple[str, ...]:
        """The columns that tell no observation from another."""
        return (self.outcome, *filter(None, [self.left_on]), *self.carry)

    @property
    def report_columns(self) -> tuple[str, ...]:
        """What a file of outcomes alone may have, in the order of its canonical lines."""
        return tuple(filter(None, [self.client, self.date, self.outcome, self.left_on]))

    @property
    def optional(self) -> tuple[str, ...]:
        """The columns that a client file may lack."""
        return (self.outcome, *self.carry)

    @property
    def derives(self) -> bool:
        """Whether outcomes follow from more than what is said of each row."""
        return bool(self.horizon_days or self.left_on or self.absent_left)

    @property
    def meaning(self) -> tuple[int, str, str, bool]:
        """What tells who has left: models that differ in it answer different questions."""
        return (self.horizon_days, self.date, self.left_on, self.absent_left)

    @property
    def text(self) -> str:
        """All of it as one text: under another one, a file that was rejected may be read."""
        return repr(self)

    @property
    def header(self) -> str:
        """The first line of `finaldata.csv`, without its line end."""
        return csv_line(self.columns)

    @cached_property
    def missing(self) -> frozenset[str]:
        """The words for what is missing, in small letters."""
        return MISSING | {*self.format.missing}

    def canonical(self, column: str) -> Callable[[str], str]:
        """The function that turns a text of this column into its canonical text."""
        function = self._canonical(column)
        if rules := [rule for rule in self.rules if rule.column == column]:
            return partial(_by_rules, function=function, rules=rules)
        return function

    def _canonical(self, column: str) -> Callable[[str], str]:
        if column == self.client:
            exact = self.client_names is ClientNames.EXACT
            return partial(canonical_client if exact else canonical_digits, missing=self.missing)
        if column == self.outcome:
            outcomes = OUTCOMES | dict.fromkeys(self.missing, "") | dict(self.outcomes)
            return partial(canonical_outcome, outcomes=outcomes)
        if column and column in (self.date, self.left_on):
            form = self.format.date
            if column == self.date:
                return partial(canonical_date, date_format=form)
            return partial(canonical_end, date_format=form, missing=self.missing)
        if column in self.numeric:
            return partial(canonical_number, missing=self.missing)
        if column in self.categorical:
            return partial(canonical_category, missing=self.missing)
        return canonical_text

    def asked_client(self, text: str) -> str:
        """The name under which a client is known that is asked for by this text."""
        try:
            return self.canonical(self.client)(text)
        except ValueError:  # a name that no client has
            return text


DEFAULT_SCHEMA = Schema()
DEFAULT_LABELS = {  # what people call its features
    "lastmonth_activity": "last month's activity",
    "lastyear_activity": "last year's activity",
    "number_of_employees": "number of employees",
}


def _by_rules(text: str, function: Callable[[str], str], rules: Sequence[Rule]) -> str:
    value = function(text)
    for rule in rules:
        rule.check(value)
    return value


def canonical_text(text: str) -> str:
    """A text: no spaces around it, no line break in it; empty while unknown."""
    return _LINE_BREAKS.sub(" ", text.strip())


def canonical_category(text: str, missing: Collection[str] = MISSING) -> str:
    """A category: a text; empty for a word for what is missing."""
    value = canonical_text(text)
    return "" if value.lower() in missing else value


def canonical_client(text: str, missing: Collection[str] = MISSING) -> str:
    """A client's name in NFC on one line: single spaces, nothing invisible, not `="in a formula"`.

    Raises `ValueError` where that is empty, or a word for a missing value.
    """
    if text.isascii() and text.isprintable() and "=" not in text:  # as most are
        name = " ".join(text.split()) if " " in text else text
    else:
        text = _INVISIBLE.sub("", text)
        while match := _FORMULA.fullmatch(text):
            text = match[1].replace('""', '"')
        name = " ".join(normalize("NFC", text).split())
    if not name:
        raise ValueError("is empty; expected a name")
    if name.lower() in missing:
        raise ValueError("is no client but a word for a missing one; expected a name")
    return name


def canonical_digits(text: str, missing: Collection[str] = MISSING) -> str:
    """A client's name; one of digits without leading zeros and a trailing `.0`."""
    name = canonical_client(text, missing)
    match = _DIGITS.fullmatch(name)
    return match[1] if match else name


def canonical_number(text: str, missing: Collection[str] = MISSING) -> str:
    """The shortest text of the same number; empty where it is missing."""
    text = text.strip()
    if match := _INTEGER.fullmatch(text):
        return str(int(match[1]))
    if _SHORTEST.fullmatch(text):
        return text
    if text.lower() in missing:
        return ""
    if not _NUMBER.fullmatch(text):
        raise ValueError("is not a number")
    value = float(text)
    if abs(value) > LARGEST_NUMBER:
        raise ValueError("is too large for a number")
    return str(int(value)) if value.is_integer() and abs(value) < _INTEGERS else repr(value)


def canonical_outcome(text: str, outcomes: Mapping[str, str] = _OUTCOMES) -> str:
    """`0`, `1`, or empty while the outcome is not known yet."""
    word = text.strip().lower()
    if word not in outcomes and _NUMBER.fullmatch(number := word.replace(",", ".")):
        # pandas writes 1.0 beside missing ones
        word = str(int(float(number))) if float(number) in (0, 1) else word
    if word in outcomes:
        return outcomes[word]
    raise ValueError("is not an outcome (0, 1 or empty)")


def canonical_date(text: str, date_format: str = "") -> str:
    """A day in ISO's form, by a form of `strptime`, or as ISO writes a day or time."""
    day = day_of(text, date_format)
    if day.year not in _YEARS:
        raise ValueError(f"is a date outside the years {_YEARS[0]} to {_YEARS[-1]}")
    return day.isoformat()


def canonical_end(text: str, date_format: str = "", missing: Collection[str] = MISSING) -> str:
    """A day in ISO's form; empty if it is none, or in the year 9999."""
    if text.strip().lower() in missing or day_of(text, date_format).year == _NEVER:
        return ""
    return canonical_date(text, date_format)


def day_of(text: str, date_format: str = "") -> date:
    """The day that a text in this form says; raises `ValueError`."""
    text = text.strip()
    if not text:
        raise ValueError("is empty; expected a date")
    try:
        day = datetime.strptime(text, date_format) if date_format else datetime.fromisoformat(text)
    except ValueError:
        if date_format and _ISO_DAY.fullmatch(text):
            return day_of(text)
        expected = f"one as {date_format}" if date_format else "YYYY-MM-DD"
        raise ValueError(f"is not a date; expected {expected}") from None
    return day.date()


def csv_line(values: tuple[str, ...] | list[str]) -> str:
    """One line of canonical CSV, without its line end."""
    return ",".join(map(csv_cell, values))


def csv_cell(value: str) -> str:
    """A cell of canonical CSV: quoted only where it has to be."""
    return '"' + value.replace('"', '""') + '"' if "," in value or '"' in value else value
