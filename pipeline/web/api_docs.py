"""The API's description for people to read: what to ask, what comes back, an example to paste."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any
from urllib.parse import urlencode

METHODS = ("get", "post")
SERVER = "http://127.0.0.1:8000"  # as it comes
_INDENT = "  "


@dataclass(frozen=True)
class Field:
    """A parameter of a request."""

    name: str
    where: str  # path or query
    needed: bool
    kind: str


@dataclass(frozen=True)
class Body:
    """What a request may carry, or an answer carries."""

    content_type: str
    shape: str
    example: str = ""  # of what is sent, for the shell


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked."""

    method: str
    path: str
    summary: str
    parameters: tuple[Field, ...]
    asked: tuple[Body, ...]
    answers: tuple[Body, ...]  # when all is well
    errors: tuple[tuple[str, str], ...]  # status, meaning
    example: str  # for the shell; empty where each body has its own
    open: bool  # needs no token

    @property
    def key(self) -> str:
        """What names it within the page."""
        return f"{self.method}{self.path}".lower().replace("/", "-").strip("-{}").replace("{", "")


def documented(description: dict[str, Any]) -> dict[str, Any]:
    """What the template of the docs shows of an OpenAPI description."""
    return {
        "title": description["info"]["title"],
        "about": description["info"]["description"],
        "operations": tuple(_operations(description)),
    }


def _operations(description: dict[str, Any]) -> Iterator[Operation]:
    for path, operations in description["paths"].items():
        for method in METHODS:
            if told := operations.get(method):
                yield _operation(method, path, told)


def _operation(method: str, path: str, told: dict[str, Any]) -> Operation:
    answers = told["responses"]
    address = _address(path, told.get("parameters", ()))
    asked = tuple(_asked(address, told.get("requestBody", {}).get("content", {})))
    return Operation(
        method=method.upper(),
        path=path,
        summary=told["summary"],
        parameters=tuple(
            Field(p["name"], p["in"], p["required"], "".join(_shape(p["schema"], "")))
            for p in told.get("parameters", ())
        ),
        asked=asked,
        answers=tuple(
            Body(content_type, _lines(body))
            for content_type, body in answers["200"].get("content", {}).items()
        ),
        errors=tuple(
            (status, a["description"]) for status, a in answers.items() if status != "200"
        ),
        example="" if asked else f"curl {address}",
        open=told.get("security") == [],
    )


def _asked(address: str, content: dict[str, Any]) -> Iterator[Body]:
    """What may be sent, each with a line for the shell that sends an example of it."""
    table = content.get("text/csv", {}).get("example", "")
    typed = "printf '%s\\n' " + " ".join(map(quote, table.splitlines()))
    for content_type, body in content.items():
        sent = f"curl -H 'Content-Type: {content_type}'"
        if content_type == "application/json":
            example = (
                f"{sent} -d {quote(json.dumps(body['example'], ensure_ascii=False))} {address}"
            )
        elif content_type == "multipart/form-data":
            example = f"{typed} | curl -F 'file=@-;filename=clients.csv' {address}"
        else:
            example = f"{typed} | {sent} --data-binary @- {address}"
        yield Body(content_type, _lines(body), example)


def _address(path: str, parameters: Sequence[dict[str, Any]]) -> str:
    """The address with the examples of the parameters, as the shell wants it."""
    given = {p["name"]: p["example"] for p in parameters if "example" in p}
    query = {p["name"]: p["example"] for p in parameters if "example" in p and p["in"] == "query"}
    return quote(f"{SERVER}{path.format_map(given)}{'?' if query else ''}{urlencode(query)}")


def _lines(body: dict[str, Any]) -> str:
    return "".join(_shape(body["schema"], "\n"))


def _shape(schema: dict[str, Any], line: str) -> Iterator[str]:
    """What a value looks like, as JSON with kinds in place of values; `line` begins each line."""
    if "anyOf" in schema:
        for place, choice in enumerate(schema["anyOf"]):
            yield f"{line}or " if place else ""
            yield from _shape(choice, line)
    elif "enum" in schema:
        yield " | ".join("null" if v is None else str(v) for v in schema["enum"])
        yield _default(schema)
    elif "properties" in schema:
        yield from _object(schema, line)
    elif "additionalProperties" in schema:
        yield '{"…": '
        yield from _shape(schema["additionalProperties"], f"{line}{_INDENT}")
        yield "}"
    elif "items" in schema:
        yield "["
        yield from _shape(schema["items"], f"{line}{_INDENT}")
        yield ", …]"
    else:
        yield _scalar(schema)


def _object(schema: dict[str, Any], line: str) -> Iterator[str]:
    yield "{"
    for name, value in schema["properties"].items():
        optional = "" if name in schema.get("required", ()) else " (only where there are any)"
        yield f'{line}{_INDENT}"{name}": '
        yield from _shape(value, f"{line}{_INDENT}")
        yield optional
        if about := value.get("description"):
            yield f"  ({about})"
    yield f"{line}}}"


def _scalar(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", "anything")
    told = " | ".join(kinds) if isinstance(kinds, list) else str(kinds)
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        told += f", {low:,} to {high:,}"
    elif low is not None:
        told += f", {low:,} or more"
    return told + _default(schema)


def _default(schema: dict[str, Any]) -> str:
    return f", {schema['default']} if not said" if "default" in schema else ""
