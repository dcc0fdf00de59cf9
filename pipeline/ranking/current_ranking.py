"""What the last run wrote for people, read again only when it has changed."""

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.core.cache import KeyedCache
from pipeline.core.config import Config
from pipeline.core.errors import NotRecordedError
from pipeline.ranking.rankingreader import read_movers, read_ranking
from pipeline.storage.history import open_existing_history

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl

Stamp = tuple[int, int, int]


def file_stamp(path: Path) -> Stamp | None:
    """What tells one state of a file from another; None if it is not there."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def history_stamp(place: "Path | DatabaseUrl") -> Hashable:
    """What tells one state of the history from another."""
    if isinstance(place, Path):
        return file_stamp(place)
    history = open_existing_history(place)
    if history is None:
        return None
    with history:  # which transactions have written: the same, then all that is read is the same
        return history.tuples("SELECT CAST(pg_current_snapshot() AS text)")[0]


class CurrentRanking:
    """The ranking and the movers as they lie there now."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._ranking = KeyedCache[pd.DataFrame]()
        self._movers = KeyedCache[dict[str, Any]]()

    def ranking(self) -> pd.DataFrame:
        """The ranking; raises `NotRecordedError` before the first."""
        path = self._config.clientrisk_path
        if not (key := file_stamp(path)):
            raise NotRecordedError("no ranking has been written yet")
        return self._ranking.get(key, lambda: read_ranking(path))

    def movers(self) -> dict[str, Any]:
        """The movers; raises `HistoryError` if there are none of ours."""
        path = self._config.movers_path
        return self._movers.get(file_stamp(path), lambda: read_movers(path))
