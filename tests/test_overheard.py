import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from pipeline.overheard import heard, tell

log = logging.getLogger("pipeline.somewhere")


def speaks(part: str) -> str:
    log.info("%s is at work", part)
    log.debug("nobody hears this")
    log.warning("100%s of %s", "%", part)
    return part.upper()


def test_what_is_logged_there_is_told_here_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "pipeline")
    there = heard(speaks, "a")
    assert (there.result, len(there.lines), caplog.record_tuples) == ("A", 2, [])
    assert tell(there) == "A"
    assert caplog.record_tuples == [
        ("pipeline.somewhere", logging.INFO, "a is at work"),
        ("pipeline.somewhere", logging.WARNING, "100% of a"),
    ]


def test_a_worker_of_several_threads_hears_each_part_apart() -> None:
    both = Barrier(2)

    def speaks_beside_another(part: str) -> str:
        both.wait(10)
        done = speaks(part)
        both.wait(10)
        return done

    with ThreadPoolExecutor(2) as workers:
        found = list(workers.map(lambda part: heard(speaks_beside_another, part), ["a", "b"]))
    for there, part in zip(found, "ab", strict=True):
        assert [line.text for line in there.lines] == [f"{part} is at work", f"100% of {part}"]


def test_an_error_leaves_no_listener() -> None:
    logger = logging.getLogger("pipeline")
    before = logger.handlers[:], logger.level, logger.propagate
    with pytest.raises(ZeroDivisionError):
        heard(lambda part: part / 0, 1)
    assert (logger.handlers, logger.level, logger.propagate) == before
