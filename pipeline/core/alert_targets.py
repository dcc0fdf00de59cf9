"""Who is told of what, as the config names targets under `alerts`; no message shows an address."""

import re
from dataclasses import dataclass, field

from pipeline.core.config_reader import URL, ObjectReader, one_of, optional, whole_number

ALERT_KEYS = ("alerts", "page_url", "expect_files_every_days", "expect_outcomes_every_days")
EVENTS = (
    *("failed", "recovered", "refused_file", "held_back", "drift", "released"),
    *("promotion_waits", "high_risk", "overdue"),
)
DIGESTS = ("daily", "weekly")
# a variable of the environment that stands for an address, or for a part of one
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


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
    page_url: str | None = None
    files_days: int | None = None
    outcomes_days: int | None = None


def read_alert_rules(reader: ObjectReader) -> AlertRules:
    """What the config says of alerts."""
    page: str | None = reader.get("page_url", None, URL)
    return AlertRules(
        _targets(reader),
        page.rstrip("/") if page else None,
        reader.get("expect_files_every_days", None, _DAYS),
        reader.get("expect_outcomes_every_days", None, _DAYS),
    )


def _targets(reader: ObjectReader) -> tuple[Target, ...]:
    found = list[Target]()
    for part in reader.parts("alerts", ("address", "events", "digest", "name")):
        address = part.text("address").strip()
        whole, scheme = VARIABLE.fullmatch(address), re.match(r"(\w+)://.", address, re.ASCII)
        if address and not (whole or scheme):
            part.problem("address", "must be SCHEME://…, or the name of a variable: $NAME")
        name = part.text(
            "name", (whole and (whole[1] or whole[2])) or (scheme and scheme[1]) or "-"
        )
        if name in [target.name for target in found]:
            part.problem("name", f'is "{name}" a second time: give each target a name of its own')
        events = part.names("events", ())
        for unknown in sorted({*events} - {*EVENTS}):
            part.problem("events", f'names "{unknown}"; known are {", ".join(EVENTS)}')
        digest = part.get("digest", None, optional(one_of(*DIGESTS)))
        if not (events or digest):
            part.problem("events", 'are none, and there is no "digest": name one of both')
        found.append(Target(name, address, events, digest))
    return tuple(found)


_DAYS = optional(whole_number(1, 3_660))
