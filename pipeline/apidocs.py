"""The API's description for people to read: what to ask, what comes back, an example to paste."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post")
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
    example: str
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
    asked = _bodies(told.get("requestBody", {}))
    return Operation(
        method=method.upper(),
        path=path,
        summary=told["summary"],
        parameters=tuple(
            Field(p["name"], p["in"], p["required"], "".join(_shape(p["schema"], "")))
            for p in told.get("parameters", ())
        ),
        asked=asked,
        answers=_bodies(answers["200"]),
        errors=tuple(
            (status, a["description"]) for status, a in answers.items() if status != "200"
        ),
        example=_example(method, path, asked),
        open=told.get("security") == [],
    )


def _bodies(told: dict[str, Any]) -> tuple[Body, ...]:
    return tuple(
        Body(content_type, "".join(_shape(body["schema"], "\n")))
        for content_type, body in told.get("content", {}).items()
    )


def _example(method: str, path: str, asked: tuple[Body, ...]) -> str:
    """A line for the shell, of the server as it comes."""
    url = f"http://127.0.0.1:8000{path.replace('{', '').replace('}', '')}"
    if method == "post" and any(body.content_type == "multipart/form-data" for body in asked):
        return f"curl -F file=@clients.csv {url}"
    return f"curl {url}"


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
