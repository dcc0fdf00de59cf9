"""What whole processes cost: CPU, wall time and memory.

Run as a script, it is the process that starts what is measured. That one is to be small: a child
begins with the memory of its parent, and the peak of that counts as the child's own.
"""

import json
import os
import sys
from time import perf_counter
from typing import NamedTuple


class Cost(NamedTuple):
    """What one process took, or the medians of several."""

    cpu: float  # seconds of user and system time
    wall: float  # seconds
    peak: float  # MiB of memory


def cost(command: list[str]) -> Cost:
    """Run a process to its end, without its output; its own cost and that of its children.

    Raises `SystemExit` with what it said on standard error if it fails.
    """
    said = os.memfd_create("stderr")
    actions = [
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, said, 2),
    ]
    started = perf_counter()
    child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, used = os.wait4(child, 0)
    wall = perf_counter() - started
    with open(said, "rb") as errors:  # noqa: PTH123, a descriptor
        if code := os.waitstatus_to_exitcode(status):
            errors.seek(0)
            raise SystemExit(f"{command} ended with {code}: {errors.read().decode()}")
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


def taken_in_turn(commands: list[list[str]], repeat: int) -> list[list[Cost]]:
    """The costs of each command, run A B C A B C."""
    rounds = [[cost(command) for command in commands] for _ in range(repeat)]
    return [list(costs) for costs in zip(*rounds, strict=True)]


if __name__ == "__main__":
    json.dump(taken_in_turn(*json.load(sys.stdin)), sys.stdout)
