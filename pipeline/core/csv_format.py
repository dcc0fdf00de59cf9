"""Texts in CSV files written for people: a spreadsheet runs nothing in them.

A cell that begins with = + - @, a tab or a line end is taken for a formula by spreadsheets; an
apostrophe before it makes it plain text. Some begin a cell also at a semicolon, a tab or a line
end within a text. Source: OWASP, CSV Injection.
"""

import re

_FORMULA = r"""(?=["']*[=+\-@])"""
_BEFORE = re.compile(rf"^(?='*[\t\r\n])|(?:^|(?<=[;\t\r\n])){_FORMULA}")
_MARK = re.compile(rf"^'(?='*[\t\r\n])|(?:^|(?<=[;\t\r\n]))'{_FORMULA}")


def escape_formula(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return _BEFORE.sub("'", text)


def unescape_formula(cell: str) -> str:
    """The text that `escape_formula` made this cell of."""
    return _MARK.sub("", cell)
