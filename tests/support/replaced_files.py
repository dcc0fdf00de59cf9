"""What may come to be at the path of a client file after it was listed."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from sandbox import HEADER


def socket_at(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


# how it is made, and why the file waits then
REPLACED: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda _: None, "cannot be opened: No such file or directory"),
    "a pipe": (os.mkfifo, "cannot be opened: It is no longer a regular file"),
    "a folder": (Path.mkdir, "cannot be opened: It is no longer a regular file"),
    "a socket": (socket_at, "cannot be opened: No such device or address"),
    "a link": (link_to("z.csv"), "cannot be opened: Too many levels of symbolic links"),
    "a link to a device": (
        link_to("/dev/zero"),
        "cannot be opened: Too many levels of symbolic links",
    ),
    "another file": (lambda path: path.write_text(HEADER), "changed while it was read"),
}
