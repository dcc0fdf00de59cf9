"""Reading a CSV text all at once, where it is as plain as most are.

`pipeline/data/csv_reader.py` is the rule for what a text holds: it looks at each row and tells what is wrong
with it. Here nothing is told. A text is read with the speed of C where a few looks at the whole of
it show that the rule would take every row, and would read the same values; any doubt leaves it to
the rule. A test holds the two together.
"""

import codecs
import csv
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.core.schema import LARGEST_NUMBER, Schema, canonical_number
from pipeline.data.features import Features

MOST_FIELDS = 5_000_000  # 40 MB of places; tables beyond are read row by row, in little memory
MOST_ODD = 10_000  # rows in which a number has other letters than numbers have
COMMA, END = b",\n"
FIRST, SPAN = ord("+"), ord("9") - ord("+")  # signs, comma, point, slash and digits


def read_plain(
    content: bytes, schema: Schema, most_rows: int, most_columns: int
) -> Features | None:
    """The feature columns of a plain CSV text; None where it takes a closer look to tell."""
    text = _plain_text(content)
    if text is None:
        return None
    head, _, body = text.partition(b"\n")
    header = [name.strip() for name in head.decode().split(",")]
    if not 2 <= len(header) <= most_columns or any(header.count(c) != 1 for c in schema.features):
        return None
    ends = _ends_of_fields(body, len(header), most_rows)
    if ends is None:
        return None
    places = [header.index(column) for column in schema.features]
    numeric, textual = places[: len(schema.numeric)], places[len(schema.numeric) :]
    missing = _words_for_missing(body, ends, numeric)
    if missing is None:
        return None
    return _features(body, len(header), numeric, textual, missing)


def _plain_text(content: bytes) -> bytes | None:
    """The text with `\\n` at the end of each line; None if it may be more than lines and commas."""
    if b'"' in content or b"\0" in content:
        return None
    text = content.removeprefix(codecs.BOM_UTF8)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    try:
        head = text[: text.find(b"\n")].decode()  # other formats announce themselves there
        if b"\r" in text or len(head) > csv.field_size_limit() or not head.isprintable():
            return None
        if not text.isascii():
            text.decode()
    except UnicodeDecodeError:
        return None
    return text if text.endswith(b"\n") else text + b"\n"


def _ends_of_fields(body: bytes, width: int, most_rows: int) -> np.ndarray | None:
    """Where each field ends: shape (rows, width); None unless all rows have as many."""
    letters = np.frombuffer(body, dtype="uint8")
    breaks, commas = letters == END, letters == COMMA
    rows = np.count_nonzero(breaks)
    if not 0 < rows <= min(most_rows, MOST_FIELDS // width):
        return None
    if np.count_nonzero(commas) != rows * (width - 1):
        return None
    ends = np.flatnonzero(breaks | commas).reshape(rows, width)
    lines = ends[:, -1]
    # with a break at the end of each row there is none left to stand within one
    if not breaks[lines].all() or np.diff(lines, prepend=-1).max() > csv.field_size_limit():
        return None
    return ends


def _words_for_missing(body: bytes, ends: np.ndarray, numeric: Sequence[int]) -> list[str] | None:
    """The texts that stand for a missing number; None if there are some that are no number.

    pandas takes more for a number than the rule does: infinity, a column of true and false, 1_000,
    other scripts' digits. None of it is written in digits, points and signs alone; what
    stands in a row that holds more than that is shown to the rule.
    """
    letters = np.frombuffer(body, dtype="uint8")
    odd = (letters - FIRST) > SPAN  # what is less wraps around
    odd &= letters != END
    if not (numeric and odd.any()):
        return [""]
    edges = _edges_of_runs(ends, sorted(numeric))
    found = np.logical_or.reduceat(odd, edges.ravel())[::2]
    if np.count_nonzero(found) > MOST_ODD:
        return None
    texts: set[str] = set()
    for start, end in edges.reshape(-1, 2)[found].tolist():
        texts.update(body[start:end].decode().split(","))
    try:
        return ["", *(text for text in texts if canonical_number(text) == "")]
    except ValueError:
        return None


def _edges_of_runs(ends: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Where columns that stand side by side start and end, in each row: ascending.

    To look at them together takes half the time.
    """
    edges = []
    for column in columns:
        if column - 1 not in columns:
            before = ends[:, column - 1] if column else np.concatenate(([-1], ends[:-1, -1]))
            edges.append(before + 1)
        if column + 1 not in columns:
            edges.append(ends[:, column])
    return np.stack(edges, axis=1)


def _features(
    body: bytes,
    width: int,
    numeric: Sequence[int],
    textual: Sequence[int],
    missing: Sequence[str],
) -> Features | None:
    """The columns at these places."""
    names = [str(place) for place in range(width)]
    numbered, worded = [names[place] for place in numeric], [names[place] for place in textual]
    dtypes = dict.fromkeys(numbered, "float64") | dict.fromkeys(worded, "str")
    try:
        frame = pd.read_csv(
            io.BytesIO(body),
            names=names,
            usecols=[*numeric, *textual],
            # one for all columns, where that will do, is faster
            dtype=dtypes if worded else "float64",
            na_values=dict.fromkeys(numbered, missing) if worded else missing,
            keep_default_na=False,
            skip_blank_lines=False,
            low_memory=False,
        )
    except ValueError:  # 1.2.3, --5
        return None
    numbers = frame[numbered].to_numpy(dtype="float64")
    if (np.abs(numbers) > LARGEST_NUMBER).any():
        return None
    texts = (frame[name].tolist() for name in worded)
    return Features(numbers, tuple([text.strip() for text in values] for values in texts))
