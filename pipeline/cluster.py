"""A cluster of Dask's workers, as an executor of our own functions; the one room that names it.

Nothing of it is used but `Client(address).get_executor()`, and what tells who is there and asks
each. A worker that dies is Dask's to notice: what it was at goes to another.
"""

import asyncio
import logging
import ssl
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, TypeVar

from pipeline.engineconfig import EXTRA, WORKER_BYTES, EngineConfig
from pipeline.errors import EngineError
from pipeline.overheard import Heard, packed, tell, unpacked

log = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")

CHECK = "`python -m pipeline.engine --check`"
NOISY = ("distributed", "distributed.client", "distributed.core", "tornado", "tornado.application")
CONNECT_SECONDS = 10
ANSWER_SECONDS = 30  # for which a worker may say nothing when it is asked
WORKERLESS_SECONDS = 60  # in which the first worker must come, or another one
POLL = 0.2  # seconds between two looks for the first worker
SHARE = 0.6  # of a worker's memory, from which on Dask begins to write it to disk


class Cluster:
    """The workers behind a scheduler."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._executor = self._new_executor()
        self._alone_since: float | None = None  # monotonic
        workers = self.found()
        self.workers = sum(worker["nthreads"] for worker in workers.values())
        self.memory = max(0, min(map(_memory_for_each, workers.values()), default=0) - WORKER_BYTES)

    def found(self) -> dict[str, Any]:
        """Each worker that the scheduler knows, by its address; raises `EngineError`."""
        workers: dict[str, Any] = self._identity(-1)["workers"]
        return workers

    def asked(
        self, function: Callable[[P], R], argument: P, workers: Collection[str]
    ) -> dict[str, R | BaseException]:
        """What the function makes of something, once on each of these workers; or why it does not.

        It is called beside their work. Whoever is hung gets `TimeoutError`, and holds up nobody.
        """
        call = packed(function, argument)

        async def ask(worker: str) -> R:
            answering = self._client.run(unpacked, call, workers=[worker])
            try:
                said: dict[str, Heard[R]] = await asyncio.wait_for(answering, ANSWER_SECONDS)
            except TimeoutError:
                told = f"it has said nothing for {ANSWER_SECONDS} seconds"
                raise TimeoutError(told) from None
            return tell(said[worker])

        async def ask_all() -> list[R | BaseException]:
            return await asyncio.gather(*map(ask, workers), return_exceptions=True)

        return dict(zip(workers, self._client.sync(ask_all), strict=True))

    def executor(self) -> Executor:
        """The executor of the client."""
        return self._executor

    def worked(self) -> None:
        """Note that there is somebody at work."""
        self._alone_since = None

    def cancel(self, futures: Collection[Future[Any]]) -> None:
        """Have nobody begin what is left of a map."""
        if futures and self._client.status == "running":
            # all at once: by themselves, each would be a message that is waited for
            self._executor.shutdown(wait=False)
            self._executor = self._new_executor()

    def check(self) -> None:
        """Raise `EngineError` if the scheduler is gone, or has had no worker for a minute."""
        if self._identity(0)["n_workers"]:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = monotonic()
        elif monotonic() - self._alone_since > WORKERLESS_SECONDS:
            raise EngineError(
                f"the scheduler at {self._address} has had no worker for {WORKERLESS_SECONDS}"
                " seconds: start some; the next run goes on where this one stopped"
            )

    def told(self, error: BaseException) -> EngineError | None:
        """What an error means that is the cluster's own."""
        from distributed import KilledWorker
        from distributed.client import ClosedClientError

        if isinstance(error, (CancelledError, ClosedClientError)):
            return self._lost()
        if isinstance(error, KilledWorker):
            return EngineError(
                f"{error.allowed_failures + 1} workers died on the same part; too little memory is"
                ' the usual reason: more "buckets" in config.json make smaller parts'
            )
        if isinstance(error, ModuleNotFoundError):
            return EngineError(f"a worker has no {error.name}: {CHECK} tells which, and what to do")
        return None

    def _identity(self, workers: int) -> dict[str, Any]:
        """What the scheduler says of itself, and of so many workers; -1: of all.

        Not `client.scheduler_info`, which gives its last answer where there is none.
        """
        if self._client.status != "running":
            raise self._lost()
        try:
            identity: dict[str, Any] = self._client.sync(
                self._client.scheduler.identity, n_workers=workers, callback_timeout=CONNECT_SECONDS
            )
        except (OSError, TimeoutError) as error:
            raise self._lost() from error
        return identity

    def _new_executor(self) -> Executor:
        # each part for itself, however equal two may be
        executor: Executor = self._client.get_executor(pure=False)
        return executor

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
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        security = _security(engine)
        asyncio.run(asyncio.wait_for(_greet(engine.address, security), CONNECT_SECONDS + 2))
        with _versions_told():
            client = distributed.Client(
                engine.address,
                timeout=CONNECT_SECONDS,
                security=security,
                set_as_default=False,
                name="clientrisk",
            )
    # whoever else listens there may say things that are taken for the length of a message
    except (OSError, TimeoutError, ValueError, MemoryError) as error:
        why = str(error) or "it accepts connections and says nothing that is understood"
        raise EngineError(
            f"no scheduler answers at {engine.address}: start one, or mend"
            f' "engine.address" in config.json ({why})'
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)


async def _greet(address: str | None, security: Any) -> None:
    """Connect and be greeted: a `Client` waits for that for ever."""
    from distributed.comm import connect

    options = security.get_connection_args("client")
    comm = await connect(address, timeout=CONNECT_SECONDS, **options)
    await comm.close()


@contextmanager
def _versions_told() -> Iterator[None]:
    """Tell in one line that versions differ, of which Dask has a table."""
    from distributed.versions import VersionMismatchWarning

    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always", VersionMismatchWarning)
        yield
    warnings.simplefilter("ignore", VersionMismatchWarning)  # when it connects anew
    if any(issubclass(one.category, VersionMismatchWarning) for one in noted):
        log.warning(
            "not all versions of packages are the same on the cluster: %s tells which", CHECK
        )


@contextmanager
def cluster(engine: EngineConfig) -> Iterator[Cluster]:
    """The workers of the scheduler that the config names; raises `EngineError` without any."""
    with connected(engine) as client:
        start = monotonic()
        while not (crew := Cluster(client, str(engine.address))).workers:
            if monotonic() - start > WORKERLESS_SECONDS:
                raise EngineError(
                    f"the scheduler at {engine.address} has no worker: start one on each machine"
                )
            sleep(POLL)
        yield crew


def _security(engine: EngineConfig) -> Any:
    """How to know the scheduler, and be known; raises `EngineError` where files are of no use."""
    from distributed.security import Security

    if not engine.tls:
        return Security()
    for path in engine.tls:
        try:
            path.read_bytes()
        except OSError as error:
            raise EngineError(f'"engine.tls": {path} cannot be read: {error.strerror}') from None
    security = Security(
        tls_ca_file=str(engine.tls.ca),
        tls_client_cert=str(engine.tls.cert),
        tls_client_key=str(engine.tls.key),
        require_encryption=True,
    )
    try:
        security.get_connection_args("client")
    except ssl.SSLError as error:
        raise EngineError(
            f'"engine.tls": the files do not go together, or are no PEM files: {error}'
        ) from error
    return security
