"""What works on the client rows: this process on one file, or several on buckets of rows."""

from pathlib import Path
from typing import NamedTuple

from pipeline.jsonfile import ObjectReader, as_json

FILES, POOL, DASK = "files", "pool", "dask"
KINDS = (FILES, POOL, DASK)
EXTRA = "pipeline/requirements-dask.txt"  # what all kinds but "files" need beside the requirements
MOST_BUCKETS = 10_000
MOST_WORKERS = 1_000
WORKER_BYTES = 200 << 20  # that a worker takes before it has anything to do
SCHEMES = ("tcp://", "tls://")


class Tls(NamedTuple):
    """The PEM files by which this machine and the cluster know each other."""

    ca: Path
    cert: Path
    key: Path


class EngineConfig(NamedTuple):
    """The engine that the config names; a named tuple for the same reason as `Config`."""

    kind: str = FILES
    address: str | None = None  # of the scheduler
    buckets: int = 16
    workers: int | None = None  # of a pool; None: one for each core
    tls: Tls | None = None

    @property
    def bucketed(self) -> bool:
        """Whether client rows lie in buckets, and not in `finaldata.csv`."""
        return self.kind != FILES


def read_engine(reader: ObjectReader, root: Path) -> EngineConfig:
    """The engine of a config; paths of keys count from its folder."""
    part = reader.part("engine", ("kind", "address", "buckets", "workers", "tls"))
    engine = EngineConfig(
        kind=part.choice("kind", FILES, KINDS),
        address=_address(part),
        buckets=part.integer("buckets", EngineConfig().buckets, least=1, most=MOST_BUCKETS),
        workers=part.integer("workers", 1, least=1, most=MOST_WORKERS)
        if "workers" in part.values
        else None,
        tls=_tls(part, root) if "tls" in part.values else None,
    )
    if engine.kind == DASK and part.values.get("address") is None:
        part.problem(
            "address", 'is missing: "kind": "dask" needs the scheduler\'s, tcp://host:8786'
        )
    if engine.address and engine.address.startswith("tls://") and not engine.tls:
        part.problem("tls", 'is missing: a "tls://" address needs "ca", "cert" and "key"')
    return engine


def _address(part: ObjectReader) -> str | None:
    value = part.values.get("address")
    if value is None:
        return None
    if isinstance(value, str) and value.startswith(SCHEMES):
        host, _, port = value[len(SCHEMES[0]) :].rpartition(":")
        if host and port.isdecimal():
            return value
    part.problem("address", f"must be as tcp://host:8786 or tls://host:8786, not {as_json(value)}")
    return None


def _tls(part: ObjectReader, root: Path) -> Tls:
    files = part.part("tls", ("ca", "cert", "key"))
    return Tls(*(root / files.text(name) for name in ("ca", "cert", "key")))
