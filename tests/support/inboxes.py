"""Where alerts arrive: a real SMTP server with a login, and a real webhook, on loopback."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

from servers import POLL

USER, PASSWORD = "robot", "pass/word:0815"  # what a mail account may have
TOKEN = "T0KEN-in-the-path"


@dataclass
class Inbox:
    """What has arrived; `accepts` may refuse for a while, or do something first."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    hooks: list[dict[str, Any]] = field(default_factory=list)
    accepts: Callable[[], bool] = lambda: True

    @property
    def titles(self) -> list[str]:
        """What was told, by mail or to the webhook."""
        told = [str(mail["Subject"]) for mail in self.mails] + [
            hook["title"] for hook in self.hooks
        ]
        return [title.removeprefix("Client risk: ") for title in told]


@contextmanager
def mailbox() -> Iterator[Inbox]:
    """An SMTP server that takes mails from who logs in."""
    inbox = Inbox()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            known = False
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                word = line.split()[0].upper()
                if word == "EHLO":
                    self.say("250-here\r\n250 AUTH PLAIN")
                elif word == "AUTH":
                    given = base64.b64decode(line.split()[-1]).decode().split("\0")
                    known = given[-2:] == [USER, PASSWORD]
                    self.say("235 yes" if known else "535 who is that?")
                elif word == "DATA" and known:
                    self.say("354 go on")
                    lines = [*iter(self.rfile.readline, b".\r\n")]
                    if taken := inbox.accepts():
                        inbox.mails.append(
                            message_from_bytes(b"".join(lines), policy=policy.default)
                        )
                    self.say("250 taken" if taken else "451 later")
                else:
                    self.say("221 bye" if word == "QUIT" else "250 fine")

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with _serving(ThreadingTCPServer(("127.0.0.1", 0), Handler), inbox):
        yield inbox


@contextmanager
def webhook() -> Iterator[Inbox]:
    """A server that takes what is posted to it."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            taken = TOKEN in self.path and inbox.accepts()
            if taken:
                inbox.hooks.append(given)
            self.send_response(200 if taken else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler), inbox):
        yield inbox


@contextmanager
def _serving(server: ThreadingTCPServer, inbox: Inbox) -> Iterator[None]:
    server.daemon_threads = True
    inbox.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": POLL})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
