"""Cells that are canonical as written, as most are: a column of many is told by one pattern."""

import re
from collections.abc import Iterable

from pipeline.core.schema import SHORTEST, ClientNames, Schema

# without an exponent
_NUMBER = rf"(?:-?[1-9][0-9]{{0,17}}+|0|{SHORTEST})?"
# of these centuries; the 29th of February is not among them
_DAY = (
    r"(?:19|20|21)[0-9]{2}-(?:(?:0[13-9]|1[0-2])-(?:0[1-9]|[12][0-9]|30)"
    r"|(?:0[13578]|1[02])-31|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
# of a client's name, but for spaces; further letters may have other forms
_WORD = r"[!#-+\--~\xa1-\xac\xae-\u02ff]++"
# names that may have another form: in scientific notation; for `ClientNames.DIGITS` those that it
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


def plain_column(column: str, schema: Schema) -> re.Pattern[str] | None:
    """A pattern for canonical texts of a column, each with a line end; None if there is none."""
    cell = None
    if column == schema.client:
        cell = _client(schema)
    elif column in (schema.date, schema.left_on) and not schema.format.date:
        cell = _DAY if column == schema.date else f"(?:{_DAY})?+"
    elif column == schema.outcome:
        turned = any(word in ("0", "1") for word, _ in schema.outcomes)
        cell = None if turned else "[01]?+"
    elif column in schema.numeric:
        cell = _NUMBER
    ruled = any(rule.column == column for rule in schema.rules)
    return None if cell is None or ruled else re.compile(rf"(?:{cell}\n)*+")


def _client(schema: Schema) -> str:
    odd = _ODD if schema.client_names is ClientNames.EXACT else (*_ODD, *_ODD_DIGITS)
    none = "".join(rf"(?!{names}\n)" for names in odd)
    none += _not_one_of(schema.missing) + _not_one_of(TOTALS, r"(?:[\s:=(][^\n]*)?")
    return rf"{none}{_WORD}(?: {_WORD})*+"


def _not_one_of(words: Iterable[str], end: str = "") -> str:
    """A look ahead for a cell that is none of these words, in any case."""
    words = sorted(filter(None, words))
    first = "".join(sorted({re.escape(f) for w in words for f in (w[0], w[0].upper())}))
    return rf"(?!(?=[{first}])(?i:{'|'.join(map(re.escape, words))}){end}\n)"
