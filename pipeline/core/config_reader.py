"""Typed values out of a JSON object, with every problem noted by its key."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError

LARGEST = 1e15  # of a sum of money


class ObjectReader:
    """Takes typed values out of a JSON object and collects what is wrong with them."""

    def __init__(self, values: Mapping[str, Any], problems: list[str], within: str = "") -> None:
        self.values, self.problems, self.within = values, problems, within

    def unknown_keys(self, known: tuple[str, ...]) -> None:
        """Note every key that is not known, with the nearest one that is."""
        for key in self.values:
            if key not in known:
                self.problem(key, f"is not a known key{_nearest(key, known)}")

    def problem(self, key: str, what: str) -> None:
        """Note what is wrong with a key."""
        self.problems.append(f'"{self.within}{key}" {what}')

    def text(self, key: str, default: str = "") -> str:
        """A text that is not empty."""
        value = self.values.get(key, default)
        if isinstance(value, str) and value.strip():
            return value
        self.problem(key, "is missing" if key not in self.values else "must be a text in quotes")
        return default

    def integer(self, key: str, default: int, *, least: int, most: int | None = None) -> int:
        """A whole number."""
        value = self.values.get(key, default)
        if type(value) is int and value >= least:
            if most is None or value <= most:
                return value
            self.problem(key, f"must be a whole number of at most {most}, not {as_json(value)}")
            return default
        self.problem(key, f"must be a whole number of at least {least}, not {as_json(value)}")
        return default

    def share(self, key: str, default: float) -> float:
        """A number from 0 to 1."""
        value = self.values.get(key, default)
        if type(value) in (int, float) and 0 <= value <= 1:
            return float(value)
        self.problem(key, f"must be a number from 0 to 1, not {as_json(value)}")
        return default

    def choice(self, key: str, default: str, known: tuple[str, ...]) -> str:
        """One of some words."""
        value = self.values.get(key, default)
        if isinstance(value, str) and value in known:
            return value
        words = ", ".join(as_json(word) for word in known)
        self.problem(key, f"must be one of {words}, not {as_json(value)}")
        return default

    def amount(self, key: str) -> float | None:
        """A sum above zero; None where there is none."""
        value = self.values.get(key)
        if value is None:
            return None
        if type(value) in (int, float) and 0 < value < LARGEST:
            return float(value)
        self.problem(key, f"must be a number above 0, not {as_json(value)}")
        return None

    def names(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of names."""
        value = self.values.get(key, list(default))
        if isinstance(value, list) and all(isinstance(v, str) and v.strip() for v in value):
            return tuple(v.strip() for v in value)
        self.problem(key, f"must be a list of names, not {as_json(value)}")
        return default

    def part(self, key: str, known: tuple[str, ...]) -> "ObjectReader":
        """The object under a key, for reading in turn."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.problem(key, f"must be an object in braces, not {as_json(value)}")
            value = {}
        part = ObjectReader(value, self.problems, f"{self.within}{key}.")
        part.unknown_keys(known)
        return part


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
        raise ValueError(f'the key "{next(k for k in keys if keys.count(k) > 1)}" stands twice')
    return values


def _nearest(key: str, known: tuple[str, ...]) -> str:
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(known)}"


def as_json(value: Any) -> str:
    """A value as a message quotes it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "…"
