"""Follow a forked child from one change of files to the next, so that it can be killed at any.

The kernel stops the child before every system call that writes, syncs, renames, links, makes or
removes something (seccomp) and after it (ptrace), whichever library makes the call, SQLite
included. The code under test runs as it is. Linux on x86-64 only.
"""

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

CALLS = {
    **{1: "write", 18: "pwrite64", 20: "writev", 296: "pwritev", 328: "pwritev2"},
    **{40: "sendfile", 285: "fallocate", 326: "copy_file_range"},
    **{76: "truncate", 77: "ftruncate", 74: "fsync", 75: "fdatasync"},
    **{2: "open", 85: "creat", 257: "openat", 83: "mkdir", 258: "mkdirat", 84: "rmdir"},
    **{82: "rename", 264: "renameat", 316: "renameat2", 87: "unlink", 263: "unlinkat"},
    **{86: "link", 265: "linkat", 88: "symlink", 266: "symlinkat"},
}
NUMBERS = {name: number for number, name in CALLS.items()}

# which arguments of a call name a place: a descriptor, a path, or a path below a descriptor
FD, PATH, AT = "descriptor", "path", "path below a descriptor"
PLACES: dict[str, tuple[tuple[str, int], ...]] = {
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2"), ((FD, 0),)),
    **dict.fromkeys(("sendfile", "fallocate", "ftruncate", "fsync", "fdatasync"), ((FD, 0),)),
    **dict.fromkeys(("truncate", "open", "creat", "mkdir", "rmdir", "unlink"), ((PATH, 0),)),
    **dict.fromkeys(("openat", "mkdirat", "unlinkat"), ((AT, 0),)),
    **dict.fromkeys(("rename", "link"), ((PATH, 0), (PATH, 1))),
    **dict.fromkeys(("renameat", "renameat2", "linkat"), ((AT, 0), (AT, 2))),
    **{"copy_file_range": ((FD, 2),), "symlink": ((PATH, 1),), "symlinkat": ((AT, 1),)},
}
OPENS = ("open", "openat", "creat")
WRITES = ("write", "pwrite64")
SYNCS = ("fsync", "fdatasync")
AT_FDCWD = -100

# <linux/ptrace.h>, <linux/seccomp.h>, <linux/prctl.h>, <linux/wait.h>
TRACEME, CONT, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 0, 7, 24, 0x4200, 0x420E
TRACESYSGOOD, TRACECLONE, TRACESECCOMP, EXITKILL = 0x1, 0x8, 0x80, 0x100000
EVENT_SECCOMP, INFO_EXIT = 7, 2
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE = 38, 22, 2
WALL = 0x40000000

why_not = (
    None
    if sys.platform == "linux" and platform.machine() == "x86_64"
    else "tracing system calls is written for Linux on x86-64"
)


@dataclass(frozen=True)
class Call:
    """A system call on something below the root, before it runs or after."""

    thread: int
    name: str
    arguments: tuple[int, ...]
    paths: tuple[Path, ...]
    creates: bool  # opens a file that was not there
    result: int | None = None  # None before it ran

    @cached_property
    def changes(self) -> bool:
        """Whether it did anything to the files: it did not fail, and `open` made or emptied one."""
        failed = self.result is not None and self.result < 0
        return not failed and (self.name not in OPENS or self.creates or self._empties)

    @property
    def _empties(self) -> bool:
        flags = {"open": self.arguments[1], "openat": self.arguments[2]}
        return bool(flags.get(self.name, os.O_TRUNC) & os.O_TRUNC)

    @property
    def descriptor(self) -> Path:
        """The file it writes to or opened, by its descriptor."""
        opened = self.result if self.name in OPENS else self.arguments[0]
        return Path(f"/proc/{self.thread}/fd/{opened}")

    def tear(self) -> None:
        """Do the first half of this write, as the last thing of a process that is killed in it."""
        address, count = self.arguments[1], self.arguments[2] // 2
        with Path(f"/proc/{self.thread}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            half = memory.read(count)
        found = Path(f"/proc/{self.thread}/fdinfo/{self.arguments[0]}").read_text()
        at = self.arguments[3] if self.name == "pwrite64" else int(found.split()[1])
        with self.descriptor.open("r+b") as file:
            file.seek(at)
            file.write(half)


Visit = Callable[[Call], None]


def fork(run: Callable[[], int], *, traced: bool = False) -> int:
    """Fork a child that runs and exits with what it returned, or with 70 for a bug.

    A traced one waits until it is followed.
    """
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "one thread only may fork"
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        if traced:
            _be_traced()
        code = run()
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - reported, and never back into the parent's code
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def follow(pid: int, root: Path, before: Visit, after: Visit) -> int:
    """Visit each call of a traced child on something below the root, before and after it.

    Returns its exit code, or the negative signal that ended it. A visit may kill the child: then
    the call it stands before does not run.
    """
    try:
        return _followed(pid, root, before, after)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise


def _followed(pid: int, root: Path, before: Visit, after: Visit) -> int:
    os.waitpid(pid, WALL)
    _ptrace(SETOPTIONS, pid, TRACESYSGOOD | TRACECLONE | TRACESECCOMP | EXITKILL)
    _ptrace(CONT, pid)
    at_work: dict[int, Call] = {}
    while True:
        thread, status = os.waitpid(-1, WALL)
        if not os.WIFSTOPPED(status):
            if thread == pid:
                return os.waitstatus_to_exitcode(status)
            continue
        event, stopped_by = status >> 16, os.WSTOPSIG(status)
        how, signal_ = CONT, 0
        with suppress(ProcessLookupError, FileNotFoundError):  # killed while it stood there
            if event == EVENT_SECCOMP:
                call = _call(thread)
                if any(path.is_relative_to(root) for path in call.paths):
                    before(call)
                    at_work[thread], how = call, SYSCALL
            elif stopped_by == signal.SIGTRAP | 0x80:
                after(_returned(at_work.pop(thread)))
            elif not event and stopped_by != signal.SIGSTOP:
                signal_ = stopped_by
            _ptrace(how, thread, signal_)


def _call(thread: int) -> Call:
    number, *arguments = struct.unpack_from("7Q", _syscall_info(thread), 24)
    name = CALLS[number]
    paths = tuple(_place(thread, kind, arguments, i) for kind, i in PLACES[name])
    creates = name in OPENS and not paths[0].exists()
    return Call(thread, name, tuple(arguments), paths, creates)


def _returned(call: Call) -> Call:
    found = _syscall_info(call.thread)
    assert found[0] == INFO_EXIT
    result: int = struct.unpack_from("q", found, 24)[0]
    return replace(call, result=result)


def _place(thread: int, kind: str, arguments: list[int], i: int) -> Path:
    process = Path(f"/proc/{thread}")
    if kind == FD:
        return (process / f"fd/{arguments[i] & 0xFFFFFFFF}").readlink()
    base = process / "cwd"
    if kind == AT:
        descriptor = ctypes.c_int(arguments[i] & 0xFFFFFFFF).value
        base = base if descriptor == AT_FDCWD else process / f"fd/{descriptor}"
        i += 1
    # not resolved: of a link, the link itself is meant
    return Path(os.path.normpath(base.readlink() / _text(process, arguments[i])))


def _text(process: Path, address: int) -> str:
    text = b""
    with (process / "mem").open("rb", buffering=0) as memory:
        while b"\0" not in text:
            memory.seek(address + len(text))
            text += memory.read(256 - (address + len(text)) % 256)  # never past the page
    return os.fsdecode(text.partition(b"\0")[0])


def _be_traced() -> None:
    _ptrace(TRACEME, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    code = ctypes.create_string_buffer(_filter())
    program = ctypes.create_string_buffer(struct.pack("HP", len(code) // 8, ctypes.addressof(code)))
    _checked(_libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(_libc.prctl(SET_SECCOMP, FILTER_MODE, program, 0, 0))


def _filter() -> bytes:
    """A seccomp filter that stops CALLS, of the opens only those that may make or empty a file."""
    load, if_equal, if_bits, give = 0x20, 0x15, 0x45, 0x06
    trace, allow = 0x7FF00000, 0x7FFF0000
    code = [(load, 0, 0, 0)]
    for name, flags in (("open", 1), ("openat", 2)):
        code += [(if_equal, 0, 4, NUMBERS[name]), (load, 0, 0, 16 + 8 * flags)]
        code += [(if_bits, 0, 1, os.O_CREAT | os.O_TRUNC), (give, 0, 0, trace), (give, 0, 0, allow)]
    for name in NUMBERS.keys() - {"open", "openat"}:
        code += [(if_equal, 0, 1, NUMBERS[name]), (give, 0, 0, trace)]
    return b"".join(struct.pack("HBBI", *line) for line in [*code, (give, 0, 0, allow)])


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _checked(done: int) -> None:
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    _checked(_libc.ptrace(request, pid, 0, data))


def _syscall_info(thread: int) -> bytes:
    buffer = ctypes.create_string_buffer(88)
    _checked(_libc.ptrace(GET_SYSCALL_INFO, thread, 88, ctypes.addressof(buffer)))
    return buffer.raw
