"""A progress bar for long work, shown on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[int], object]
DELAY = 1.0  # seconds; what takes no longer shows nothing


def no_progress(_: int) -> None:
    """Show nothing."""


@contextmanager
def progress(what: str, size: int) -> Iterator[Step]:
    """Show a bar on standard error until the end; yields a function that takes each step, in bytes.

    Log lines are printed above it.
    """
    if not sys.stderr.isatty():
        yield no_progress
        return
    from tqdm import tqdm  # cron does without
    from tqdm.contrib.logging import logging_redirect_tqdm

    bar = tqdm(
        desc=what,
        total=size,
        unit="B",
        unit_scale=True,
        delay=DELAY,
        leave=False,
        file=sys.stderr,
    )
    with bar, logging_redirect_tqdm():
        yield bar.update
