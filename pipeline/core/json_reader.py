"""Typed values out of JSON: the config's, with every problem noted by its key, and records."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.errors import ConfigError

T = TypeVar("T")
# of a name or text that has to be shown on one line
UNTELLABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Kind:
    """What a value has to be: how that is checked, how a message says it, what is made of it."""

    check: Callable[[Any], bool]
    expected: str
    make: Callable[[Any], Any] = lambda value: value
    quoted: bool = True  # whether a message may repeat a wrong value


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


def text(check: Callable[[str], object], expected: str, *, quoted: bool = True) -> Kind:
    """A text that passes a check, without the spaces around it."""
    return Kind(
        lambda value: isinstance(value, str) and bool(check(value.strip())),
        expected,
        str.strip,
        quoted,
    )


def optional(kind: Kind) -> Kind:
    """What may be null as well."""
    return replace(
        kind,
        check=lambda value: value is None or kind.check(value),
        make=lambda value: None if value is None else kind.make(value),
    )


BOOL = Kind(lambda value: isinstance(value, bool), "true or false")
TEXT = text(bool, "a text in quotes", quoted=False)
NAMES = Kind(
    lambda value: isinstance(value, list) and all(map(TEXT.check, value)),
    "a list of names",
    lambda value: tuple(map(str.strip, value)),
)
URL = replace(
    optional(
        text(
            lambda value: value.startswith(("http://", "https://")),
            "an http:// or https:// address or null",
        )
    ),
    make=lambda value: value and value.strip().rstrip("/"),
)
_OBJECT = Kind(lambda value: isinstance(value, dict), "an object in braces")


@dataclass(frozen=True)
class Key:
    """What a field of a dataclass is called in the config, where that is not its name."""

    name: str


def _keys(cls: Any) -> dict[str, tuple[str, Kind]]:
    """The fields of a dataclass that are annotated with a kind: the key and the kind of each."""
    hints = {name: getattr(h, "__metadata__", ()) for name, h in cls.__annotations__.items()}
    return {
        name: (each[1].name if len(each) > 1 else name, each[0])
        for name, each in hints.items()
        if each
    }


def keys_of(cls: Any) -> tuple[str, ...]:
    """The keys of the config that a dataclass has."""
    return tuple(key for key, _ in _keys(cls).values())


class ObjectReader:
    """Takes typed values out of a JSON object and collects what is wrong with them."""

    def __init__(
        self,
        values: Mapping[str, Any],
        problems: list[str],
        known: tuple[str, ...],
        within: str = "",
    ) -> None:
        self.values, self.problems, self.within = values, problems, within
        for key in values:
            if key not in known:
                import difflib  # only where something is wrong

                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
                self.problem(key, f"is not a known key; {hint}")

    def problem(self, key: str, what: str) -> None:
        """Note what is wrong with a key."""
        self.problems.append(f'"{self.within}{key}" {what}')

    def get(self, key: str, kind: Kind, default: Any = MISSING) -> Any:
        """The value of a key; where it is not there, or noted as wrong, the default or nothing."""
        if key in self.values and kind.check(self.values[key]):
            return kind.make(self.values[key])
        if key in self.values:
            found = f", not {as_json(self.values[key])}" if kind.quoted else ""
            self.problem(key, f"must be {kind.expected}{found}")
        elif default is MISSING:
            self.problem(key, "is missing")
        return "" if default is MISSING else default

    def names(self, key: str, default: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
        """A list of some of the names that are known."""
        found: tuple[str, ...] = self.get(key, NAMES, default)
        for unknown in sorted({*found} - {*known}):
            self.problem(key, f'names "{unknown}"; known are {", ".join(known)}')
        return found

    def fill(self, cls: Any, **others: Any) -> Any:
        """A dataclass of what its keys say, and of its `others` fields."""
        found = {
            name: self.get(key, kind, getattr(cls, name, MISSING))
            for name, (key, kind) in _keys(cls).items()
        }
        return cls(**found, **others)

    def part(self, key: str, known: tuple[str, ...]) -> "ObjectReader":
        """The object under a key, which may have these keys, for reading in turn."""
        within = f"{self.within}{key}."
        return ObjectReader(self.get(key, _OBJECT, {}), self.problems, known, within)

    def parts(self, key: str, known: tuple[str, ...]) -> "Iterator[ObjectReader]":
        """The objects in the list under a key, as `part` gives one; none if there is no list."""
        given = self.values.get(key, [])
        if not (isinstance(given, list) and all(map(_OBJECT.check, given))):
            self.problem(key, "must be a list of objects in braces")
            return
        for i, values in enumerate(given):
            yield ObjectReader(values, self.problems, known, f"{self.within}{key}[{i}].")


def read_object(path: Path) -> dict[str, Any]:
    """The one object that a JSON file holds; raises `ConfigError`."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file (name one with --config)") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start})") from None
    try:
        value = json.loads(content, object_pairs_hook=_without_repeats)
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
    quoted = json.dumps(value, ensure_ascii=False)
    return quoted if len(quoted) <= 60 else quoted[:60] + "…"


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
