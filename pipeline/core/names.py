"""Names of clients: which are alike, and where they are in texts, however these write them."""

import json
import re
from collections import defaultdict
from collections.abc import Collection
from unicodedata import normalize

from pipeline.core.formatting import truncate

_POINT_ZERO = re.compile(r"(?<=.)\.0+\Z", re.DOTALL)
ERASED = "(erased)"
_WORD = re.compile(r"\w+")
_CUT = 41  # the letters to which messages cut what they quote


def folded(name: str) -> str:
    """A text that names have in common which differ only in leading zeros, a last `.0`, or case."""
    # case may be folded into letters and marks that NFC puts together again
    return normalize("NFC", _core(name).casefold())


def why_alike(name: str, other: str) -> str:
    """In what two different names differ that are the same when folded: `leading zeros and case`.

    `leading zeros`, `.0` and `case`, in this order.
    """
    core, other_core = _core(name), _core(other)
    ways = {
        "leading zeros": _zeros(name) != _zeros(other),
        ".0": _POINT_ZERO.findall(name) != _POINT_ZERO.findall(other),
        "case": core != other_core,
    }
    return " and ".join(way for way, differs in ways.items() if differs)


def _core(name: str) -> str:
    """A name without leading zeros and a last `.0`; of zeros alone, one."""
    return _POINT_ZERO.sub("", name).lstrip("0") or "0"


def _zeros(name: str) -> str:
    """The zeros before the rest of a name."""
    return _POINT_ZERO.sub("", name).removesuffix(_core(name))


class NamesInText:
    """Names to look for as whole words, all at once: thousands take hardly longer than one."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        forms = {form: name for name in names for form in _forms(name)}
        # a form is looked for only in texts that have the longest of its words
        self._by_word: dict[str, list[tuple[re.Pattern[str], str]]] = defaultdict(list)
        for form, name in forms.items():
            longest = max(sorted(_WORD.findall(form)), key=len, default="")
            self._by_word[longest].append((_whole(form), name))

    def found(self, text: str) -> set[str]:
        """The names in a text, whatever its spaces."""
        text = normalize("NFC", " ".join(text.split()))
        return {name for form, name in self._candidates(text) if form.search(text)}

    def without(self, text: str) -> str:
        """The text with `ERASED` in place of each name."""
        for form, _ in self._candidates(text):
            text = form.sub(ERASED, text)
        return ERASED if self.found(text) else text

    def _candidates(self, text: str) -> list[tuple[re.Pattern[str], str]]:
        words = {*_WORD.findall(text), ""} & self._by_word.keys()
        return [each for word in sorted(words) for each in self._by_word[word]]


def _forms(name: str) -> set[str]:
    """How a name is written in plain texts, JSON, CSV and messages."""
    return {
        form
        for text in (name, truncate(name, _CUT))
        for form in (
            *(text, repr(text)[1:-1], text.replace('"', '""')),
            *(json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]),
        )
    }


def _whole(form: str) -> re.Pattern[str]:
    """The form, where it is no part of a longer word."""
    begin, end = (r"\b" if _WORD.match(letter) else "" for letter in (form[0], form[-1]))
    return re.compile(begin + re.escape(form) + end)
