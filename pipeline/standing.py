"""Where things stand: the questions that every tick asks, on little of the standard library."""

import os
from pathlib import Path

from pipeline.config import Config
from pipeline.database import History
from pipeline.errors import ReleaseError
from pipeline.inbox import new_in

CURRENT = "current"  # the link to the release that is live


def work_waits(config: Config, history: History) -> bool:
    """Whether there is anything to do; raises `HistoryError` if rows are not as on record."""
    if rebuilding(history):
        return True
    if not _rows_are_there(config, history):
        from pipeline.master import check_rows

        check_rows(config, history)  # it says what is wrong
    if new_in(config.input_folder_path, history) or reports_wait(history):
        return True
    return lacks_release(config, history) or unsettled_since(history) is not None


def _rows_are_there(config: Config, history: History) -> bool:
    row = history.query("SELECT bytes, buckets FROM master")[0]
    if not row["bytes"]:
        return True
    return row["buckets"] is None and _size(config.finaldata_path) >= row["bytes"]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def lacks_release(config: Config, history: History) -> bool:
    """Whether there are rows to learn from while nothing is live."""
    rows, _ = master_size(history)
    return rows > 0 and live_id(config.prod_deployment_path) is None


def master_size(history: History) -> tuple[int, int]:
    """The rows and bytes of `finaldata.csv` that count, its header included."""
    row = history.query("SELECT rows, bytes FROM master")[0]
    return row["rows"], row["bytes"]


def rebuilding(history: History) -> bool:
    """Whether a rebuild was started and has not ended."""
    return bool(history.query("SELECT rebuilding FROM master")[0]["rebuilding"])


def reports_wait(history: History) -> bool:
    """Whether any file waits for its reports, judged or not."""
    return history.one("SELECT 1 FROM files WHERE reported_at IS NULL LIMIT 1") is not None


def unsettled_since(history: History) -> str | None:
    """When the first run began that was killed or failed since the whole chain last was done.

    What is newer may be half done. A run that is at work counts among them.
    """
    row = history.one(
        "SELECT min(started_at) AS since FROM runs WHERE (outcome IS NULL OR outcome <> 'done')"
        " AND id > ("
        "SELECT coalesce(max(id), 0) FROM runs WHERE outcome = 'done' AND command = 'fullprocess')"
    )
    return row["since"] if row else None


def live_id(production: Path) -> str | None:
    """The id of the release that is live, or None; raises `ReleaseError` if nobody can tell."""
    try:
        # each request of the API asks; a Path made of the answer takes as long as the answer
        link = os.readlink(f"{production}/{CURRENT}")  # noqa: PTH115
        return link.rstrip("/").rpartition("/")[2]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReleaseError(
            f"{production / CURRENT} is no link to a release: {error.strerror}"
        ) from None
