"""What the last run wrote for people, read again only when it has changed."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import Config
from pipeline.errors import NotRecordedError
from pipeline.rankingreader import read_movers, read_ranking
from pipeline.serving import Remembered

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """What tells one state of a file from another; None if it is not there."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


class Latest:
    """The ranking and the movers as they lie there now."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._ranking = Remembered[pd.DataFrame]()
        self._movers = Remembered[dict[str, Any]]()

    def ranking(self) -> pd.DataFrame:
        """The ranking; raises `NotRecordedError` before the first."""
        path = self._config.clientrisk_path
        if not (key := stamp(path)):
            raise NotRecordedError("no ranking has been written yet")
        return self._ranking.get(key, lambda: read_ranking(path))

    def movers(self) -> dict[str, Any]:
        """The movers; raises `HistoryError` if there are none of ours."""
        path = self._config.movers_path
        return self._movers.get(stamp(path), lambda: read_movers(path))
