"""Client tables as pandas frames: one client's row a row, numbers as float64, NaN where missing.

A model sees them as numbers in one array and texts in lists.
"""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.schema import Schema, csv_line
from pipeline.data.csv_reader import good_rows
from pipeline.data.input_files import list_input, open_plain
from pipeline.data.outcomes import NO_DAY, learned_outcomes

log = logging.getLogger(__name__)


def frame_of(csv_text: BinaryIO | Path, schema: Schema, columns: Sequence[str]) -> pd.DataFrame:
    """Parse canonical CSV, header included.

    Returns a frame of these columns: numbers and the outcome float64 with NaN where missing or
    unknown; client and categories text, empty where missing.
    """
    numbers = {*schema.numeric, schema.outcome}
    frame = pd.read_csv(
        csv_text,
        usecols=list(columns),
        dtype={column: "float64" if column in numbers else "str" for column in columns},
        keep_default_na=False,
        na_values={column: [""] for column in columns if column in numbers},
        skip_blank_lines=False,  # of a single column, a missing value is one
    )
    return frame if list(frame.columns) == list(columns) else frame[list(columns)]


def read_table(
    stream: io.BufferedReader, schema: Schema, columns: Sequence[str], name: str
) -> pd.DataFrame:
    """Check one CSV text by the rules of ingestion; bad rows are left out with a warning.

    Raises `DataError` where the table as a whole is refused.
    """
    text, bad = good_rows(stream, schema, columns, name)
    for row in bad:
        log.warning("%s: line %d is left out: %s", name, row.line, row.reason)
    return frame_of_text(text, schema, columns)


def frame_of_text(text: str, schema: Schema, columns: Sequence[str]) -> pd.DataFrame:
    """The frame of canonical lines, each with its line end and without a header above them."""
    header = csv_line(tuple(columns))
    return frame_of(io.BytesIO(f"{header}\n{text}".encode()), schema, columns)


def read_folder(folder: Path, schema: Schema, newest: int = NO_DAY) -> pd.DataFrame:
    """All rows of the `.csv` files of a folder, file by file in order of name.

    Their outcomes are those that they teach; `newest` is the newest day of the training data.
    Raises `DataError` if there is none, or one that cannot be read.
    """
    frames = []
    for path in (found.path for found in list_input(folder) if found.regular):
        try:
            stream: io.BufferedReader = io.BufferedReader(open_plain(path))
            with stream:
                frames.append(read_table(stream, schema, schema.columns, str(path)))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not frames:
        raise DataError(f"{folder}: holds no table, such as a .csv file")
    frame = pd.concat(frames, ignore_index=True)
    if not schema.derives:
        return frame
    return frame.assign(**{schema.outcome: learned_outcomes(frame, schema, newest=newest)[0]})


@dataclass(frozen=True)
class Features:
    """The feature columns of some rows.

    `numbers` has the shape (rows, numeric columns), float64, NaN where missing; `texts` a list for
    each categorical column, empty texts where missing. Both are in the schema's order.
    """

    numbers: np.ndarray
    texts: tuple[list[str], ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, places: np.ndarray | slice) -> "Features":
        """The rows with these numbers, in that order."""
        texts = tuple(np.array(values, object)[places].tolist() for values in self.texts)
        return Features(self.numbers[places], texts)

    def frame(self, schema: Schema) -> pd.DataFrame:
        """The same rows as a DataFrame of the schema's feature columns."""
        frame = pd.DataFrame(self.numbers, columns=list(schema.numeric))
        pairs = zip(schema.categorical, self.texts, strict=True)
        return frame.assign(**{name: pd.Series(values, dtype="str") for name, values in pairs})


class Row(NamedTuple):
    """The feature columns of one row."""

    numbers: list[float]  # NaN where missing
    texts: list[str]


def features_of(frame: pd.DataFrame, schema: Schema) -> Features:
    """The rows of a frame with the schema's feature columns."""
    numbers = frame[list(schema.numeric)].to_numpy(dtype="float64")
    return Features(numbers, tuple(frame[name].tolist() for name in schema.categorical))


def usual_row(frame: pd.DataFrame, schema: Schema) -> Row:
    """The median of each number and the most frequent category of each other feature."""
    medians = frame[list(schema.numeric)].median().tolist()
    modes = (frame[name].value_counts(sort=False) for name in schema.categorical)
    # of equally frequent ones the first by name
    return Row(medians, [min(counts.index[counts == counts.max()]) for counts in modes])
