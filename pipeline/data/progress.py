"""How far long work has come, shown on a terminal and nowhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[int], object]
SECONDS = 1.0  # what takes no longer shows nothing


def no_progress(_: int) -> None:
    """Show nothing."""


@contextmanager
def progress(what: str, size: int) -> Iterator[Step]:
    """A bar on standard error, gone at the end; what is yielded takes each step, in bytes.

    Log lines that come meanwhile stand above it.
    """
    if not sys.stderr.isatty():
        yield no_progress
        return
    from tqdm import tqdm  # only here: nobody looks at what cron runs
    from tqdm.contrib.logging import logging_redirect_tqdm

    bar = tqdm(
        desc=what,
        total=size,
        unit="B",
        unit_scale=True,
        delay=SECONDS,
        leave=False,
        file=sys.stderr,
    )
    with bar, logging_redirect_tqdm():
        yield bar.update
