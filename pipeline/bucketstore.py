"""Client rows in buckets, and the engine that maps over them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.bucketledger import Bucket, counted_buckets
from pipeline.config import Config
from pipeline.engine import Engine, InProcess, open_engine
from pipeline.history import History


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
