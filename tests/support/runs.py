"""Runs of the chain in processes of their own, held where a test wants to look."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from threading import Event

from sandbox import PROJECT, Sandbox
from servers import foreign, saying


def start(world: Sandbox, *args: str) -> "subprocess.Popen[str]":
    """A run of the chain in a process of its own."""
    config = str(world.root / "config.json")
    return subprocess.Popen(
        [sys.executable, "fullprocess.py", "--config", config, *args],
        cwd=PROJECT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextmanager
def held_at_start(world: Sandbox) -> Iterator[tuple[Event, Event]]:
    """A monitor that holds every run right after it took the lock.

    The first event tells that one is there, the second lets it go on.
    """
    reached, go_on = Event(), Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        reached.set()
        go_on.wait(600)
        saying("OK")(handler)

    with foreign(answer) as (url, _):
        world.configure(heartbeat_url=url, practice={"heartbeat_url": url})
        try:
            yield reached, go_on
        finally:
            go_on.set()


@contextmanager
def run_at_work(world: Sandbox, *args: str) -> Iterator["subprocess.Popen[str]"]:
    """A real run that holds the lock and stands still; it goes on and must end well."""
    with held_at_start(world) as (reached, _):
        child = start(world, *args)
        try:
            assert reached.wait(600)
            child.send_signal(signal.SIGSTOP)
            world.configure(heartbeat_url=None, practice=None)
            yield child
        finally:
            child.send_signal(signal.SIGCONT)
    _, log = child.communicate(timeout=600)
    assert child.returncode == 0, log
