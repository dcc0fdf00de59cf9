"""Typed values out of a JSON object, with every problem noted by its key."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError


@dataclass(frozen=True)
class Kind:
    """What a value has to be: how that is checked, how a message says it, what is made of it."""

    check: Callable[[Any], bool]
    expected: str
    make: Callable[[Any], Any] = lambda value: value


def one_of(*words: str) -> Kind:
    """One of some words."""
    return Kind(
        lambda value: isinstance(value, str) and value in words,
        f"one of {', '.join(as_json(word) for word in words)}",
    )


def member(values: type[StrEnum]) -> Kind:
    """One of the values of an enum."""
    return replace(one_of(*values), make=values)


def whole_number(least: int, most: int | None = None) -> Kind:
    """A whole number within limits."""
    return Kind(
        lambda value: type(value) is int and value >= least and (most is None or value <= most),
        f"a whole number {f'of at least {least}' if most is None else f'from {least} to {most}'}",
    )


def number(check: Callable[[float], bool], expected: str) -> Kind:
    """A number that passes a check; a bool is none."""
    return Kind(lambda value: type(value) in (int, float) and check(value), expected)


def optional(kind: Kind) -> Kind:
    """What may be null as well."""
    return Kind(lambda value: value is None or kind.check(value), kind.expected)


class ObjectReader:
    """Takes typed values out of a JSON object and collects what is wrong with them."""

    def __init__(self, values: Mapping[str, Any], problems: list[str], within: str = "") -> None:
        self.values, self.problems, self.within = values, problems, within

    def check_keys(self, known: tuple[str, ...]) -> None:
        """Note every key that is not known, with the nearest one that is."""
        for key in self.values:
            if key not in known:
                import difflib  # only where something is wrong

                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
                self.problem(key, f"is not a known key; {hint}")

    def problem(self, key: str, what: str) -> None:
        """Note what is wrong with a key."""
        self.problems.append(f'"{self.within}{key}" {what}')

    def get(self, key: str, default: Any, kind: Kind) -> Any:
        """The value of a key; the default where there is none, or one that is noted as wrong."""
        value = self.values.get(key, default)
        if kind.check(value):
            return kind.make(value)
        self.problem(key, f"must be {kind.expected}, not {as_json(value)}")
        return default

    def text(self, key: str, default: str = "") -> str:
        """A text that is not empty."""
        value = self.values.get(key, default)
        if isinstance(value, str) and value.strip():
            return value
        self.problem(key, "is missing" if key not in self.values else "must be a text in quotes")
        return default

    def names(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of names."""
        return tuple(name.strip() for name in self.get(key, list(default), _NAMES))

    def part(self, key: str, known: tuple[str, ...]) -> "ObjectReader":
        """The object under a key, which may have these keys, for reading in turn."""
        part = ObjectReader(self.get(key, {}, _OBJECT), self.problems, f"{self.within}{key}.")
        part.check_keys(known)
        return part

    def parts(self, key: str, known: tuple[str, ...]) -> "Iterator[ObjectReader]":
        """The objects in the list under a key, as `part` gives one; none if there is no list."""
        given = self.values.get(key, [])
        if not (isinstance(given, list) and all(isinstance(each, dict) for each in given)):
            self.problem(key, "must be a list of objects in braces")
            return
        for i, values in enumerate(given):
            part = ObjectReader(values, self.problems, f"{self.within}{key}[{i}].")
            part.check_keys(known)
            yield part


URL = optional(
    Kind(
        lambda value: isinstance(value, str) and value.startswith(("http://", "https://")),
        "an http:// or https:// address or null",
    )
)
_OBJECT = Kind(lambda value: isinstance(value, dict), "an object in braces")
_NAMES = Kind(
    lambda value: (
        isinstance(value, list) and all(isinstance(name, str) and name.strip() for name in value)
    ),
    "a list of names",
)


def read_object(path: Path) -> dict[str, Any]:
    """The one object that a JSON file holds; raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file (name one with --config)") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start})") from None
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: must hold one object in braces")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f'has the key "{next(k for k in keys if keys.count(k) > 1)}" twice')
    return values


def as_json(value: Any) -> str:
    """A value as a message quotes it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "…"
