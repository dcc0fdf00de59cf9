"""Who may change something: requests of this server's own pages, and of programs; never of others.

A page of another site that somebody has open can send requests here, with the password that the
browser knows. Browsers say where a request comes from, in `Sec-Fetch-Site` or `Origin`; programs
say nothing. By a name of its own that leads to this machine, such a page could even read answers:
so, without a token, this server answers under names of loopback only.
"""

from urllib.parse import urlsplit

from flask import request

from pipeline.web.auth import TOKEN_VARIABLE, is_loopback
from pipeline.web.request_rows import RequestError


def check_write() -> None:
    """Raise `RequestError` if a page of another site sent this request."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    own = origin is None or origin.partition("://")[2] == request.host
    if site in ("same-origin", "none") or (site is None and own):
        return
    raise RequestError(
        403,
        "the request comes from a page of another site; if it does not, have the proxy in between"
        " hand on the header Host",
    )


def check_host() -> None:
    """Raise `RequestError` if the server is asked under a name that is not loopback's."""
    name = urlsplit(f"//{request.host}").hostname or ""
    if not is_loopback(name):
        raise RequestError(
            421, f"without a token this server answers to localhost only: set {TOKEN_VARIABLE}"
        )
