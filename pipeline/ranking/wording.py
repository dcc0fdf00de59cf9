"""A value and the usual one in words that a person reads: "last month's activity 3, usual 41"."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.schema import canonical_number, canonical_text

UNKNOWN = "unknown"
LONGEST = 60  # characters of a category or label that are shown
_ROUND = 100  # numbers from here on are shown without decimals
_HUGE = 1e9  # and from here on with an exponent


def number_texts(values: np.ndarray) -> list[str]:
    """Numbers, shape (values,), NaN where missing, as people read them.

    Whole ones as they are, others to three digits or, from 100 on, to the unit: 1234, 12.5, 0.031;
    1.2e+09 for huge ones. No commas, which part a value from the usual one.
    """
    size = np.abs(values)
    whole = (size < _HUGE) & ((size >= _ROUND) | (values == np.rint(values)))
    # all by one template, which takes a third of the time of one by one
    template = "\n".join(np.where(whole, "%.0f", "%.3g").tolist())
    texts = (template % tuple((values + 0.0).tolist())).split("\n") if len(values) else []
    return [UNKNOWN if text == "nan" else text for text in texts]


def number_words(label: str, values: np.ndarray, usual: float) -> list[str]:
    """What is told of each of these numbers; all digits of those that else look like the usual."""
    label, (usually,) = shown(label), number_texts(np.array([usual]))
    words = []
    for text, value in zip(number_texts(values), values.tolist(), strict=True):
        if text == usually:
            words.append(f"{label} {_exact(value)}, usual {_exact(usual)}")
        else:
            words.append(f"{label} {text}, usual {usually}")
    return words


def category_words(label: str, values: Sequence[str], usual: str) -> list[str]:
    """What is told of each of these categories, empty where missing."""
    label, usually = shown(label), shown(usual) or UNKNOWN
    return [
        f"{label} {text}, usual {usually}"
        if text != usually
        else f"{label} other than the usual, {usually}"  # cut short, or a category named so
        for text in (shown(value) or UNKNOWN for value in values)
    ]


def shown(text: str) -> str:
    """A label or category on one line, cut short; without semicolons, which part reasons."""
    text = canonical_text(text).replace(";", ",")
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


def _exact(value: float) -> str:
    return canonical_number(repr(value)) or UNKNOWN
