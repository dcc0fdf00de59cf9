"""Times, numbers and names as the page and the reports show them."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from unicodedata import category, normalize

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_HUGE = 1e12

Printer = Callable[[Iterable[str]], None]  # takes lines for a person as soon as they are known


def format_minute(at: str) -> str:
    """A time to the minute: `2026-11-22 09:00`."""
    return at[:16].replace("T", " ")


def format_day(at: str) -> str:
    """A day in words: `22 November 2026`."""
    when = datetime.fromisoformat(at).astimezone(UTC)
    return f"{when.day} {when:%B %Y}"


def format_age(at: str, now: datetime | None = None) -> str:
    """How long ago a time was, in its largest unit: `3 hours ago`."""
    now = now or datetime.now(UTC)
    seconds = (now - datetime.fromisoformat(at).astimezone(UTC)).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    for size, unit in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= size:
            return f"{pluralize(int(seconds // size), unit)} ago"
    raise AssertionError("a time is of some size")


def pluralize(count: int, what: str, several: str | None = None) -> str:
    """`1 file`, `2,000 files`."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def format_horizon(days: int | None) -> str:
    """In which time a client leaves who is at risk: ` within 30 days`; empty where none is set."""
    return f" within {pluralize(days, 'day')}" if days else ""


def format_score(value: float | None, decimals: int = 3) -> str:
    """A score, or that there is none."""
    return "undefined" if value is None else f"{value:.{decimals}f}"


def format_percent(share: float | None, decimals: int = 1) -> str:
    """A share, a part of 1, in percent."""
    return "-" if share is None else f"{100 * share:.{decimals}f} %"


def format_release_number(release: str | None) -> str:
    """The number at the start of a release's id."""
    return release.partition("-")[0].lstrip("0") if release else "-"


def format_significant(value: float) -> str:
    """A number to three digits, and whole from there on: `0.0812`, `61.3`, `4,321`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def format_seconds(value: float) -> str:
    """A span of time in seconds."""
    return f"{format_significant(value)} s"


def truncate(text: str, most: int) -> str:
    """A text cut to at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def format_names(names: Sequence[str], most: int) -> str:
    """The first names of a list, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def format_columns(names: Sequence[str]) -> str:
    """The first of some column names on one line, each cut, and quoted where it needs to be."""
    cut = [truncate(name, 41) for name in names]
    return format_names([name if name.isprintable() else repr(name) for name in cut], 12)


def told_apart(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, str]:
    """Two lists of column names; those that look alike but are not with their letters' numbers."""
    if not any(_look_alike(one, other) for one in ours for other in theirs if one != other):
        return format_columns(ours), format_columns(theirs)
    lists = ([ascii(name)[1:-1] for name in names] for names in (ours, theirs))
    return format_columns(next(lists)), format_columns(next(lists))


def _look_alike(one: str, other: str) -> bool:
    """Whether two names differ only in what shows nothing, or in letters beyond ASCII."""
    seen = [[c for c in normalize("NFC", name) if category(c) != "Cf"] for name in (one, other)]
    return len(seen[0]) == len(seen[1]) and all(
        a == b or not (a.isascii() and b.isascii()) for a, b in zip(*seen, strict=True)
    )


def format_amount(value: float) -> str:
    """A sum of money to the unit, and huge ones with an exponent: `12,345`, `1.2e+61`."""
    return f"{value:,.0f}" if abs(value) < _HUGE else f"{value:.3g}"


# A cell that begins with = + - @, in full width and small too, a tab or a line end is taken for a
# formula by spreadsheets; an apostrophe before it makes it plain text. Some begin a cell also at a
# semicolon, a tab or a line end within a text. Source: OWASP, CSV Injection.
_SIGNS = r"=+\-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b"
_FORMULA = rf"""(?=["']*[{_SIGNS}])"""
_PLAIN = re.compile(rf"""[^"';\t\r\n{_SIGNS}][^;\t\r\n]*""")  # as most texts are
_BEFORE = re.compile(rf"^(?='*[\t\r\n])|(?:^|(?<=[;\t\r\n])){_FORMULA}")
_MARK = re.compile(rf"^'(?='*[\t\r\n])|(?:^|(?<=[;\t\r\n]))'{_FORMULA}")


def escape_formula(text: str) -> str:
    """A text as a CSV cell that no spreadsheet runs."""
    return text if _PLAIN.fullmatch(text) else _BEFORE.sub("'", text)


def unescape_formula(cell: str) -> str:
    """The text of a cell that `escape_formula` made."""
    return _MARK.sub("", cell)
