"""The API under a real gunicorn, started as an operator would, and what it says if it refuses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox import PROJECT, Sandbox
from servers import answers, free_port, wait_until

COMMAND = (sys.executable, "-m", "gunicorn", "wsgi:app")


def environment(world: Sandbox, variables: dict[str, str]) -> dict[str, str]:
    """The environment of a server of this world: gunicorn keeps its control socket in HOME."""
    own = {"RISK_CONFIG": str(world.root / "config.json"), "HOME": str(world.root)}
    return {**os.environ, **own, **variables}


@contextmanager
def gunicorn(world: Sandbox, *args: str, **variables: str) -> Iterator[str]:
    """The base URL of the API on a free port of 127.0.0.1, or of what `args` bind it to."""
    port = free_port()
    bind = [] if "--bind" in args else ["--bind", f"127.0.0.1:{port}"]
    words = [word.replace("PORT", str(port)) for word in args]
    child = subprocess.Popen(
        [*COMMAND, *bind, *words],
        cwd=PROJECT,
        env=environment(world, variables),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(timeout=600)


def refused(world: Sandbox, *args: str, **variables: str) -> tuple[int, str]:
    """The exit code and the log of a gunicorn that does not start."""
    done = subprocess.run(
        [*COMMAND, *args],
        cwd=PROJECT,
        env=environment(world, variables),
        text=True,
        stderr=subprocess.PIPE,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stderr
