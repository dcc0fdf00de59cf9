"""Who may ask the API: a token, its proof, and the addresses that a server without one may have."""

import base64
import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.core.errors import PipelineError

TOKEN_VARIABLE = "RISK_API_TOKEN"
_VISIBLE = re.compile("[!-~]+")


def api_token() -> str | None:
    """The token that requests must carry, from the environment; None if none is set.

    Raises `PipelineError` if no header could carry it.
    """
    token = os.environ.get(TOKEN_VARIABLE) or None
    if token and not _VISIBLE.fullmatch(token):
        raise PipelineError(f"{TOKEN_VARIABLE} must be of visible ASCII characters, without spaces")
    return token


def authorized(header: str | None, token: str) -> bool:
    """Whether an `Authorization` header carries the token, compared in constant time.

    Programs send it as a bearer token, browsers as the password of any user.
    """
    scheme, _, sent = (header or "").partition(" ")
    known: dict[str, Callable[[str], bytes]] = {"bearer": str.encode, "basic": _password}
    carried: Callable[[str], bytes] = known.get(scheme.lower(), lambda _: b"")
    return hmac.compare_digest(carried(sent), token.encode())


def _password(credentials: str) -> bytes:
    """The password of a browser's credentials; empty if they are none."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def proof_of(challenge: str, model_sha256: str, token: str | None) -> str:
    """What a server answers to a random text that has a release's model, and the token if any.

    Who has neither learns nothing of the token by it: the digest of the model is not public.
    """
    key = f"{token or ''} {model_sha256}"
    return hmac.new(key.encode(), challenge.encode(), "sha256").hexdigest()


def check_address(host: str) -> None:
    """Refuse to serve the world without a token.

    Raises `PipelineError` if the address is not loopback and no token is set.
    """
    if not (is_loopback(host) or api_token()):
        raise PipelineError(
            f"refusing to serve on {host or 'every address'} without a token:"
            f" set {TOKEN_VARIABLE}, or bind to 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine only."""
    if host == "localhost" or host.startswith("unix://"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listening_hosts() -> list[str]:
    """The addresses that this process listens on: what a WSGI server has bound before us."""
    found = []
    for entry in Path("/dev/fd").iterdir():
        with suppress(OSError):  # no socket, or the listing's own, closed by now
            bound = socket.socket(fileno=int(entry.name))
            internet = bound.family in (socket.AF_INET, socket.AF_INET6)
            if internet and bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.append(str(bound.getsockname()[0]))
            bound.detach()
    return found
