"""What a request to predict may hold: a file's name, client rows in JSON, or a CSV text.

Messages name the place of a fault and never repeat a value.
"""

import io
import json
import math
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flask import Request

from pipeline.core.errors import DataError, PipelineError
from pipeline.core.schema import LARGEST_NUMBER, Schema
from pipeline.data.csv_reader import BadRow, GoodRows, Table, too_many_bad
from pipeline.data.features import Features, features_of
from pipeline.data.frames import frame_of_text
from pipeline.data.input_files import FoundFile, list_input, open_plain

MAX_BYTES = 64 * 2**20
MAX_JSON_BYTES = 16 * 2**20  # parsed, JSON takes up to 30 times its size in memory
MAX_ROWS = 100_000
MAX_LINES = 10 * MAX_ROWS  # blank ones and those within quotes included
MAX_COLUMNS = 1_000
NUMBERS = (int, float)  # not `bool`, which is an `int`, too


class RequestError(PipelineError):
    """A request that cannot be answered, with the HTTP status that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class ClientRows:
    """Rows to predict: the feature columns of the good ones, and the places of the bad ones."""

    features: Features
    bad: dict[int, BadRow] = field(default_factory=dict)  # by position among all rows
    lines: list[int] = field(default_factory=list)  # of the good ones in a CSV text
    clients: list[str] = field(default_factory=list)  # of the good ones, if they were asked for

    def in_order(self, values: list[Any]) -> list[Any]:
        """One value a row: those of the good rows in their places, None for the bad ones."""
        if not self.bad:
            return values
        good = iter(values)
        total = len(values) + len(self.bad)
        return [None if place in self.bad else next(good) for place in range(total)]


@dataclass(frozen=True)
class ClientFiles:
    """The client files that a request may name: those of some folders."""

    folders: tuple[Path, ...]
    root: Path  # the folder from which paths may be given

    def read(self, name: Any) -> bytes:
        """The content of the client file that a request names; raises `RequestError`.

        A name is only compared with those of the files in the folders, bare or with the folder as
        seen from the root: nothing that a caller sends is ever a path to the system. Whatever else
        it may be is refused by the same message, so that nobody learns which other files exist.
        """
        if not isinstance(name, str):
            raise RequestError(400, "name a client file, as in filename=testdata.csv")
        for file in self._files():
            if name in self._names(file):
                with suppress(OSError), io.BufferedReader(open_plain(file.path)) as stream:
                    content = stream.read(MAX_BYTES)
                    if len(content) == MAX_BYTES:
                        raise _too_many_bytes(MAX_BYTES)
                    return content
        raise RequestError(404, "no such client file in the test data or the input folder")

    def _files(self) -> Iterator[FoundFile]:
        for folder in self.folders:
            with suppress(DataError, OSError):  # a missing folder holds no file
                yield from (file for file in list_input(folder) if file.regular)

    def _names(self, file: FoundFile) -> tuple[str, ...]:
        if not file.path.is_relative_to(self.root):
            return (file.name,)
        path = (file.path.relative_to(self.root).parent / file.name).as_posix()
        return (file.name, path, f"./{path}")


def rows_of_body(request: Request, files: ClientFiles, schema: Schema) -> ClientRows:
    """The client rows that the body of a request names or holds; raises `RequestError`."""
    if request.mimetype == "application/json":
        return _rows_of_json(_body(request, MAX_JSON_BYTES), files, schema)
    if "file" in request.files:
        with closing(request.files["file"]) as upload:
            return rows_of_csv(upload.read(), schema)
    if request.mimetype == "text/csv":
        return rows_of_csv(_body(request, MAX_BYTES), schema)
    raise RequestError(415, 'send JSON, text/csv, or a CSV file as the form field "file"')


def _rows_of_json(body: bytes, files: ClientFiles, schema: Schema) -> ClientRows:
    asked = parse_json(body)
    if isinstance(asked, dict):
        for key in ("filepath", "filename"):
            if key in asked:
                return rows_of_csv(files.read(asked[key]), schema)
        if "clients" in asked:
            return rows_of_json(asked["clients"], schema)
    raise RequestError(422, 'expected an object with "filepath", "filename" or "clients"')


def _body(request: Request, most: int) -> bytes:
    """The body; one sent in chunks does not say how long it is, and is cut at the limit."""
    request.max_content_length = most = min(most, request.max_content_length or most)
    body = request.get_data(cache=False)
    if len(body) == most:
        raise _too_many_bytes(most)
    return body


def _too_many_bytes(most: int) -> RequestError:
    return RequestError(413, f"less than {most:,} bytes at a time")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text; raises `RequestError`, also where an object has a key twice."""
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


def rows_of_csv(content: bytes, schema: Schema, *, for_people: bool = False) -> ClientRows:
    """The rows of a CSV text, checked by the rules of ingestion.

    `for_people`: reasons quote the value at fault, and the column of the client is read where
    there is one. Raises `RequestError` if the text as a whole is refused.
    """
    # what is shorter cannot hold as many lines, and need not be counted
    if len(content) > MAX_LINES and content.count(b"\n") + content.count(b"\r") > MAX_LINES:
        raise RequestError(413, f"at most {MAX_LINES:,} lines at a time")
    good: list[str] = []
    bad: dict[int, BadRow] = {}
    lines: list[int] = []
    try:
        columns = _columns(content, schema) if for_people else schema.features
        table = Table(_stream(content), schema, columns, quote_values=for_people)
        if table.width > MAX_COLUMNS:
            raise _too_large()
        for block in table.blocks():
            if isinstance(block, GoodRows):
                good.append(block.text)
                lines += range(block.line, block.line + block.text.count("\n"))
            else:
                bad[len(lines) + len(bad)] = block
            if len(lines) + len(bad) > MAX_ROWS:
                raise _too_large()
        if why := too_many_bad(list(bad.values()), len(lines) + len(bad)):
            raise DataError(why)
    except DataError as error:
        raise RequestError(422, f"the CSV {error}") from None
    frame = frame_of_text("".join(good), schema, columns)
    clients = frame[schema.client].tolist() if schema.client in columns else [""] * len(frame)
    return ClientRows(features_of(frame, schema), bad, lines, clients)


def _columns(content: bytes, schema: Schema) -> tuple[str, ...]:
    """The columns to read: that of the client only if the text has it."""
    table = Table(_stream(content), schema, schema.features)
    named = schema.client in table.extra_columns
    return (schema.client, *schema.features) if named else schema.features


def _stream(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content))


def _too_large() -> RequestError:
    return RequestError(413, f"at most {MAX_ROWS:,} rows of {MAX_COLUMNS:,} columns at a time")


def rows_of_json(clients: Any, schema: Schema) -> ClientRows:
    """Rows in JSON: a list of objects, null where a value is missing.

    Raises `RequestError` for anything else.
    """
    if not isinstance(clients, list) or not clients:
        raise RequestError(422, '"clients" must be a list of at least one object')
    if len(clients) > MAX_ROWS:
        raise _too_large()
    numbers: list[float] = []
    texts: list[str] = []
    for number, client in enumerate(clients, start=1):
        if not isinstance(client, dict):
            raise RequestError(422, f"client {number} must be an object")
        if len(client) > MAX_COLUMNS:
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
        )
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
