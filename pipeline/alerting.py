"""Who is told of a run: a monitor when it begins and ends, people of what it did.

What is to be told is noticed under the run lock, and sent once that is free again.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.config import Config
from pipeline.core.errors import HistoryError, LockHeldError
from pipeline.core.formatting import unescape_formula
from pipeline.storage.database import History
from pipeline.storage.history import open_history, sending_lock

if TYPE_CHECKING:
    from queue import SimpleQueue

    from pipeline.action.alerts import Alert
    from pipeline.action.delivery import Message

KINDS = {"failed": "failure", "recovered": "success", "released": "info", "digest": "info"}
PAGES = {  # below the address of the page: where to look
    **dict.fromkeys(("high_risk", "digest"), "/"),
    **dict.fromkeys(("drift", "released", "promotion_waits"), "/model"),
}
MAX_MOVERS = 5  # in a digest, that rose, and as many that fell
MONITOR_SECONDS = 5.0  # for one question, whatever the monitor does


@contextmanager
def noticing(config: Config, history: History, waiting: list[int]) -> Iterator[None]:
    """Put on record what is to be told of what is done inside, or of how it fails.

    How many messages then wait is added to those of `sending`.
    """
    if not config.alerts.targets:
        yield
        return
    from pipeline.action.alerts import begin, notice

    now, high = datetime.now().astimezone(), config.risk_bands.high
    begin(history, now)
    try:
        yield
    except Exception as error:
        with suppress(HistoryError):  # the first error is the one that counts
            waiting.append(notice(history, config.alerts, high, now, error))
        raise
    waiting.append(notice(history, config.alerts, high, now, None))


@contextmanager
def sending(config: Config) -> Iterator[list[int]]:
    """Send what waits when all is done inside, or has failed; not to be called under the lock."""
    waiting: list[int] = []
    try:
        yield waiting
    except Exception:  # who interrupts a run knows, and is not to wait
        with suppress(HistoryError):
            _deliver(config, waiting)
        raise
    _deliver(config, waiting)


def _deliver(config: Config, waiting: list[int]) -> None:
    """Send what waits, unless another process does."""
    if not any(waiting):
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
        body = "\n\n".join("\n".join(lines) for lines in _digest(config, history))
        attached = report_pdf(config.output_model_path)
    if config.alerts.page_url:
        body += f"\n\n{config.alerts.page_url}{PAGES.get(kind, '/operations')}"
    title = f"Client risk: {alert.event.title}"
    return Message(title, body.strip() or title, KINDS.get(kind, "warning"), attached)


def _digest(config: Config, history: History) -> Iterator[list[str]]:
    """Who is to be contacted, who moved, and what contacts have changed, in paragraphs."""
    from pipeline.reporting.effect import effect_section
    from pipeline.reporting.overview import read_effect

    try:
        yield from [*_listed(config.clientrisk_path, config.movers_path)]
    except (LookupError, TypeError, ValueError, OSError, csv.Error):
        yield ["The ranking is not as it was written: run python reporting.py."]
    with suppress(HistoryError):  # which the next run says
        if section := effect_section(read_effect(config, history)):
            yield [f"{section.title}:", section.lead]


def _listed(ranking: Path, movers: Path) -> Iterator[list[str]]:
    """What the files of a ranking say; raises what reading one does that people have changed."""
    from pipeline.action.alerts import listed

    due = [row for row in _rows(ranking) if row["contact"] == "yes"]
    found = [(row["client"], f"{float(row['risk']):.0%}; {row['reasons']}") for row in due]
    yield [f"To be contacted: {len(due):,}", listed(found)]
    for how, sign in (("rose", 1), ("fell", -1)):
        lines = [
            f"{row['client']}: {float(row['before']):.0%} to {float(row['risk']):.0%}"
            for row in _rows(movers)
            if float(row["change"]) * sign > 0
        ]
        yield [f"Whose risk {how} most:", *(lines[:MAX_MOVERS] or ["nobody's"])]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a file of ours; none where it is not there."""
    with suppress(FileNotFoundError), path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: unescape_formula(cell) for name, cell in row.items()}


@contextmanager
def heartbeat(url: str | None) -> Iterator[None]:
    """Ask the monitor at start, and at the end according to how it comes; never fails the run.

    The address itself is asked on success, `/start` and `/fail` below it at start and failure, as
    monitors of the healthchecks kind expect. It may end in a query.
    """
    if url is None:
        yield
        return
    path, mark, query = url.partition("?")
    start, fail = (f"{path.rstrip('/')}/{name}{mark}{query}" for name in ("start", "fail"))
    _ask(start)
    try:
        yield
    except BaseException:
        _ask(fail)
        raise
    _ask(url)


def _ask(url: str) -> None:
    import logging  # only where a monitor is named, this and the rest: a tick is to be cheap
    from queue import Empty, SimpleQueue
    from threading import Thread

    # in a thread, for a socket's timeout counts each step anew and looking up a name has none
    said: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_get, args=(url, said), daemon=True).start()
    try:
        error = said.get(timeout=MONITOR_SECONDS)
    except Empty:
        error = f"no answer within {MONITOR_SECONDS:g} seconds"
    if error:
        logging.getLogger(__name__).warning("the heartbeat %s was not heard: %s", url, error)


def _get(url: str, said: "SimpleQueue[str | None]") -> None:
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=MONITOR_SECONDS):
            said.put(None)
    except (OSError, HTTPException, ValueError) as error:
        said.put(str(error).strip()[:200] or type(error).__name__)
