"""Rows from a server as `sqlite3.Row` has them: asked by name and by number."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


class ServerRow:
    """A row of an answer."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[Any]) -> None:
        self._places, self._values = places, values

    def __getitem__(self, key: int | str) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)})"

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self._places)


def server_rows(cursor: Any) -> Callable[[Sequence[Any]], ServerRow]:
    """What makes rows of a psycopg cursor's values."""
    places = {column.name: place for place, column in enumerate(cursor.description or ())}
    return lambda values: ServerRow(places, values)
