"""The API for a WSGI server: `gunicorn wsgi:app`; RISK_CONFIG may name another config.json.

Without a token it refuses to start on an address that others reach.
"""

import gc
import os
import sys

from flask import Flask

from pipeline import cli
from pipeline.core.config import load_config
from pipeline.core.errors import PipelineError
from pipeline.web.auth import check_address, listening_hosts

BOOT_FAILED = 3  # a worker that leaves with this makes gunicorn stop instead of starting another


def make_app() -> Flask:
    """The app; what its operator has to correct is printed in one line and ends the process."""
    cli.set_up_logging(verbose=False)
    try:
        check_addresses()
        config = load_config(os.environ.get("RISK_CONFIG") or cli.CONFIG)
        from pipeline.web.app import create_app  # heavy, and not needed to refuse

        return create_app(config)
    except PipelineError as error:
        raise SystemExit(report(error)) from None


def check_addresses() -> None:
    """Refuse to serve the world without a token; raises `PipelineError`."""
    for host in listening_hosts():
        check_address(host)


def check_worker() -> None:
    """`check_addresses` in a worker just forked: `gunicorn --preload` imports before it listens."""
    try:
        check_addresses()
    except PipelineError as error:
        os._exit(report(error))  # an exception would only be reported, and the worker go on


def report(error: PipelineError) -> int:
    """Print what is wrong; returns the exit code."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    return BOOT_FAILED


app = make_app()
# What is loaded by now stays: 135,000 objects, mostly of pandas and scikit-learn. Without this the
# garbage collector visits all of them now and then within a request of thousands of rows, which
# makes the slowest answers slower.
gc.collect()
gc.freeze()
os.register_at_fork(after_in_child=check_worker)
