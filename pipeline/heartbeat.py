"""Telling a monitor that runs start, succeed and fail, so that a missed one is noticed.

The address itself is asked on success, `/start` and `/fail` below it at start and failure, as
monitors of the healthchecks kind expect.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queue import SimpleQueue

SECONDS = 5.0  # for one question, whatever the monitor does


@contextmanager
def heartbeat(url: str | None) -> Iterator[None]:
    """Ask the monitor at start, and at the end according to how it comes; never fails the run."""
    if url is None:
        yield
        return
    _ask(_below(url, "start"))
    try:
        yield
    except BaseException:
        _ask(_below(url, "fail"))
        raise
    _ask(url)


def _below(url: str, name: str) -> str:
    """An address below another, which may end in a query."""
    path, mark, query = url.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def _ask(url: str) -> None:
    import logging  # only where a monitor is named, this and the rest: a tick is to be cheap
    from queue import Empty, SimpleQueue
    from threading import Thread

    # in a thread, for a socket's timeout counts each step anew and looking up a name has none
    said: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_get, args=(url, said), daemon=True).start()
    try:
        error = said.get(timeout=SECONDS)
    except Empty:
        error = f"no answer within {SECONDS:g} seconds"
    if error:
        logging.getLogger(__name__).warning("the heartbeat %s was not heard: %s", url, error)


def _get(url: str, said: "SimpleQueue[str | None]") -> None:
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=SECONDS):
            said.put(None)
    except (OSError, HTTPException, ValueError) as error:
        said.put(str(error).strip()[:200] or type(error).__name__)
