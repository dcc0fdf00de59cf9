"""Texts in CSV files written for people: nothing in them runs when a spreadsheet opens the file.

A cell that begins with = + - @, a tab or a carriage return is taken for a formula by spreadsheets;
an apostrophe before it makes it plain text. Source: OWASP, CSV Injection.
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NEUTRAL = re.compile(r"'+[=+\-@\t\r]")


def neutral(text: str) -> str:
    """The text as it may stand in a cell."""
    return "'" + text if _FORMULA.match(text) else text


def original(cell: str) -> str:
    """The text that `neutral` made this cell of."""
    return cell[1:] if _NEUTRAL.match(cell) else cell
