"""The OpenAPI description of the API, made from the types that its routes answer with."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from io import StringIO
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pipeline.core.schema import LARGEST_NUMBER, Schema
from pipeline.web.request_rows import MAX_COLUMNS, MAX_ROWS

Described = dict[str, Any]


class CsvText(str):
    """An answer in CSV."""


OPTIONAL = {"optional": True}  # metadata of a field that is left out of an answer where it is empty
KINDS: dict[type, Described] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},  # all those of our answers are counts and places
    float: {"type": "number"},
    str: {"type": "string"},
    CsvText: {"type": "string"},
    object: {},
}
FEATURE = Annotated[float | None, {"minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER}]
BODY = (
    "Client rows, in JSON by rows or by columns, or the name of a client file under any key. An"
    " upload may be in any field. JSON is also taken without its content type."
)
ERRORS = {
    400: "the request is malformed",
    401: "the token is missing or wrong",
    403: "a page of another site sent the request",
    404: "there is no such thing",
    413: "too large",
    415: "a content type that is not taken",
    422: "the rows cannot be used",
    503: "not there yet: nothing is deployed or recorded, or the data cannot be read",
}


@dataclass(frozen=True)
class Error:
    """What every request that fails is answered with."""

    error: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request, with the JSON Schema of its values."""

    name: str
    schema: Described
    where: str = "query"
    example: str = ""

    def description(self) -> Described:
        """The parameter as OpenAPI describes it."""
        described = {"name": self.name, "in": self.where, "required": self.where == "path"}
        example = {"example": self.example} if self.example else {}
        return {**described, "schema": self.schema, **example}


@dataclass(frozen=True)
class Operation:
    """A request that can be made, and the function whose return type is the answer's."""

    method: str
    rule: str
    view: Callable[..., object]
    errors: tuple[int, ...]
    parameters: tuple[Parameter, ...] = ()
    takes_rows: bool = False
    body: Described | None = None  # the JSON Schema of what is sent, if that is not client rows
    by_carried: bool = False  # whether the columns that no model sees are parameters, too
    needs_token: bool = True

    @property
    def path(self) -> str:
        """The address, with the names of its parameters in braces."""
        return re.sub(r"<\w+:(\w+)>", r"{\1}", self.rule)

    def asked(self, schema: Schema) -> list[Parameter]:
        """All its parameters, for tables of a schema."""
        carried = schema.carry if self.by_carried else ()
        return [*self.parameters, *(Parameter(name, KINDS[str]) for name in carried)]

    def description(self, schema: Schema) -> Described:
        """The operation as OpenAPI describes it, for tables of a schema."""
        answer = get_type_hints(self.view)["return"]
        kinds = get_args(answer) if get_origin(answer) is UnionType else (answer,)
        responses = {"200": _response("done", kinds, schema.carry)}
        for status in self.errors:
            responses[str(status)] = _response(ERRORS[status], [Error])
        summary = (self.view.__doc__ or "").partition("\n")[0].rstrip(".")
        described: Described = {"summary": summary, "responses": responses}
        if parameters := self.asked(schema):
            described["parameters"] = [one.description() for one in parameters]
        if self.takes_rows:
            described["requestBody"] = _client_rows(schema)
        if self.body:
            content = {"application/json": {"schema": self.body, "example": {"client": "CLIENT"}}}
            described["requestBody"] = {"required": True, "content": content}
        return described if self.needs_token else {**described, "security": []}


def description(schema: Schema, operations: Sequence[Operation]) -> Described:
    """The OpenAPI document of some operations, for tables of a schema."""
    paths: dict[str, Described] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = one.description(schema)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Which clients are about to leave",
            "version": "1",
            "description": "Predictions, scores, statistics, diagnostics and the client ranking.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def schema_of(kind: Any, carry: Sequence[str] = ()) -> Described:
    """The JSON Schema of a type, with the keywords that `Annotated` adds to it.

    All fields of a dataclass are required, but those with `OPTIONAL` for metadata. A `TypedDict` is
    a client of the ranking: it has the columns of `carry` beside its keys.
    """
    # msgspec makes the same schemas, but takes its limits only in metadata of its own, which would
    # bring it into packages that know of no API, and calls all fields with a default optional
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return {**schema_of(arguments[0], carry), **arguments[1]}
    if origin in (Union, UnionType):
        return _nullable(*(schema_of(one, carry) for one in arguments if one is not NoneType))
    if origin is Literal:
        return {"type": KINDS[type(arguments[0])]["type"], "enum": list(arguments)}
    if origin in (list, tuple):
        return {"type": "array", "items": schema_of(arguments[0], carry)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if is_typeddict(kind):
        keys = get_type_hints(kind, include_extras=True) | dict.fromkeys(carry, str)
        return _object({name: schema_of(hint) for name, hint in keys.items()}, keys)
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        required = [field.name for field in fields(kind) if not field.metadata.get("optional")]
        return _object({name: schema_of(hint, carry) for name, hint in hints.items()}, required)
    if issubclass(kind, Enum):
        return {"type": "string", "enum": [member.value for member in kind]}
    return dict(KINDS[kind])


def _nullable(schema: Described) -> Described:
    if "properties" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    choices = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **choices}


def _object(properties: Described, required: Iterable[str]) -> Described:
    return {"type": "object", "properties": properties, "required": list(required)}


def _response(meaning: str, answers: Sequence[Any], carry: Sequence[str] = ()) -> Described:
    types = {str: "text/plain", CsvText: "text/csv"}
    content = {
        types.get(kind, "application/json"): {"schema": schema_of(kind, carry)} for kind in answers
    }
    return {"description": meaning, "content": content}


def _client_rows(schema: Schema) -> Described:
    """The rows of a schema that can be sent, in each of the forms that are taken."""
    columns = dict.fromkeys(schema.numeric, schema_of(FEATURE))
    columns |= dict.fromkeys(schema.categorical, schema_of(str | None))
    client = {**_object(columns, columns), "maxProperties": MAX_COLUMNS}
    some = {"type": "array", "minItems": 1, "maxItems": MAX_ROWS}
    forms = {
        "filepath": schema_of(str),
        "filename": schema_of(str),
        "clients": some | {"items": client},
    }
    lists = {name: some | {"items": value} for name, value in columns.items()}
    named = {**schema_of(dict[str, str]), "minProperties": 1}
    binary = {"file": {"type": "string", "format": "binary"}}
    example = dict.fromkeys(schema.numeric, 1) | dict.fromkeys(schema.categorical, "a")
    table = StringIO()
    csv.writer(table, lineterminator="\n").writerows([example, example.values()])
    return {
        "description": BODY,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        *(_object({key: form}, [key]) for key, form in forms.items()),
                        _object(lists, lists),
                        named,
                    ]
                },
                "example": {"clients": [example]},
            },
            "text/csv": {"schema": schema_of(str), "example": table.getvalue()},
            "multipart/form-data": {"schema": {"anyOf": [_object(binary, binary), named]}},
            "application/x-www-form-urlencoded": {
                "schema": named,
                "example": {"filename": "testdata.csv"},
            },
        },
    }
