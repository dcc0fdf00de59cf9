"""JSON read into dataclasses, each value checked against the type of its field."""

from typing import Any, TypeVar

from pipeline.core.schema import UNTELLABLE

T = TypeVar("T")


def from_json(content: bytes, kind: type[T]) -> T:
    """The dataclass that a JSON text holds.

    Unknown keys are ignored. Raises `ValueError` that names the place where a value is missing or
    of another type.
    """
    import msgspec  # a tick that finds nothing new reads no such file

    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None


def is_printable(value: Any) -> bool:
    """Whether every text within a JSON value can be shown on one line."""
    if isinstance(value, str):
        return not UNTELLABLE.search(value)
    if isinstance(value, dict):
        return all(map(is_printable, (*value, *value.values())))
    return all(map(is_printable, value)) if isinstance(value, list | tuple) else True
