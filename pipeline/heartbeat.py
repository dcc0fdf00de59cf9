"""Telling a monitor that runs start, succeed and fail, so that a missed one is noticed.

The address itself is asked on success, `/start` and `/fail` below it at start and failure, as
monitors of the healthchecks kind expect.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

SECONDS = 5.0


@contextmanager
def heartbeat(url: str | None) -> Iterator[None]:
    """Ask the monitor at start, and at the end according to how it comes; never fails the run."""
    if url is None:
        yield
        return
    _ask(f"{url}/start")
    try:
        yield
    except BaseException:
        _ask(f"{url}/fail")
        raise
    _ask(url)


def _ask(url: str) -> None:
    from http.client import HTTPException  # only where a monitor is named: a tick is to be cheap
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=SECONDS):
            pass
    except (OSError, HTTPException, ValueError) as error:
        log.warning("the heartbeat %s was not heard: %s", url, error)
