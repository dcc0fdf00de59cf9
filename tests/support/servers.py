"""Real HTTP servers on free loopback ports: ours, and one that is not ours."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import SystemRandom
from threading import Thread
from typing import Any

import requests

from app import create_app
from pipeline.core.config import Config
from pipeline.web import api_client

POLL = 0.02  # seconds; the default of half a second would be waited for at each end

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(config: Config) -> Iterator[str]:
    """The base URL of our API for as long as the context lasts."""
    with api_client.serving(create_app(config)) as url:
        yield url


@contextmanager
def foreign(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """The base URL of a server that is not ours, and the requests it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with suppress(ConnectionError):  # whoever asked may be gone
                answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": POLL})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def saying(body: str, status: int = 200, content_type: str = "application/json") -> Answer:
    """An answer of this body to whatever is asked."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = body.encode()
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the processes started inside take an interrupt, even if ours was set to ignore it.

    So it is where the tests run in the background of a shell, and children inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def free_port() -> int:
    """A port on which nothing listens.

    Drawn at random below those that the system gives to connections, so that no other worker of
    pytest takes it before a server does.
    """
    while True:
        port = SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(true: Callable[[], object]) -> None:
    """Return once something holds; fail where it never does."""
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def answers(url: str) -> bool:
    """Whether a server answers there."""
    try:
        requests.get(url, timeout=600)
    except requests.RequestException:
        return False
    return True
