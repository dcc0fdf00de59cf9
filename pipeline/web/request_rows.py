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
from flask import Request
from flask.globals import request_ctx
from werkzeug.exceptions import ClientDisconnected

from pipeline import plaincsv, plainjson
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


def requested_rows(config: Config) -> ClientRows:
    """The client rows that the request being answered names or holds; raises `RequestError`."""
    asked = request_ctx.request  # itself, where `request` looks for it each time
    if asked.method != "POST":
        name = asked.args.get("filename", asked.args.get("filepath"))
        return from_csv(named_file(name, config), config.schema)
    if asked.mimetype == "application/json":
        return _rows_of_json(_body(asked, MOST_JSON_BYTES), config)
    if "file" in asked.files:
        with closing(asked.files["file"]) as upload:
            return from_csv(upload.read(), config.schema)
    if asked.mimetype == "text/csv":
        return from_csv(_body(asked, MOST_BYTES), config.schema)
    raise RequestError(415, 'send JSON, text/csv, or a CSV file as the form field "file"')


def _rows_of_json(body: bytes, config: Config) -> ClientRows:
    plain = plainjson.read_plain(body, config.schema, MOST_ROWS, MOST_COLUMNS)
    if plain is not None:
        return ClientRows(plain, {})
    asked = parsed(body)
    if isinstance(asked, dict):
        for key in ("filepath", "filename"):
            if key in asked:
                return from_csv(named_file(asked[key], config), config.schema)
        if "clients" in asked:
            return from_json(asked["clients"], config.schema)
    raise RequestError(422, 'expected an object with "filepath", "filename" or "clients"')


def _body(asked: Request, most: int) -> bytes:
    """The body; one that comes in pieces does not say how long it is, and is cut at the limit."""
    asked.max_content_length = most = min(most, asked.max_content_length or most)
    length = asked.content_length
    if length is not None and length < most:
        return _body_of(asked, length)
    body = asked.get_data()
    if len(body) == most:
        raise _too_many_bytes(most)
    return body


def _body_of(asked: Request, length: int) -> bytes:
    """A body of a length that is known and right, read at once: Flask would do it bit by bit."""
    try:
        body: bytes = asked.environ["wsgi.input"].read(length)
    except OSError:
        raise ClientDisconnected from None
    if len(body) < length:
        raise ClientDisconnected
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
    plain = plaincsv.read_plain(content, schema, MOST_ROWS, MOST_COLUMNS)
    if plain is not None:
        return ClientRows(plain, {})
    return checked_csv(content, schema)


def check_lines(content: bytes) -> None:
    """Raise `RequestError` where a text has too many lines to be looked through."""
    # what is shorter cannot hold as many, and need not be counted
    if len(content) > MOST_LINES and content.count(b"\n") + content.count(b"\r") > MOST_LINES:
        raise RequestError(413, f"at most {MOST_LINES:,} lines at a time")


def checked_csv(content: bytes, schema: Schema) -> ClientRows:
    """The rows of a CSV text, by the rule.

    Raises `RequestError` where the text as a whole is refused.
    """
    good: list[str] = []
    bad: dict[int, BadRow] = {}
    rows = 0
    try:
        table = Table(
            io.BufferedReader(io.BytesIO(content)), schema, schema.features, quote_values=False
        )
        _check_size(columns=table.width)
        for block in table.blocks():
            if isinstance(block, GoodRows):
                good.append(block.text)
                rows += block.text.count("\n")
            else:
                bad[rows] = block
                rows += 1
            _check_size(rows=rows)
        if why := too_many_bad(list(bad.values()), rows):
            raise DataError(why)
    except DataError as error:
        raise RequestError(422, f"the CSV {error}") from None
    return ClientRows(
        features_of(frame_of_text("".join(good), schema, schema.features), schema), bad
    )


def _check_size(*, rows: int = 0, columns: int = 0) -> None:
    if rows > MOST_ROWS or columns > MOST_COLUMNS:
        raise RequestError(413, f"at most {MOST_ROWS:,} rows of {MOST_COLUMNS:,} columns at a time")


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
    numbers = np.empty((len(clients), len(schema.numeric)))
    for i, column in enumerate(schema.numeric):
        numbers[:, i] = _numbers(column, [client[column] for client in clients])
    texts = (
        _texts(column, [client[column] for client in clients]) for column in schema.categorical
    )
    return ClientRows(Features(numbers, tuple(texts)), {})


def _numbers(column: str, values: list[Any]) -> list[float]:
    numbers = []
    for number, value in enumerate(values, start=1):
        if value is None:
            numbers.append(math.nan)
        elif type(value) in (int, float) and abs(value) <= LARGEST_NUMBER:
            numbers.append(float(value))
        else:
            raise RequestError(422, f"client {number}: {column} must be a finite number or null")
    return numbers


def _texts(column: str, values: list[Any]) -> list[str]:
    for number, value in enumerate(values, start=1):
        if not (value is None or isinstance(value, str)):
            raise RequestError(422, f"client {number}: {column} must be a text or null")
    return [(value or "").strip() for value in values]


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
