"""Names of clients that are alike: likely one client, written in two ways."""

import re
from unicodedata import normalize

_POINT_ZERO = re.compile(r"(?<=.)\.0+\Z", re.DOTALL)


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
