"""Serving a WSGI application to this process itself, for as long as a few requests take."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from werkzeug.serving import make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@contextmanager
def serving(application: "WSGIApplication") -> Iterator[str]:
    """The URL of a server of the application, on a free port of the loopback address."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each request
    server = make_server("127.0.0.1", 0, application, threaded=True)
    # the time between its looks for the end; the default of half a second would be waited for
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
