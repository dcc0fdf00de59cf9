"""The current ranking and its movers, worked out again only when something has changed."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

import pandas as pd

from pipeline.action.proposals import contact_state, with_contacts
from pipeline.core.errors import NotRecordedError
from pipeline.core.policy import ContactRules
from pipeline.ranking.movers import Movers, movers_of
from pipeline.ranking.ranking_file import read_ranking
from pipeline.ranking.risk_files import line_of, read_note, risk_folder
from pipeline.storage.history import open_existing_history, recorded_history
from pipeline.storage.risk_history import RiskChange, last_changes

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl

Stamp = tuple[int, int, int]
Value = TypeVar("Value")
DEFAULT_RULES = ContactRules()


def file_stamp(path: Path) -> Stamp | None:
    """A value that changes with the file; None if it is not there."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def history_stamp(place: "Path | DatabaseUrl") -> Hashable:
    """A value that changes with the history."""
    if isinstance(place, Path):
        return file_stamp(place)
    history = open_existing_history(place)
    if history is None:
        return None
    with history:  # which transactions have written
        return history.tuples("SELECT CAST(pg_current_snapshot() AS text)")[0]


def risks_stamp(place: "Path | DatabaseUrl") -> Hashable:
    """A value that changes with the risks on record, and not with contacts.

    Raises `NotRecordedError` if there is no history.
    """
    with recorded_history(place) as history:
        sql = (
            "SELECT id, at, (SELECT count(*) FROM erasures) FROM rankings ORDER BY id DESC LIMIT 1"
        )
        return tuple(history.tuples(sql))  # by the key: to look for the last `at` reads all


class KeyedCache(Generic[Value]):
    """The last value made, kept until it is asked for by another key."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: tuple[Hashable, Value] | None = None

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value for this key, made unless it is the one kept."""
        with self._lock:
            if self._kept is None or self._kept[0] != key:
                self._kept = (key, make())
            return self._kept[1]


class CurrentRanking:
    """The ranking in a file, with the columns of `carry`, and the movers in a history.

    Whom to contact is as of now. On Spark it is as in the file, the movers are beside each client's
    risk, and it is noted where each client's line is.
    """

    def __init__(
        self,
        path: Path,
        history_path: "Path | DatabaseUrl",
        carry: Sequence[str] = (),
        rules: ContactRules = DEFAULT_RULES,
        *,
        on_spark: bool = False,
    ) -> None:
        self._path, self._carry, self._on_spark = path, carry, on_spark
        self._history_path, self._rules = history_path, rules
        self._in_file = KeyedCache[pd.DataFrame]()
        self._ranking = KeyedCache[pd.DataFrame]()
        self._changes = KeyedCache[tuple[Movers, Mapping[str, RiskChange]]]()

    def ranking(self) -> pd.DataFrame:
        """The ranking; raises `NotRecordedError` before the first."""
        if not (key := file_stamp(self._path)):
            raise NotRecordedError("no ranking has been written yet")
        ranking = self._in_file.get(key, lambda: read_ranking(self._path, self._carry))
        if self._on_spark:
            return ranking
        today = date.today()
        now = (key, history_stamp(self._history_path), today)
        return self._ranking.get(now, lambda: self._as_of(ranking, today))

    def _as_of(self, ranking: pd.DataFrame, today: date) -> pd.DataFrame:
        history = open_existing_history(self._history_path)
        with history or nullcontext():
            if history:
                state = contact_state(history, self._rules, today)
                ranking = with_contacts(ranking, self._rules, state)
            # columns of few texts are compared in a tenth of the time
            return ranking.astype(dict.fromkeys(("band", "release", "contact"), "category"))

    def client(self, name: str) -> tuple[pd.DataFrame, int]:
        """The client's row, if it has one, and how many all have; raises what `ranking` does."""
        if self._on_spark and file_stamp(self._path) and (found := line_of(self._path, name)):
            line, total = found
            return read_ranking(self._path, self._carry, part=line), total
        ranking = self.ranking()
        return ranking[ranking["client"] == name], len(ranking)

    def movers(self) -> Movers:
        """The movers; raises `NotRecordedError` before the first ranking."""
        if self._on_spark and (found := read_note(risk_folder(self._path)).movers):
            return found
        return self._last()[0]

    def changes(self) -> Mapping[str, RiskChange]:
        """By client what the last ranking changed; on Spark, of those alone who moved most.

        Nothing of the first ranking. Raises what `movers` does.
        """
        if self._on_spark:
            movers = self.movers()
            return {m.client: RiskChange(*m[:3]) for m in (*movers.rose, *movers.fell)}
        return self._last()[1]

    def _last(self) -> tuple[Movers, Mapping[str, RiskChange]]:
        return self._changes.get(risks_stamp(self._history_path), self._read_last)

    def _read_last(self) -> tuple[Movers, Mapping[str, RiskChange]]:
        with recorded_history(self._history_path) as history:
            if found := last_changes(history):
                return movers_of(found), {each.client: each for each in found.risks}
        raise NotRecordedError("no ranking has been recorded yet")
