"""Sending alerts by Apprise, which is imported where there is something to send.

A message is recorded as sent right after its target has taken it: a run killed between the two has
it sent again. An address, or a part of it, is in no message, whoever writes it.
"""

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, unquote

from pipeline.action.alerts import Alert, drop_waiting, record_delivery, waiting_for
from pipeline.core.connections import VARIABLE, Target
from pipeline.core.limits import time_limit
from pipeline.storage.database import History

log = logging.getLogger(__name__)

SECONDS = 30.0  # for one message to one target
SENDER = "Client risk"
# what Apprise says at its level of debugging alone: the system's error, or an SMTP server's code
_CAUSE = re.compile(r"\[Errno -?\d+\] [\w ]+|(?<=\()\d{3}(?=, b)|timed out")


@dataclass(frozen=True)
class Message:
    """What a target gets."""

    title: str
    body: str
    kind: str = "info"  # of Apprise's: info, success, warning, failure
    attached: bytes | None = None  # the report, as PDF


class _TookTooLong(BaseException):
    """No `Exception`, so that nothing in Apprise goes on after it."""


class _Said(logging.Handler):
    """Keeps why a message was not sent, of what libraries log."""

    why, cause = "", ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first warning, and the last cause."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            self.why = self.why or text
        elif found := _CAUSE.search(text):
            self.cause = f" ({found[0]})"


def deliver(
    history: History, targets: tuple[Target, ...], message_of: Callable[[Alert], Message]
) -> None:
    """Send what waits; a target that fails is logged, and tried again the next time.

    To be called by one process at a time.
    """
    drop_waiting(history, [target.name for target in targets])
    for target in targets:
        for alert in waiting_for(history, target.name):
            failure = send(target.address, message_of(alert))
            record_delivery(history, alert, target.name, sent=failure is None)
            if failure is not None:
                text = 'alert target "%s" failed, and is tried again at the next run: %s'
                log.warning(text, target.name, failure)
                break
            log.info('alert target "%s" was told: %s', target.name, alert.event.title)


def send(address: str, message: Message) -> str | None:
    """Send a message to an address; returns why that failed, None if it did not."""
    try:
        address = _filled(address)
    except KeyError as error:
        return f"its address has ${error.args[0]}, which the environment has not"
    try:
        with _captured() as said, time_limit(SECONDS, _TookTooLong()):
            import apprise
            from apprise.attachment.memory import AttachMemory

            # in this thread, so that the limit reaches it
            asset = apprise.AppriseAsset(app_id=SENDER, async_mode=False, service_timeout=0)
            service, to = apprise.Apprise.instantiate(address, asset), apprise.Apprise(asset=asset)
            attach = message.attached and AttachMemory(  # type: ignore[no-untyped-call]
                message.attached, name="report.pdf", mimetype="application/pdf"
            )
            if (
                service
                and to.add(service)
                and to.notify(
                    *(message.body, message.title, message.kind),
                    body_format="text",
                    attach=attach,
                )
            ):
                return None
    except _TookTooLong:
        return f"it took longer than {SECONDS:g} seconds"
    except ImportError as error:
        return f"{error}: pip install -r requirements.txt"
    return _without(address, (said.why or "it was not taken") + said.cause)


def _filled(address: str) -> str:
    """An address with its variables; what is a part of it is encoded. Raises `KeyError`."""
    whole = VARIABLE.fullmatch(address)

    def value(found: re.Match[str]) -> str:
        text = os.environ[found[1] or found[2]]
        return text.strip() if whole else quote(text, safe="")

    return VARIABLE.sub(value, address)


@contextmanager
def _captured() -> Iterator[_Said]:
    """Keep what any library logs or warns of from the log: it may have a part of an address."""
    said, root, theirs = _Said(), logging.getLogger(), logging.getLogger("apprise")
    handlers, level = root.handlers[:], theirs.level
    root.handlers[:] = [said]
    theirs.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield said
    finally:
        theirs.setLevel(level)
        root.handlers[:] = handlers


def _without(address: str, text: str) -> str:
    """A text in one line without any part of an address but its scheme and names of options."""
    rest, _, options = address.partition("://")[2].partition("?")
    values = "/".join(option.partition("=")[2] for option in options.split("&"))
    parts = re.split(r"[:@/,;#\s]+", f"{rest}/{values}")
    parts += re.findall(r"[\w-]{6,}", unquote(address.partition("://")[2] or address))
    forms = {form(part) for part in parts for form in (str, unquote, quote)} - {""}
    # short ones as words of their own: the rest of the text is to be read
    pattern = "|".join(
        re.escape(form) if len(form) > 3 else rf"(?<!\w){re.escape(form)}(?!\w)"
        for form in sorted(forms, key=len, reverse=True)
    )
    return " ".join((re.sub(pattern, "…", text, flags=re.IGNORECASE) if forms else text).split())
