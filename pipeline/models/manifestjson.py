"""The JSON of manifests: written, and read value by value.

What reads raises `ValueError` where a value is missing or of another kind.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from pipeline.core.schema import UNTELLABLE

UNREADABLE = (OSError, ValueError, OverflowError, RecursionError)  # whatever a manifest holds


def load_object(path: Path) -> dict[str, Any]:
    """The object that a manifest holds; raises one of `UNREADABLE`."""
    told = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    if type(told) is not dict:
        raise ValueError("it holds no object")
    return told


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def get(told: dict[str, Any], key: str, *kinds: type) -> Any:
    """A value, of one of these types."""
    if key not in told:
        raise ValueError(f'"{key}" is missing')
    if not is_one_of(told[key], kinds):
        raise ValueError(f'"{key}" is not what it should be')
    return told[key]


def get_list(told: dict[str, Any], key: str, *kinds: type) -> tuple[Any, ...]:
    """The values of an array, each of one of these types."""
    values = get(told, key, list)
    if not all(is_one_of(value, kinds) for value in values):
        raise ValueError(f'"{key}" holds something else than it should')
    return tuple(values)


def get_texts(told: dict[str, Any], key: str) -> dict[str, str]:
    """An object of texts."""
    values: dict[str, str] = get(told, key, dict)
    if not all(is_one_of(value, (str,)) for value in values.values()):
        raise ValueError(f'"{key}" holds something else than texts')
    return values


def is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a value is of one of these types, and can be shown if it is a text."""
    return type(value) in kinds and not (type(value) is str and UNTELLABLE.search(value))


def json_text(told: dict[str, Any]) -> str:
    """An object as the file of a manifest holds it."""
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
