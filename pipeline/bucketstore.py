"""Client rows in buckets, and the engine that maps over them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from pipeline.bucketledger import Bucket, counted_buckets
from pipeline.config import Config
from pipeline.engine import Engine, InProcess, open_engine
from pipeline.errors import HistoryError
from pipeline.history import History
from pipeline.master import counted_bytes

R = TypeVar("R")

TRIES = 5  # of a reader, while ingestions replace what it reads


@dataclass(frozen=True)
class BucketStore:
    """All client rows on record, in buckets."""

    config: Config
    engine: Engine
    buckets: tuple[Bucket, ...]


@contextmanager
def bucket_store(config: Config, history: History, *, here: bool = False) -> Iterator[BucketStore]:
    """The buckets on record and the engine, for as long as the context lasts."""
    buckets = tuple(counted_buckets(config, history))
    if here:
        yield BucketStore(config, InProcess(), buckets)
        return
    with open_engine(config) as engine:
        yield BucketStore(config, engine, buckets)


def ask_here(
    config: Config,
    history: History,
    question: Callable[[BucketStore], R],
    *,
    tries: int = TRIES,
) -> R:
    """What a question finds in the buckets, in this process: for what a server answers.

    An ingestion may replace a bucket meanwhile: then all is asked again. Raises `HistoryError` as
    `counted_bytes` does.
    """
    buckets = tuple(counted_buckets(config, history))
    try:
        counted_bytes(config, history)
        return question(BucketStore(config, InProcess(), buckets))
    except (OSError, HistoryError):
        if tries == 1 or buckets == tuple(counted_buckets(config, history)):
            raise
    return ask_here(config, history, question, tries=tries - 1)
