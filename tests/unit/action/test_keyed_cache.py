from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from pipeline.action.current_ranking import KeyedCache
from pipeline.core.errors import PipelineError


def test_an_answer_is_made_once_while_its_key_stays_the_same() -> None:
    cache, made = KeyedCache[int](), []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [cache.get("a", make) for _ in range(3)] == [1, 1, 1]


def test_a_failure_is_not_cache() -> None:
    cache = KeyedCache[str]()

    def fail() -> str:
        raise PipelineError("not now")

    with pytest.raises(PipelineError, match="not now"):
        cache.get("a", fail)
    assert cache.get("a", lambda: "now") == "now"


def test_threads_that_ask_at_once_make_an_answer_once() -> None:
    cache, together, made = KeyedCache[int](), Barrier(8), []
    slow = Event()

    def make() -> int:
        slow.wait(0.05)
        made.append(1)
        return len(made)

    def asked(_: int) -> int:
        together.wait(30)
        return cache.get("a", make)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(asked, range(8))) == {1}
    assert made == [1]
