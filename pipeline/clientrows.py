"""What a request to predict may hold: a file's name, client rows in JSON, or a CSV text.

Messages name the place of a fault and never repeat a value.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import Config
from pipeline.errors import DataError, PipelineError
from pipeline.frames import frame_of_lines
from pipeline.ledger import BadRow
from pipeline.schema import Schema
from pipeline.table import GoodRow, Table, too_many_bad

MOST_ROWS = 100_000
MOST_COLUMNS = 1_000


class RequestError(PipelineError):
    """A request that cannot be answered, with the HTTP status that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class ClientRows:
    """Rows to predict: the feature columns of the good ones, and where the bad ones stood."""

    frame: pd.DataFrame
    bad: dict[int, BadRow]  # by position among all rows

    def in_order(self, values: list[Any]) -> list[Any]:
        """One value a row, those of the good ones in their places, None for the bad ones."""
        found = iter(values)
        total = len(values) + len(self.bad)
        return [None if i in self.bad else next(found) for i in range(total)]


def from_csv(content: bytes | Path, schema: Schema) -> ClientRows:
    """The rows of a CSV text, bad ones told apart by the rules of ingestion.

    Raises `RequestError` where the text as a whole is refused.
    """
    good: list[str] = []
    bad: dict[int, BadRow] = {}
    with content.open("rb") if isinstance(content, Path) else _buffered(content) as stream:
        try:
            table = Table(stream, schema, schema.features, quote_values=False)
            _check_size(columns=table.width)
            for i, row in enumerate(table):
                _check_size(rows=i + 1)
                if isinstance(row, GoodRow):
                    good.append(row.text)
                else:
                    bad[i] = row
            if why := too_many_bad(list(bad.values()), len(good) + len(bad)):
                raise DataError(why)
        except DataError as error:
            raise RequestError(422, f"the CSV {error}") from None
    return ClientRows(frame_of_lines(good, schema, schema.features), bad)


def _check_size(*, rows: int = 0, columns: int = 0) -> None:
    if rows > MOST_ROWS or columns > MOST_COLUMNS:
        raise RequestError(413, f"at most {MOST_ROWS:,} rows of {MOST_COLUMNS:,} columns at a time")


def _buffered(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content))


def from_json(clients: Any, schema: Schema) -> ClientRows:
    """Rows in JSON: a list of objects, null where a value is missing.

    Raises `RequestError` for anything else.
    """
    if not isinstance(clients, list) or not clients:
        raise RequestError(422, '"clients" must be a list of at least one object')
    _check_size(rows=len(clients))
    for number, client in enumerate(clients, start=1):
        if not isinstance(client, dict):
            raise RequestError(422, f"client {number} must be an object")
        _check_size(columns=len(client))
        if lacking := [column for column in schema.features if column not in client]:
            raise RequestError(422, f"client {number} lacks {', '.join(lacking)}")
    columns: dict[str, pd.Series[Any]] = {}
    for column in schema.features:
        values = [client[column] for client in clients]
        columns[column] = (_numbers if column in schema.numeric else _categories)(column, values)
    return ClientRows(pd.DataFrame(columns), {})


def _numbers(column: str, values: list[Any]) -> "pd.Series[Any]":
    numbers = []
    for number, value in enumerate(values, start=1):
        if value is None:
            numbers.append(math.nan)
        elif type(value) in (int, float) and abs(value) < 1e308:
            numbers.append(float(value))
        else:
            raise RequestError(422, f"client {number}: {column} must be a finite number or null")
    return pd.Series(numbers, dtype="float64")


def _categories(column: str, values: list[Any]) -> "pd.Series[Any]":
    for number, value in enumerate(values, start=1):
        if not (value is None or isinstance(value, str)):
            raise RequestError(422, f"client {number}: {column} must be a text or null")
    return pd.Series([(value or "").strip() for value in values], dtype="str")


def named_file(name: Any, config: Config) -> Path:
    """The client file that a request names.

    A bare name is looked for in the test data, then in the input folder; a path counts from the
    config's folder. Whatever is not a `.csv` file right inside one of these folders is refused in
    the same words, so that nobody learns what else there is.
    """
    if not isinstance(name, str):
        raise RequestError(400, "name a client file, as in filename=testdata.csv")
    if name and "\0" not in name and len(name) < 4096:
        folders = (config.test_data_path.resolve(), config.input_folder_path.resolve())
        places = [config.root / name] if "/" in name else [folder / name for folder in folders]
        for place in places:
            path = place.resolve()
            if path.parent in folders and path.suffix.lower() == ".csv" and path.is_file():
                return path
    raise RequestError(404, "no such client file in the test data or the input folder")
