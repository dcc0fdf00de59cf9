import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox import PROJECT

from pipeline.core.errors import LockHeldError
from pipeline.core.file_lock import file_lock
from pipeline.core.files import (
    utc_now,
)

HOLDER = """
import sys
from pathlib import Path
from pipeline.core.file_lock import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

COUNTER = """
import sys
from pathlib import Path
from pipeline.core.errors import LockHeldError
from pipeline.core.file_lock import file_lock
lock, counter, times = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
while times:
    try:
        with file_lock(lock):
            counter.write_text(str(int(counter.read_text()) + 1))
            times -= 1
    except LockHeldError:
        pass
"""


def started(program: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def held_by_another(lock: Path) -> Iterator[subprocess.Popen[str]]:
    with started(HOLDER, lock) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def test_the_lock_file_is_gone_when_the_lock_is_free(tmp_path: Path) -> None:
    with file_lock(tmp_path / "history.db.lock"):
        assert (tmp_path / "history.db.lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_held_by_another_process_tells_which_and_since_when(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    began = utc_now()
    with held_by_another(lock) as holder:
        with pytest.raises(LockHeldError) as caught, file_lock(lock):
            pass
        result = rf"another run is at work \(process {holder.pid}, since (\S+)\); {lock}"
        match = re.fullmatch(result, str(caught.value))
    assert match
    assert began[:19] <= match[1] <= utc_now()


def test_who_is_refused_leaves_the_lock_to_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held_by_another(lock):
        for _ in range(2):
            with pytest.raises(LockHeldError), file_lock(lock):
                pass


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held_by_another(lock) as holder:
        holder.kill()
        holder.wait()
        assert lock.exists()
        with file_lock(lock):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_has_not_said_yet_who_it_is_holds_it_all_the_same(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held_by_another(lock):
        lock.write_text("")
        with pytest.raises(LockHeldError, match="it has just started"), file_lock(lock):
            pass


def test_only_one_of_many_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    runs = [started(COUNTER, tmp_path / "lock", counter, 100) for _ in range(4)]
    for run in runs:
        with run:
            assert run.wait() == 0
    assert counter.read_text() == "400"
    assert [p.name for p in tmp_path.iterdir()] == ["counter"]
