"""What a request to predict may hold: a file's name, client rows in JSON, or a CSV text.

Messages name the place of a fault and never repeat a value.
"""

import io
import json
import math
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import request

from pipeline.core.config import Config
from pipeline.core.errors import DataError, PipelineError
from pipeline.core.schema import LARGEST_NUMBER, Schema
from pipeline.data.csv_reader import BadRow, GoodRows, Table, too_many_bad
from pipeline.data.features import Features, features_of
from pipeline.data.frames import frame_of_text
from pipeline.data.input_files import FoundFile, list_input, open_plain

MOST_BYTES = 64 * 2**20
MOST_JSON_BYTES = 16 * 2**20  # parsed, JSON takes up to 30 times its size in memory
MOST_ROWS = 100_000
MOST_LINES = 10 * MOST_ROWS  # blank ones and those within quotes included
MOST_COLUMNS = 1_000
NUMBERS = (int, float)  # not `bool`, which is an `int`, too


class RequestError(PipelineError):
    """A request that cannot be answered, with the HTTP status that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class ClientRows:
    """Rows to predict: the feature columns of the good ones, and where the bad ones stood."""

    features: Features
    bad: dict[int, BadRow]  # by position among all rows

    def in_order(self, values: list[Any]) -> list[Any]:
        """One value a row: those of the good rows in their places, None for the bad ones."""
        if not self.bad:
            return values
        good = iter(values)
        total = len(values) + len(self.bad)
        return [None if place in self.bad else next(good) for place in range(total)]


def requested_rows(config: Config) -> ClientRows:
    """The client rows that the request being answered names or holds; raises `RequestError`."""
    if request.method != "POST":
        name = request.args.get("filename", request.args.get("filepath"))
        return from_csv(named_file(name, config), config.schema)
    if request.mimetype == "application/json":
        return _rows_of_json(_body(MOST_JSON_BYTES), config)
    if "file" in request.files:
        with closing(request.files["file"]) as upload:
            return from_csv(upload.read(), config.schema)
    if request.mimetype == "text/csv":
        return from_csv(_body(MOST_BYTES), config.schema)
    raise RequestError(415, 'send JSON, text/csv, or a CSV file as the form field "file"')


def _rows_of_json(body: bytes, config: Config) -> ClientRows:
    asked = parsed(body)
    if isinstance(asked, dict):
        for key in ("filepath", "filename"):
            if key in asked:
                return from_csv(named_file(asked[key], config), config.schema)
        if "clients" in asked:
            return from_json(asked["clients"], config.schema)
    raise RequestError(422, 'expected an object with "filepath", "filename" or "clients"')


def _body(most: int) -> bytes:
    """The body; one that comes in pieces does not say how long it is, and is cut at the limit."""
    request.max_content_length = most = min(most, request.max_content_length or most)
    body = request.get_data(cache=False)
    if len(body) == most:
        raise _too_many_bytes(most)
    return body


def _too_many_bytes(most: int) -> RequestError:
    return RequestError(413, f"less than {most:,} bytes at a time")


def parsed(body: bytes) -> Any:
    """What a JSON text says, in which no object has a key twice; raises `RequestError`."""
    try:
        return json.loads(body, object_pairs_hook=_object)
    except ValueError:
        raise RequestError(400, "the body is not JSON") from None
    except RecursionError:
        raise RequestError(400, "the JSON is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RequestError(400, "an object of the JSON has a key twice")
    return found


def from_csv(content: bytes, schema: Schema) -> ClientRows:
    """The rows of a CSV text, bad ones told apart by the rules of ingestion.

    Raises `RequestError` where the text as a whole is refused.
    """
    check_lines(content)
    good: list[str] = []
    bad: dict[int, BadRow] = {}
    rows = 0
    try:
        table = Table(
            io.BufferedReader(io.BytesIO(content)), schema, schema.features, quote_values=False
        )
        if table.width > MOST_COLUMNS:
            raise _too_large()
        for block in table.blocks():
            if isinstance(block, GoodRows):
                good.append(block.text)
                rows += block.text.count("\n")
            else:
                bad[rows] = block
                rows += 1
            if rows > MOST_ROWS:
                raise _too_large()
        if why := too_many_bad(list(bad.values()), rows):
            raise DataError(why)
    except DataError as error:
        raise RequestError(422, f"the CSV {error}") from None
    return ClientRows(
        features_of(frame_of_text("".join(good), schema, schema.features), schema), bad
    )


def check_lines(content: bytes) -> None:
    """Raise `RequestError` where a text has too many lines to be looked through."""
    # what is shorter cannot hold as many, and need not be counted
    if len(content) > MOST_LINES and content.count(b"\n") + content.count(b"\r") > MOST_LINES:
        raise RequestError(413, f"at most {MOST_LINES:,} lines at a time")


def _too_large() -> RequestError:
    return RequestError(413, f"at most {MOST_ROWS:,} rows of {MOST_COLUMNS:,} columns at a time")


def from_json(clients: Any, schema: Schema) -> ClientRows:
    """Rows in JSON: a list of objects, null where a value is missing.

    Raises `RequestError` for anything else.
    """
    if not isinstance(clients, list) or not clients:
        raise RequestError(422, '"clients" must be a list of at least one object')
    if len(clients) > MOST_ROWS:
        raise _too_large()
    numbers: list[float] = []
    texts: list[str] = []
    for number, client in enumerate(clients, start=1):
        if not isinstance(client, dict):
            raise RequestError(422, f"client {number} must be an object")
        if len(client) > MOST_COLUMNS:
            raise _too_large()
        try:
            for column in schema.numeric:
                numbers.append(_number(client[column]))
            for column in schema.categorical:
                texts.append(_text(client[column]))
        except KeyError:
            lacking = ", ".join(column for column in schema.features if column not in client)
            raise RequestError(422, f"client {number} lacks {lacking}") from None
        except ValueError as error:
            raise RequestError(422, f"client {number}: {column} {error}") from None
    shape = (len(clients), len(schema.numeric))
    columns = len(schema.categorical)
    return ClientRows(
        Features(
            np.array(numbers, dtype="float64").reshape(shape),
            tuple(texts[place::columns] for place in range(columns)),
        ),
        {},
    )


def _number(value: Any) -> float:
    """A number of a client, NaN for null; raises `ValueError`."""
    if value is None:
        return math.nan
    if type(value) in NUMBERS and abs(value) <= LARGEST_NUMBER:
        return float(value)
    raise ValueError("must be a finite number or null")


def _text(value: Any) -> str:
    """A category of a client, empty for null; raises `ValueError`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    raise ValueError("must be a text or null")


def named_file(name: Any, config: Config) -> bytes:
    """The content of the client file that a request names.

    A name is only compared with those of the files that lie in the test data and in the input
    folder, bare or with the folder as seen from the config's: nothing that a caller sends is ever
    a path to the system. Whatever else it may be is refused in the same words, so that nobody
    learns what else there is.
    """
    if not isinstance(name, str):
        raise RequestError(400, "name a client file, as in filename=testdata.csv")
    for file in _client_files(config):
        if name in _names(file, config):
            with suppress(OSError), io.BufferedReader(open_plain(file.path)) as stream:
                content = stream.read(MOST_BYTES)
                if len(content) == MOST_BYTES:
                    raise _too_many_bytes(MOST_BYTES)
                return content
    raise RequestError(404, "no such client file in the test data or the input folder")


def _client_files(config: Config) -> Iterator[FoundFile]:
    for folder in (config.test_data_path, config.input_folder_path):
        with suppress(DataError, OSError):  # a folder that is not there holds no file
            yield from (file for file in list_input(folder) if file.regular)


def _names(file: FoundFile, config: Config) -> tuple[str, ...]:
    if not file.path.is_relative_to(config.root):
        return (file.name,)
    place = (file.path.relative_to(config.root).parent / file.name).as_posix()
    return (file.name, place, f"./{place}")
