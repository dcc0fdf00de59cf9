"""What the config names outside: a cluster, databases to ask, targets of alerts.

No message repeats an address: it may hold a password.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated

from pipeline.core.json_reader import (
    TEXT,
    URL,
    Key,
    Kind,
    ObjectReader,
    keys_of,
    number,
    one_of,
    optional,
    text,
    whole_number,
)

EVENTS = (
    *("failed", "recovered", "refused_file", "held_back", "drift", "released"),
    *("promotion_waits", "high_risk", "overdue"),
)
# a variable of the environment that stands for an address, or for a part of one
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
_SCHEME = re.compile(r"(\w+)://.", re.ASCII)
_CONNECT = text(lambda value: value.startswith("sc://"), "an address sc://HOST:PORT")
_CONF = Kind(
    lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values()),
    "an object of texts",
    lambda value: tuple(sorted(value.items())),
)
_NAME = text(
    re.compile(r"[A-Za-z0-9_-]{1,100}").fullmatch,
    "of letters, digits, - and _: the file is NAME.csv",
    quoted=False,
)
_SELECT = text(
    re.compile(r"(select|with)\b", re.IGNORECASE).match,
    "one statement that begins with SELECT or WITH",
    quoted=False,
)
_HOURS = number(lambda value: value > 0, "a number of hours above 0")
_SECONDS = number(lambda value: 0 < value <= 86_400, "a number of seconds, at most 86,400")
_DAYS = optional(whole_number(1, 3_660))


@dataclass(frozen=True)
class Engine:
    """A Spark cluster, and the settings of Spark that the config gives.

    It is reached at `master`, or by Spark Connect at `connect`, where that is not empty.
    """

    master: Annotated[str, TEXT] = "local[*]"  # this machine alone, all its cores
    connect: Annotated[str, _CONNECT] = ""
    conf: Annotated[tuple[tuple[str, str], ...], _CONF] = ()


def read_engine(reader: ObjectReader) -> Engine | None:
    """What the config says under `engine`; None: one process does all."""
    if reader.values.get("engine") is None:
        return None
    part = reader.part("engine", ("kind", *keys_of(Engine)))
    part.get("kind", one_of("spark"))
    if {"connect", "master"} <= part.values.keys():
        part.problem("connect", "is given beside master: keep one of both")
    engine: Engine = part.fill(Engine)
    return engine


@dataclass(frozen=True)
class Query:
    """What a database is asked, how often, and how long it may take; the answer is `NAME.csv`."""

    name: Annotated[str, _NAME]
    url: Annotated[str, TEXT] = field(repr=False)  # `$NAME` is of the environment
    select: Annotated[str, _SELECT]
    every_hours: Annotated[float, _HOURS]
    seconds: Annotated[float, _SECONDS] = 300


def read_queries(reader: ObjectReader) -> tuple[Query, ...]:
    """What the config says under `queries`."""
    found = list[Query]()
    for part in reader.parts("queries", keys_of(Query)):
        query: Query = part.fill(Query)
        if query.name and query.name.lower() in [other.name.lower() for other in found]:
            part.problem("name", f'is "{query.name}" a second time: each makes a file of its own')
        found.append(query)
    return tuple(found)


@dataclass(frozen=True)
class Target:
    """Somebody to tell: by which address of Apprise's, of which events, and how often in short."""

    name: str  # which the history and the log know it by
    address: str = field(repr=False)
    events: tuple[str, ...]
    digest: str | None  # `daily`, `weekly` or none


@dataclass(frozen=True)
class AlertRules:
    """Whom to tell, what to link to, and how often files and outcomes are expected."""

    targets: tuple[Target, ...] = ()
    page_url: Annotated[str | None, URL] = None
    files_days: Annotated[int | None, _DAYS, Key("expect_files_every_days")] = None
    outcomes_days: Annotated[int | None, _DAYS, Key("expect_outcomes_every_days")] = None


def read_alert_rules(reader: ObjectReader) -> AlertRules:
    """What the config says of alerts."""
    found = list[Target]()
    for part in reader.parts("alerts", ("address", "events", "digest", "name")):
        address = part.get("address", TEXT)
        whole, scheme = VARIABLE.fullmatch(address), _SCHEME.match(address)
        if address and not (whole or scheme):
            part.problem("address", "must be SCHEME://…, or the name of a variable: $NAME")
        called = (whole[1] or whole[2]) if whole else scheme[1] if scheme else "-"
        name = part.get("name", TEXT, called)
        if name in [target.name for target in found]:
            part.problem("name", f'is "{name}" a second time: give each target a name of its own')
        events = part.names("events", (), EVENTS)
        digest = part.get("digest", optional(one_of("daily", "weekly")), None)
        if not (events or digest):
            part.problem("events", 'are none, and there is no "digest": name one of both')
        found.append(Target(name, address, events, digest))
    rules: AlertRules = reader.fill(AlertRules, targets=tuple(found))
    return rules
