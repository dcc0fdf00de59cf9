"""Clients who send a byte now and then: the others are answered, and those are cut off."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
import requests
from gunicorns import gunicorn
from sandbox import PROJECT, Sandbox, within
from servers import serving

from pipeline.web import app

DRIPPING = 8
HEAD = b"POST /prediction HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"


@contextmanager
def dripping(
    url: str, head: bytes = HEAD + b"Content-Length: 1000\r\n\r\n"
) -> Iterator[list[socket.socket]]:
    """So many clients, of whose bodies the first byte has come."""
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    with ExitStack() as stack, within(600):
        clients = [
            stack.enter_context(socket.create_connection((place.hostname, place.port)))
            for _ in range(DRIPPING)
        ]
        for client in clients:
            client.sendall(head + b"x")
        yield clients


def documented() -> list[str]:
    """The arguments of the line that docs/api.md has for gunicorn, without its address."""
    (line,) = re.findall(r"^gunicorn (.*) wsgi:app$", (PROJECT / "docs/api.md").read_text(), re.M)
    service = (PROJECT / "docs/operations.md").read_text()
    assert f"bin/gunicorn {line} wsgi:app" in service
    return str(line).replace("--bind 127.0.0.1:8000 ", "").split()


@pytest.mark.slow
def test_gunicorn_as_documented_answers_beside_them(deployed: Sandbox) -> None:
    with gunicorn(deployed, *documented()) as url, dripping(url):
        for _ in range(20):
            assert requests.get(f"{url}/health", timeout=600).status_code == 200


def test_the_server_by_hand_answers_beside_them_and_cuts_them_off(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(deployed.config) as url:
        with dripping(url):
            assert requests.get(f"{url}/health", timeout=600).status_code == 200
        monkeypatch.setattr(app, "BODY_SECONDS", 0.1)
        with dripping(url) as clients:
            answers = [client.makefile("rb").readline() for client in clients]

    assert answers == [b"HTTP/1.1 400 BAD REQUEST\r\n"] * DRIPPING
