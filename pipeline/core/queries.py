"""Databases to ask for client rows, as the config names them under `queries`."""

import re
from dataclasses import dataclass, field

from pipeline.core.config_reader import ObjectReader, number

_KEYS = ("name", "url", "select", "every_hours", "seconds")
_HOURS = number(lambda value: value > 0, "a number of hours above 0")
_SECONDS = number(lambda value: 0 < value <= 86_400, "a number of seconds, at most 86,400")


@dataclass(frozen=True)
class Query:
    """What a database is asked, how often, and how long it may take; the answer is `NAME.csv`."""

    name: str
    url: str = field(repr=False)  # it may hold a password; `$NAME` is of the environment
    select: str
    every_hours: float
    seconds: float


def read_queries(reader: ObjectReader) -> tuple[Query, ...]:
    """What the config says under `queries`; no message repeats a URL."""
    found = list[Query]()
    for part in reader.parts("queries", _KEYS):
        name, url, select = (part.text(key).strip() for key in _KEYS[:3])
        if name and not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
            part.problem("name", "must be of letters, digits, - and _: the file is NAME.csv")
        if name.lower() in [query.name.lower() for query in found if name]:
            part.problem("name", f'is "{name}" a second time: each makes a file of its own')
        if select and not re.match(r"(select|with)\b", select, re.IGNORECASE):
            part.problem("select", "must be one statement that begins with SELECT or WITH")
        hours, seconds = part.get("every_hours", None, _HOURS), part.get("seconds", 300, _SECONDS)
        found.append(Query(name, url, select, hours, seconds))
    return tuple(found)
