"""Where client rows are kept and worked on, if not by this process alone: a Spark cluster."""

from dataclasses import dataclass

from pipeline.core.config_reader import Kind, ObjectReader, one_of

LOCAL = "local[*]"  # this machine alone, all its cores


@dataclass(frozen=True)
class Engine:
    """A Spark cluster, and the settings of Spark that the config gives.

    It is reached at `master`, or by Spark Connect at `connect`, where that is not empty.
    """

    master: str = LOCAL
    connect: str = ""
    conf: tuple[tuple[str, str], ...] = ()


_KIND = one_of("spark")
_ADDRESS = Kind(
    lambda value: isinstance(value, str) and value.startswith("sc://"), "an address sc://HOST:PORT"
)
_CONF = Kind(
    lambda value: isinstance(value, dict) and all(isinstance(text, str) for text in value.values()),
    "an object of texts",
)


def read_engine(reader: ObjectReader) -> Engine | None:
    """What the config says under `engine`; None: one process does all."""
    if reader.values.get("engine") is None:
        return None
    part = reader.part("engine", ("kind", "master", "connect", "conf"))
    part.get("kind", "", _KIND)
    connect = part.get("connect", "sc://", _ADDRESS) if "connect" in part.values else ""
    if connect and "master" in part.values:
        part.problem("connect", "is given beside master: keep one of both")
    conf = part.get("conf", {}, _CONF)
    return Engine(part.text("master", LOCAL), connect, tuple(sorted(conf.items())))
