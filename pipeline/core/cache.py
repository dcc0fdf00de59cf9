"""A value that holds as long as the key it was made for."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class KeyedCache(Generic[Value]):
    """The last answer, kept as long as the key it was made for stays the same."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: tuple[Hashable, Value] | None = None

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The answer for this key, made if it is not the one kept."""
        with self._lock:
            if self._kept is None or self._kept[0] != key:
                self._kept = (key, make())
            return self._kept[1]
