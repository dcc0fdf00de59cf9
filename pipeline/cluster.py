"""A cluster of Dask's workers, as an executor of our own functions; the one room that names it.

Nothing of it is used but `Client(address).get_executor()` and what tells who is there. A worker
that dies is Dask's to notice: what it was at goes to another.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from time import monotonic
from typing import Any

from pipeline.engineconfig import EXTRA, EngineConfig
from pipeline.errors import EngineError

CONNECT_SECONDS = 10
WORKERLESS_SECONDS = 60  # in which the first worker must come, or another one
SHARE = 0.6  # of a worker's memory, from which on Dask begins to write it to disk
OWN = 200 << 20  # bytes that a worker takes before it has anything to do


class Cluster:
    """The workers behind a scheduler."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._executor: Executor = client.get_executor()
        self._seen = monotonic()
        workers = self.found()
        self.workers = sum(worker["nthreads"] for worker in workers.values())
        self.memory = max(0, min(map(_memory_for_each, workers.values())) - OWN)

    def found(self) -> dict[str, Any]:
        """Each worker that the scheduler knows, by its address."""
        try:
            workers: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            raise self._lost() from error
        return workers

    def executor(self) -> Executor:
        """The executor of the client."""
        return self._executor

    def check(self) -> None:
        """Raise `EngineError` if the scheduler is gone, or has had no worker for a minute."""
        if self.found():
            self._seen = monotonic()
        elif monotonic() - self._seen > WORKERLESS_SECONDS:
            raise EngineError(
                f"the scheduler at {self._address} has had no worker for {WORKERLESS_SECONDS}"
                " seconds: start some; the next run goes on where this one stopped"
            )

    def told(self, error: BaseException) -> EngineError | None:
        """What an error means that is the cluster's own."""
        from distributed import KilledWorker

        if isinstance(error, CancelledError):
            return self._lost()
        if isinstance(error, KilledWorker):
            return EngineError(
                f"{error.allowed_failures + 1} workers died on the same part; too little memory is"
                ' the usual reason: more "buckets" in config.json make smaller parts'
            )
        return None

    def _lost(self) -> EngineError:
        return EngineError(
            f"the scheduler at {self._address} is gone; the next run goes on where this one stopped"
        )


def _memory_for_each(worker: dict[str, Any]) -> int:
    limit = int(worker["memory_limit"] or 0)  # 0: none
    return int(SHARE * limit / worker["nthreads"]) if limit else 1 << 62


@contextmanager
def connected(engine: EngineConfig) -> Iterator[Any]:
    """A client of the scheduler, whether it has workers or not; raises `EngineError`."""
    try:
        import distributed
    except ImportError as error:
        raise EngineError(
            f'"engine": "dask" needs more packages: pip install -r {EXTRA} ({error})'
        ) from None
    # what matters is told by us, in one line
    for name in ("distributed", "distributed.client", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(
            engine.address,
            timeout=CONNECT_SECONDS,
            security=_security(engine),
            set_as_default=False,
            name="clientrisk",
        )
    except (OSError, TimeoutError, ValueError) as error:
        raise EngineError(
            f"no scheduler answers at {engine.address}: start one, or mend"
            f' "engine.address" in config.json ({error})'
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)


@contextmanager
def cluster(engine: EngineConfig) -> Iterator[Cluster]:
    """The workers of the scheduler that the config names; raises `EngineError` without any."""
    with connected(engine) as client:
        try:
            client.wait_for_workers(1, timeout=WORKERLESS_SECONDS)
        except TimeoutError:
            raise EngineError(
                f"the scheduler at {engine.address} has no worker: start one on each machine"
            ) from None
        yield Cluster(client, str(engine.address))


def _security(engine: EngineConfig) -> Any:
    from distributed.security import Security

    if not engine.tls:
        return Security()
    return Security(
        tls_ca_file=str(engine.tls.ca),
        tls_client_cert=str(engine.tls.cert),
        tls_client_key=str(engine.tls.key),
        require_encryption=True,
    )
