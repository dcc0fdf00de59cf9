"""What a request to predict may hold: a file's name, client rows in JSON, or a CSV text.

Messages name the place of a fault and never repeat a value.
"""

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from flask import Request

from pipeline.core.errors import DataError, PipelineError
from pipeline.core.schema import LARGEST_NUMBER, Schema, canonical_category
from pipeline.data.csv_reader import BadRow, GoodRows, Table, too_many_bad, with_table
from pipeline.data.frames import Features, features_of, frame_of_text
from pipeline.data.input_files import list_input, open_plain

MAX_BYTES = 64 * 2**20
MAX_JSON_BYTES = 16 * 2**20  # parsed, JSON takes up to 30 times its size in memory
MAX_FORM_BYTES = 2**16  # of fields that name a file
MAX_ROWS = 100_000
MAX_LINES = 10 * MAX_ROWS  # blank ones and those within quotes included
MAX_COLUMNS = 1_000
NAME_KEYS = ("filename", "filepath")  # where neither is given, any other may name a client file
NAME_ONE = "name a client file, as in filename=testdata.csv"

Number = Annotated[float, msgspec.Meta(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)] | None
Text = str | None


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
        good = iter(values)
        total = len(values) + len(self.bad)
        return [None if place in self.bad else next(good) for place in range(total)]


@dataclass(frozen=True)
class ClientFiles:
    """The client files that a request may name: those of some folders."""

    folders: tuple[Path, ...]
    root: Path  # the folder from which paths may be given

    def read_named(self, values: Mapping[str, Any]) -> bytes | None:
        """The content of the client file that one of these values names; None if none does.

        A name is only compared with those of the files in the folders: nothing that a caller sends
        is ever a path to the system. Under a key of ours, whatever else it may be is refused by
        the same message, so that nobody learns which other files exist. Raises `RequestError`,
        also if the values under other keys name several files.
        """
        names = self.names()
        for key in NAME_KEYS:
            if key in values:
                if not isinstance(values[key], str):
                    raise RequestError(400, NAME_ONE)
                return _content(names.get(values[key]))
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
    if path:
        with suppress(OSError), io.BufferedReader(open_plain(path)) as stream:
            return _within(stream.read(MAX_BYTES), MAX_BYTES)
    raise RequestError(404, "no such client file in the test data or the input folder")


def _within(content: bytes, most: int) -> bytes:
    if len(content) >= most:
        raise RequestError(413, f"less than {most:,} bytes at a time")
    return content


def rows_of_request(request: Request, files: ClientFiles, schema: Schema) -> ClientRows:
    """The client rows that the body of a request holds, or those of the file that it names.

    A name in its address counts where the body has neither. Raises `RequestError`.
    """
    form: Mapping[str, Any] = {}
    if request.mimetype == "text/csv":
        return rows_of_csv(_body(request, MAX_BYTES), schema)
    if request.mimetype == "multipart/form-data":
        with request:
            uploads = [upload for _, upload in request.files.items(multi=True)]
            if len(uploads) > 1:
                raise RequestError(400, f"send one file, not {len(uploads)}")
            if uploads:
                return rows_of_csv(uploads[0].read(), schema)
        form = request.form
    else:
        body = _body(request, MAX_JSON_BYTES)
        said = request.mimetype == "application/json" and (body or not request.args)
        if said or body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
            return _rows_of_body(body, request.args, files, schema)
        if len(body) < MAX_FORM_BYTES:
            form = request.form
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


def _body(request: Request, most: int) -> bytes:
    """The body; one sent in chunks does not say how long it is, and is cut at the limit."""
    request.max_content_length = most = min(most, request.max_content_length or most)
    return _within(request.get_data(), most)


def _rows_of_body(
    body: bytes, query: Mapping[str, str], files: ClientFiles, schema: Schema
) -> ClientRows:
    asked = parse_json(body)
    if isinstance(asked, dict):
        if not asked.keys() & {*NAME_KEYS} and asked.keys() & {"clients", *schema.features}:
            return rows_of_json(asked, schema)
        if rows := rows_of_named(files, schema, asked, query):
            return rows
    expected = '"clients", a list for each feature, or the name of a client file'
    raise RequestError(422, f"expected an object with {expected}")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text; raises `RequestError`."""
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise RequestError(400, "the body is not JSON, or has a number too large") from None
    except RecursionError:
        raise RequestError(400, "the JSON is nested too deeply") from None


@cache
def row_types(
    numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> tuple[type[msgspec.Struct], type[msgspec.Struct]]:
    """What JSON says of a client, null where a value is missing, and of many by columns."""
    row = dict.fromkeys(numeric, Number) | dict.fromkeys(categorical, Text)
    columns = dict.fromkeys(numeric, list[Number]) | dict.fromkeys(categorical, list[Text])
    return _struct("ClientRow", row), _struct("ClientColumns", columns)


def _struct(name: str, kinds: Mapping[str, Any]) -> type[msgspec.Struct]:
    # a column may have a name that no attribute of a class can have
    fields = [
        (f"f{i}", kind, msgspec.field(name=key)) for i, (key, kind) in enumerate(kinds.items())
    ]
    return msgspec.defstruct(name, fields)


def rows_of_json(asked: Mapping[str, Any], schema: Schema) -> ClientRows:
    """Rows in JSON: a list `clients` of objects, else a list for each feature.

    Raises `RequestError` for anything else.
    """
    client, table = row_types(schema.numeric, schema.categorical)
    astuple, numbers = msgspec.structs.astuple, len(schema.numeric)
    try:
        if "clients" in asked:
            rows = msgspec.convert(asked["clients"], list[client])  # type: ignore[valid-type]
            columns = [*zip(*map(astuple, rows), strict=True)]
        else:
            columns = [*astuple(msgspec.convert(asked, table))]
        counts = {*map(len, columns)}
        if len(counts) != 1 or counts == {0}:
            raise ValueError("expected one or more, and as many values of each feature")
        texts = [
            [canonical_category(text or "", schema.missing) for text in column]
            for column in columns[numbers:]
        ]
    except ValueError as error:
        raise RequestError(422, f"the client rows: {error}") from None
    if (count := counts.pop()) > MAX_ROWS:
        raise _too_large()
    values = np.array(columns[:numbers], dtype="float64").reshape(numbers, count)
    return ClientRows(Features(np.ascontiguousarray(values.T), tuple(texts)))


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

    def names_clients(table: Table) -> bool:
        return schema.client in table.header

    columns = schema.features
    stream: io.BufferedReader = io.BufferedReader(io.BytesIO(content))
    try:
        if for_people and with_table(stream, schema, columns, names_clients, most=most):
            columns = (schema.client, *columns)
        with_table(stream, schema, columns, read, quote_values=for_people, most=most)
    except DataError as error:
        raise RequestError(422, f"the CSV {error}") from None
    frame = frame_of_text("".join(good), schema, columns)
    clients = frame[schema.client].tolist() if schema.client in columns else [""] * len(frame)
    return ClientRows(features_of(frame, schema), bad, lines, clients)


def _too_large() -> RequestError:
    return RequestError(413, f"at most {MAX_ROWS:,} rows of {MAX_COLUMNS:,} columns at a time")
