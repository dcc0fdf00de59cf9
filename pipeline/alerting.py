"""Alerts around a run: what it did is noticed under its lock, and told once that is free again."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.config import Config
from pipeline.core.errors import HistoryError, LockHeldError
from pipeline.core.formatting import unescape_formula
from pipeline.storage.database import History
from pipeline.storage.history import open_history, sending_lock

if TYPE_CHECKING:
    from pipeline.action.alerts import Alert
    from pipeline.action.delivery import Message

KINDS = {"failed": "failure", "recovered": "success", "released": "info", "digest": "info"}
PAGES = {  # below the address of the page: where to look
    **dict.fromkeys(("high_risk", "digest"), "/"),
    **dict.fromkeys(("drift", "released", "promotion_waits"), "/model"),
}
MAX_MOVERS = 5  # in a digest, that rose, and as many that fell


@contextmanager
def alerting(config: Config) -> Iterator[Callable[[History], AbstractContextManager[None]]]:
    """Yields what is to be entered once the history is open; sends what waits at the end.

    Of a run that fails, the first error is the one that counts.
    """
    if not config.alerts.targets:
        yield lambda _: nullcontext()
        return
    from pipeline.action.alerts import begin, notice

    waiting = 0

    @contextmanager
    def noticing(history: History) -> Iterator[None]:
        nonlocal waiting
        now, high = datetime.now().astimezone(), config.risk_bands.high
        begin(history, now)
        try:
            yield
        except Exception as error:
            with suppress(HistoryError):
                waiting = notice(history, config.alerts, high, now, error)
            raise
        waiting = notice(history, config.alerts, high, now, None)

    try:
        yield noticing
    except Exception:  # who interrupts a run knows, and is not to wait
        with suppress(HistoryError):
            _deliver(config, waiting)
        raise
    _deliver(config, waiting)


def _deliver(config: Config, waiting: int) -> None:
    """Send what waits, unless another process does."""
    if not waiting:
        return
    from pipeline.action.delivery import deliver

    with (
        suppress(LockHeldError),
        open_history(config.history_path) as history,
        sending_lock(config.lock_path, history),
    ):
        deliver(history, config.alerts.targets, lambda alert: _message(config, history, alert))


def try_targets(config: Config) -> dict[str, str | None]:
    """Send a message to each target; by their names why that failed, None if it did not."""
    from pipeline.action.delivery import Message, send

    message = Message("Client risk: a test", "This is a test: alerts arrive here.", "info")
    return {target.name: send(target.address, message) for target in config.alerts.targets}


def _message(config: Config, history: History, alert: "Alert") -> "Message":
    """What a target gets; names of clients are looked up now, so that no alert keeps them."""
    from pipeline.action.alerts import listed, new_in_high_band
    from pipeline.action.delivery import Message
    from pipeline.reporting.report_files import report_pdf

    kind, body, attached = alert.event.kind, alert.event.body, None
    if kind == "high_risk":
        found = new_in_high_band(history, alert.event, config.risk_bands.high)
        body = listed([(client, f"{risk:.0%}") for client, risk in found])
    elif kind == "digest":
        sections = _listed_today(config)
        sections += _helped(config, history)
        body = "\n\n".join("\n".join(lines) for lines in sections)
        attached = report_pdf(config.output_model_path)
    if config.alerts.page_url:
        body += f"\n\n{config.alerts.page_url}{PAGES.get(kind, '/operations')}"
    title = f"Client risk: {alert.event.title}"
    return Message(title, body.strip() or title, KINDS.get(kind, "warning"), attached)


def _listed_today(config: Config) -> list[list[str]]:
    """Who is to be contacted and who moved, or that people have changed these files."""
    try:
        return [_to_contact(config.clientrisk_path), *_moved(config.movers_path)]
    except (LookupError, TypeError, ValueError, OSError, csv.Error):
        return [["The ranking is not as it was written: run python reporting.py."]]


def _to_contact(path: Path) -> list[str]:
    """Who is to be contacted, as the ranking has it."""
    from pipeline.action.alerts import listed

    due = [row for row in _rows(path) if row["contact"] == "yes"]
    found = [(row["client"], f"{float(row['risk']):.0%}; {row['reasons']}") for row in due]
    return [f"To be contacted: {len(due):,}", listed(found)]


def _moved(path: Path) -> Iterator[list[str]]:
    """Whose risk rose and fell most since the ranking before."""
    for how, sign in (("rose", 1), ("fell", -1)):
        moved = (row for row in _rows(path) if float(row["change"]) * sign > 0)
        lines = [
            f"{row['client']}: {float(row['before']):.0%} to {float(row['risk']):.0%}"
            for row in islice(moved, MAX_MOVERS)
        ]
        yield [f"Whose risk {how} most:", *(lines or ["nobody's"])]


def _helped(config: Config, history: History) -> Iterator[list[str]]:
    """What contacts have changed, once there was a campaign."""
    from pipeline.reporting.effect import effect_section
    from pipeline.reporting.overview import read_effect

    with suppress(HistoryError):  # which the next run says
        if section := effect_section(read_effect(config, history)):
            yield [f"{section.title}:", section.lead]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a file of ours; none where it is not there."""
    with suppress(FileNotFoundError), path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: unescape_formula(cell) for name, cell in row.items()}
