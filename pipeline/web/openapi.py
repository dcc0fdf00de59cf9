"""The OpenAPI description of the API, made from the types that its routes take and answer with."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from pipeline.core.schema import Schema
from pipeline.web.request_rows import NAME_KEYS, row_types

Described = dict[str, Any]


class CsvText(str):
    """An answer in CSV."""


TEXT: Described = {"type": "string"}
ROWS = ("rows", "columns")  # how client rows may come in JSON
REFERENCE = "#/components/schemas/{name}"
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


class Error(msgspec.Struct):
    """What every request that fails is answered with."""

    error: str


@dataclass(frozen=True)
class Operation:
    """A request that can be made, and the function whose return type is the answer's."""

    method: str
    rule: str
    view: Callable[..., object]
    errors: tuple[int, ...]
    query: type[msgspec.Struct] | None = None  # the parameters in its address
    body: Any = None  # the type of what is sent; `ROWS`: client rows
    needs_token: bool = True

    @property
    def path(self) -> str:
        """The address, with the names of its parameters in braces."""
        return re.sub(r"<\w+:(\w+)>", r"{\1}", self.rule)

    @property
    def answers(self) -> tuple[Any, ...]:
        """The types of its answers."""
        answer = get_type_hints(self.view)["return"]
        return get_args(answer) if get_origin(answer) is UnionType else (answer,)

    def parameters(self, schema: Schema) -> Described:
        """The JSON Schemas of the parameters in its address, for tables of a schema."""
        found = properties_of(self.query) if self.query else {}
        carried = dict.fromkeys(schema.carry if "carried" in found else (), TEXT)
        return {name: found[name] for name in found if name != "carried"} | carried

    def description(self, schema: Schema, types: dict[Any, Described]) -> Described:
        """The operation as OpenAPI describes it; `types` has the JSON Schemas of answers."""
        responses = {"200": _response("done", self.answers, types)}
        responses |= {str(code): _response(ERRORS[code], [Error], types) for code in self.errors}
        summary = (self.view.__doc__ or "").partition("\n")[0].rstrip(".")
        described: Described = {"summary": summary, "responses": responses, "parameters": []}
        for name in re.findall("{(.*?)}", self.path):
            parameter = {"name": name, "in": "path", "required": True, "schema": TEXT}
            described["parameters"].append(parameter)
        for name, kind in self.parameters(schema).items():
            described["parameters"].append({"name": name, "in": "query", "schema": kind})
        if self.body is ROWS:
            described["requestBody"] = _client_rows(schema, types)
        elif self.body:
            content = {"application/json": {"schema": types[self.body]}}
            described["requestBody"] = {"required": True, "content": content}
        return described if self.needs_token else {**described, "security": []}


@cache
def properties_of(kind: type[msgspec.Struct]) -> Described:
    """The JSON Schemas of the fields of a type."""
    _, components = msgspec.json.schema_components([kind])
    found: Described = components[kind.__name__]["properties"]
    return found


def description(schema: Schema, operations: Sequence[Operation]) -> Described:
    """The OpenAPI document of some operations, for tables of a schema."""
    client, columns = row_types(schema.numeric, schema.categorical)
    sent = [one.body for one in operations if one.body not in (None, ROWS)]
    others = [Error, *dict.fromkeys(kind for one in operations for kind in one.answers), *sent]
    described, components = msgspec.json.schema_components(
        [list[client], columns, *others],  # type: ignore[valid-type]
        schema_hook=lambda _: TEXT,
        ref_template=REFERENCE,
    )
    components = msgspec.json.decode(msgspec.json.encode(components))  # no tuples
    for component in components.values():
        if "contact_status" in component.get("properties", ()):  # a client of the ranking
            component["properties"] |= dict.fromkeys(schema.carry, TEXT)
            component["required"] += schema.carry
    types = dict(zip([*ROWS, *others], described, strict=True))
    paths: dict[str, Described] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = one.description(schema, types)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Which clients are about to leave",
            "version": "1",
            "description": "Predictions, scores, statistics, diagnostics and the client ranking.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _response(meaning: str, kinds: Sequence[Any], types: dict[Any, Described]) -> Described:
    media = {str: "text/plain", CsvText: "text/csv"}
    content = {media.get(kind, "application/json"): {"schema": types[kind]} for kind in kinds}
    return {"description": meaning, "content": content}


def _client_rows(schema: Schema, types: dict[Any, Described]) -> Described:
    """The rows of a schema that can be sent, in each of the forms that are taken."""
    named = {"type": "object", "additionalProperties": TEXT, "minProperties": 1}
    file = {"type": "string", "format": "binary"}
    rows, columns = (types[form] for form in ROWS)
    forms = [*((key, TEXT) for key in NAME_KEYS), ("clients", rows)]
    example = dict.fromkeys(schema.numeric, 1) | dict.fromkeys(schema.categorical, "a")
    table = StringIO()
    csv.writer(table, lineterminator="\n").writerows([example, example.values()])
    content: Described = {
        "application/json": {
            "schema": {"anyOf": [*(_object(*form) for form in forms), columns, named]},
            "example": {"clients": [example]},
        },
        "text/csv": {"schema": TEXT, "example": table.getvalue()},
        "multipart/form-data": {"schema": {"anyOf": [_object("file", file), named]}},
        "application/x-www-form-urlencoded": {
            "schema": named,
            "example": {"filename": "testdata.csv"},
        },
    }
    return {"description": BODY, "content": content}


def _object(key: str, value: Described) -> Described:
    return {"type": "object", "properties": {key: value}, "required": [key]}
