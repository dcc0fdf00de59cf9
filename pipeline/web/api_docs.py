"""The OpenAPI description for people to read: shapes of bodies, and examples for the shell."""

import json
from collections.abc import Iterator, Sequence
from shlex import quote
from urllib.parse import urlencode

from pipeline.web.openapi import Described

SERVER = "http://127.0.0.1:8000"  # where `python app.py` serves
INDENT = "  "


def example(path: str, operation: Described, content_type: str = "") -> str:
    """A line for the shell that makes a request; one with a body sends it as this content type."""
    address = _address(path, operation.get("parameters", ()))
    send = f"curl -H 'Content-Type: {content_type}'"
    if not content_type:
        return f"curl {address}"
    content = operation["requestBody"]["content"]
    if content_type == "application/json":
        clients = json.dumps(content[content_type]["example"], ensure_ascii=False)
        return f"{send} -d {quote(clients)} {address}"
    if content_type == "application/x-www-form-urlencoded":
        return f"curl -d {quote(urlencode(content[content_type]['example']))} {address}"
    table = content["text/csv"]["example"]
    lines = "printf '%s\\n' " + " ".join(map(quote, table.splitlines()))
    if content_type == "multipart/form-data":
        return f"{lines} | curl -F 'file=@-;filename=clients.csv' {address}"
    return f"{lines} | {send} --data-binary @- {address}"


def _address(path: str, parameters: Sequence[Described]) -> str:
    """The address with the examples of the parameters, quoted for the shell."""
    given = {p["name"]: p["example"] for p in parameters if "example" in p}
    query = {p["name"]: p["example"] for p in parameters if "example" in p and p["in"] == "query"}
    return quote(f"{SERVER}{path.format_map(given)}{'?' if query else ''}{urlencode(query)}")


def shape(schema: Described, line: str = "\n") -> str:
    """What a value looks like, as JSON with kinds in place of values; `line` begins each line."""
    return "".join(_shape(schema, line))


def _shape(schema: Described, line: str) -> Iterator[str]:
    if "anyOf" in schema:
        for place, choice in enumerate(schema["anyOf"]):
            yield f"{line}or " if place else ""
            yield from _shape(choice, line)
    elif "properties" in schema:
        yield from _object(schema, line)
    elif "additionalProperties" in schema:
        yield '{"…": '
        yield from _shape(schema["additionalProperties"], line + INDENT)
        yield "}"
    elif "items" in schema:
        yield "["
        yield from _shape(schema["items"], line + INDENT)
        yield ", …]"
    else:
        yield _scalar(schema)


def _object(schema: Described, line: str) -> Iterator[str]:
    yield "{"
    for name, value in schema["properties"].items():
        yield f'{line}{INDENT}"{name}": '
        yield from _shape(value, line + INDENT)
        yield "" if name in schema["required"] else " (only where there are any)"
        yield f"  ({value['description']})" if "description" in value else ""
    yield f"{line}}}"


def _scalar(schema: Described) -> str:
    kinds = schema.get("enum") or schema.get("type", "anything")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    text = " | ".join("null" if kind is None else str(kind) for kind in kinds)
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        text += f", {low:,} or more" if high is None else f", {low:,} to {high:,}"
    return text + (f", {schema['default']} by default" if "default" in schema else "")
