"""What the ledger has of contents that look like a broken feed: held back, accepted, withdrawn."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.files import utc_now
from pipeline.data.input_files import PendingFile
from pipeline.storage.database import History

HELD = "held IS NOT NULL AND accepted_at IS NULL AND status = 'ingested'"
WITHDRAWN = "was held back, and withdrawn"


@dataclass(frozen=True)
class HeldFile:
    """A file whose content is held back: the number of that, and why."""

    id: int
    name: str
    reason: str
    recorded_at: str = ""  # when this content was taken in


def held_files(history: History) -> list[HeldFile]:
    """The files whose current content is held back, oldest first."""
    sql = f"SELECT id, name, held, recorded_at FROM files WHERE {HELD} AND current = 1 ORDER BY id"
    return [HeldFile(*row) for row in history.tuples(sql)]


def held_contents(history: History) -> frozenset[int]:
    """The contents that are held back, also of files that have another one now."""
    return frozenset(history.column(f"SELECT id FROM files WHERE {HELD}"))


@dataclass(frozen=True)
class LeftOut:
    """Contents whose lines do not count, but for those that later contents of their files hold."""

    contents: frozenset[int] = frozenset()
    renewed: tuple[int, ...] = ()  # where later contents are in the file of sightings


NOTHING_LEFT_OUT = LeftOut()


def left_out(history: History, contents: Collection[int]) -> LeftOut:
    """What to leave out so that these contents do not count."""
    if not contents:
        return LeftOut()
    names, renewed = set(), []  # also of contents of which no lines are on record any more
    for number, name, log_at in history.tuples("SELECT id, name, log_at FROM files ORDER BY id"):
        if number in contents:
            names.add(name)
        elif name in names and log_at is not None:
            renewed.append(log_at)
    return LeftOut(frozenset(contents), tuple(renewed))


@dataclass(frozen=True)
class FeedRecord:
    """What the check for a broken feed found in a content, and whether it is held back."""

    file: PendingFile
    feed: str  # a JSON object
    held: bool


def feed_records(history: History) -> list[FeedRecord]:
    """Every content that was checked, from the last one before those held back on, oldest first."""
    rows = history.tuples(
        f"SELECT feed, {HELD}, id, name, recorded_at, start_row, end_row FROM files WHERE feed"
        f" IS NOT NULL AND id >= (SELECT min(id) FROM files WHERE {HELD}) ORDER BY id"
    )
    return [
        FeedRecord(PendingFile(number, name, at, (*span,)), feed, bool(held))
        for feed, held, number, name, at, *span in rows
    ]


def record_feeds(
    history: History,
    found: Mapping[int, str],
    held: Mapping[int, str],
    accepted: Sequence[PendingFile],
) -> None:
    """Record what checks found in contents, which are held back and why, and which no longer are.

    Those accepted count as taken in when the file was that had them accepted.
    """
    feeds = [(feed, held.get(number), number) for number, feed in found.items()]
    history.many("UPDATE files SET feed = ?, held = ? WHERE id = ?", feeds)
    times = [(file.recorded_at, file.id) for file in accepted]
    history.many("UPDATE files SET accepted_at = ? WHERE id = ?", times)


def accepted_contents(history: History) -> frozenset[int]:
    """The contents that somebody has accepted and that are not judged yet."""
    waits = "accepted_at IS NOT NULL AND reported_at IS NULL AND judged_at IS NULL"
    return frozenset(history.column(f"SELECT id FROM files WHERE held IS NOT NULL AND {waits}"))


def accept(history: History, name: str) -> bool:
    """Let the content that is held back of a file wait to be judged; false if there is none."""
    waits = "accepted_at = ?, judged_at = NULL, reported_at = NULL"
    sql = f"UPDATE files SET {waits} WHERE name = ? AND current = 1 AND {HELD} RETURNING id"
    return bool(history.tuples(sql, utc_now(), name))


def withdrawn_files(history: History) -> set[tuple[str, str]]:
    """The names and digests of what was held back and taken back while its file was there."""
    where = "status = 'rejected' AND reason = ? AND current = 1"
    return {*history.tuples(f"SELECT name, sha256 FROM files WHERE {where}", WITHDRAWN)}
