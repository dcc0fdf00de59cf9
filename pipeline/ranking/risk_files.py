"""Each client's risk over time where Spark keeps it: Parquet files by bucket of the client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pipeline.core.files import write_atomic
from pipeline.observations.part import bucket_of
from pipeline.ranking.movers import Movers
from pipeline.storage.risk_history import RiskPoint

NOTE = "risks.json"


@dataclass(frozen=True)
class RiskNote:
    """Which folder holds the risks, in how many buckets; the rankings on record, and who moved."""

    folder: str = ""
    buckets: int = 1
    points: int = 0
    rankings: Mapping[int, tuple[str, str]] = field(default_factory=dict)  # when, by which release
    movers: Movers | None = None


def risk_folder(ranking: Path) -> Path:
    """Where the risks are kept of the clients in a ranking's file."""
    return ranking.with_suffix(".parquet")


def read_note(folder: Path) -> RiskNote:
    """What is on record of the risks."""
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=RiskNote)
    except FileNotFoundError:
        return RiskNote()


def write_note(folder: Path, note: RiskNote) -> None:
    """Put it on record."""
    write_atomic(folder / NOTE, msgspec.json.encode(note))


def risk_points(folder: Path, client: str) -> tuple[RiskPoint, ...]:
    """The risk of a client over time, oldest first; none where it was never ranked."""
    import pandas as pd

    note = read_note(folder)
    if note.folder and not (folder / note.folder).is_dir():  # a run has just replaced it
        note = read_note(folder)
    bucket = folder / note.folder / f"bucket={bucket_of(client, note.buckets)}"
    if not (note.folder and bucket.is_dir()):
        return ()
    found = pd.read_parquet(bucket, filters=[("client", "=", client)]).sort_values("ranking")
    pairs = zip(found["ranking"].tolist(), found["risk"].tolist(), strict=True)
    return tuple(
        RiskPoint(*note.rankings[number], None if pd.isna(risk) else risk) for number, risk in pairs
    )
