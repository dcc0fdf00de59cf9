"""What a request to predict may hold: a file's name, client rows in JSON, or a CSV text.

Messages name the place of a fault and never repeat a value.
"""

import io
import json
import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from flask import Request

from pipeline.core.errors import DataError, PipelineError
from pipeline.core.schema import LARGEST_NUMBER, Schema, canonical_category
from pipeline.data.csv_reader import BadRow, GoodRows, Table, too_many_bad, with_table
from pipeline.data.features import Features, features_of
from pipeline.data.frames import frame_of_text
from pipeline.data.input_files import list_input, open_plain

MAX_BYTES = 64 * 2**20
MAX_JSON_BYTES = 16 * 2**20  # parsed, JSON takes up to 30 times its size in memory
MAX_FORM_BYTES = 2**16  # of fields that name a file
MAX_ROWS = 100_000
MAX_LINES = 10 * MAX_ROWS  # blank ones and those within quotes included
MAX_COLUMNS = 1_000
NUMBERS = (int, float)  # not `bool`, which is an `int`, too
NAME_KEYS = ("filename", "filepath")  # where neither is given, any other may name a client file
NAME_ONE = "name a client file, as in filename=testdata.csv"


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

        A name is only compared with those of the files in the folders: nothing that a caller sends
        is ever a path to the system. Whatever else it may be is refused by the same message, so
        that nobody learns which other files exist.
        """
        if not isinstance(name, str):
            raise RequestError(400, NAME_ONE)
        return _content(self.names().get(name))

    def read_named(self, values: Mapping[str, Any]) -> bytes | None:
        """The content of the client file that one of these values names; None if none does.

        Raises `RequestError` if there is none of the name under a key of ours, or if the values
        under other keys name several.
        """
        for key in NAME_KEYS:
            if key in values:
                return self.read(values[key])
        names = self.names()
        found = {names[text] for text in values.values() if isinstance(text, str) and text in names}
        if len(found) > 1:
            raise RequestError(400, f"{len(found)} client files are named: name one")
        return _content(*found) if found else None

    def names(self) -> dict[str, Path]:
        """The client files by their names: bare, from the root, and absolute.

        Of two files with the same name, that of the first folder has it.
        """
        found: dict[str, Path] = {}
        for folder in reversed(self.folders):
            before = ["", "/", f"{folder}/"]
            if folder.is_relative_to(self.root):
                below = folder.relative_to(self.root)
                before += [f"{below}/", f"./{below}/", f"/{below}/"]
            with suppress(DataError, OSError):  # a missing folder holds no file
                files = [file for file in list_input(folder) if file.regular]
                found |= {f"{start}{file.name}": file.path for start in before for file in files}
        return found


def _content(path: Path | None) -> bytes:
    """The content of a client file; raises `RequestError`."""
    if path:
        with suppress(OSError), io.BufferedReader(open_plain(path)) as stream:
            content = stream.read(MAX_BYTES)
            if len(content) == MAX_BYTES:
                raise _too_many_bytes(MAX_BYTES)
            return content
    raise RequestError(404, "no such client file in the test data or the input folder")


def rows_of_request(request: Request, files: ClientFiles, schema: Schema) -> ClientRows:
    """The client rows that the body of a request holds, or those of the file that it names.

    A name in its address counts where the body has neither. Raises `RequestError`.
    """
    if request.mimetype == "text/csv":
        return rows_of_csv(_body(request, MAX_BYTES), schema)
    if request.mimetype == "multipart/form-data":
        with request:
            uploads = [upload for _, upload in request.files.items(multi=True)]
            if len(uploads) > 1:
                raise RequestError(400, f"send one file, not {len(uploads)}")
            if uploads:
                return rows_of_csv(uploads[0].read(), schema)
        form: Mapping[str, str] = request.form
    else:
        body = _body(request, MAX_JSON_BYTES)
        said = request.mimetype == "application/json" and (body or not request.args)
        if said or body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
            return _rows_of_json(body, request.args, files, schema)
        form = request.form if len(body) < MAX_FORM_BYTES else {}
    if rows := rows_of_named(files, schema, form, request.args):
        return rows
    raise RequestError(415, f"send JSON, text/csv, a CSV file as an upload, or {NAME_ONE}")


def rows_of_named(
    files: ClientFiles, schema: Schema, *asked: Mapping[str, Any]
) -> ClientRows | None:
    """The rows of the client file that is named first; None if none is. Raises `RequestError`."""
    for values in asked:
        if (content := files.read_named(values)) is not None:
            return rows_of_csv(content, schema, most=MAX_BYTES)
    return None


def _rows_of_json(
    body: bytes, query: Mapping[str, str], files: ClientFiles, schema: Schema
) -> ClientRows:
    asked = parse_json(body)
    if isinstance(asked, dict):
        if not asked.keys() & {*NAME_KEYS}:
            if "clients" in asked:
                return rows_of_json(asked["clients"], schema)
            if asked.keys() & {*schema.features}:
                return rows_of_columns(asked, schema)
        if rows := rows_of_named(files, schema, asked, query):
            return rows
    expected = '"clients", a list for each feature, or the name of a client file'
    raise RequestError(422, f"expected an object with {expected}")


def _body(request: Request, most: int) -> bytes:
    """The body; one sent in chunks does not say how long it is, and is cut at the limit."""
    request.max_content_length = most = min(most, request.max_content_length or most)
    body = request.get_data()
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


def rows_of_csv(
    content: bytes, schema: Schema, *, for_people: bool = False, most: int = 0
) -> ClientRows:
    """The rows of a CSV text, checked by the rules of ingestion.

    `for_people`: reasons quote the value at fault, and the column of the client is read where
    there is one. What is ours may be packed, of up to `most` bytes. Raises `RequestError` if the
    text as a whole is refused.
    """
    # what is shorter cannot hold as many lines, and need not be counted
    if len(content) > MAX_LINES and content.count(b"\n") + content.count(b"\r") > MAX_LINES:
        raise RequestError(413, f"at most {MAX_LINES:,} lines at a time")
    good: list[str] = []
    bad: dict[int, BadRow] = {}
    lines: list[int] = []

    def read(table: Table) -> None:
        for kept in (good, bad, lines):
            kept.clear()
        if table.width > MAX_COLUMNS:
            raise _too_large()
        for block in table.blocks():
            if isinstance(block, GoodRows):
                good.append(block.text)
                lines.extend(range(block.line, block.line + block.text.count("\n")))
            else:
                bad[len(lines) + len(bad)] = block
            if len(lines) + len(bad) > MAX_ROWS:
                raise _too_large()
        if why := too_many_bad(list(bad.values()), len(lines) + len(bad)):
            raise DataError(why)

    try:
        columns = schema.features
        if for_people and with_table(
            _stream(content),
            schema,
            columns,
            lambda table: schema.client in table.header,
            most=most,
        ):
            columns = (schema.client, *columns)
        with_table(_stream(content), schema, columns, read, quote_values=for_people, most=most)
    except DataError as error:
        raise RequestError(422, f"the CSV {error}") from None
    frame = frame_of_text("".join(good), schema, columns)
    clients = frame[schema.client].tolist() if schema.client in columns else [""] * len(frame)
    return ClientRows(features_of(frame, schema), bad, lines, clients)


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
                texts.append(_text(client[column], schema.missing))
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


def rows_of_columns(columns: Mapping[str, Any], schema: Schema) -> ClientRows:
    """Rows in JSON by columns: a list for each feature. Raises `RequestError` for anything else."""
    if lacking := [name for name in schema.features if name not in columns]:
        raise RequestError(422, f"the columns lack {', '.join(lacking)}")
    lists = [columns[name] for name in schema.features]
    lengths = {len(values) if isinstance(values, list) else 0 for values in lists}
    if len(lengths) > 1 or 0 in lengths:
        raise RequestError(422, "each feature must be a list, all of one length and none empty")
    rows = islice(zip(*lists, strict=True), MAX_ROWS + 1)
    return rows_of_json([dict(zip(schema.features, row, strict=True)) for row in rows], schema)


def _number(value: Any) -> float:
    """A number of a client, NaN for null; raises `ValueError`."""
    if value is None:
        return math.nan
    if type(value) in NUMBERS and abs(value) <= LARGEST_NUMBER:
        return float(value)
    raise ValueError("must be a finite number or null")


def _text(value: Any, missing: Collection[str]) -> str:
    """A category of a client, empty for null or a word for it; raises `ValueError`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return canonical_category(value, missing)
    raise ValueError("must be a text or null")
