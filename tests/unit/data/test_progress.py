import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

from sandbox import PROJECT, Sandbox, client_rows

# ingestion with a bar from the first moment on, and whether that needed tqdm
PROGRAM = """
import sys
from pipeline.data import loader
loader.PROGRESS_DELAY = 0
from ingestion import main
main(["--config", sys.argv[1]])
print("tqdm" in sys.modules)
"""


def run(config: Path, stderr: int) -> str:
    command = [sys.executable, "-c", PROGRAM, str(config)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=stderr, check=True)
    return done.stdout.decode()


def test_a_terminal_shows_how_far_ingestion_has_come(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", client_rows(0, 50))
    sandbox.write("sourcedata/b.csv", client_rows(50, 50))
    shown, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    try:
        assert run(sandbox.root / "config.json", terminal).endswith("True\n")
        text = os.read(shown, 1 << 20).decode()
    finally:
        os.close(terminal)
        os.close(shown)
    assert re.search(r"taking in: 100%\|█+\| 2\.\d\dk/2\.\d\dk", text), text
    # log lines stand whole, above the bar, which is wiped away at the end
    assert re.search(r"\r\S+Z INFO pipeline\.data\.loader: a\.csv: 50 rows", text)
    assert re.fullmatch(r" *", text.rpartition("taking in")[2].split("\r")[-2])


def test_a_log_file_shows_nothing_of_it(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.write("sourcedata/a.csv", client_rows(0, 50))
    with (tmp_path / "log").open("wb") as log:
        assert run(sandbox.root / "config.json", log.fileno()).endswith("False\n")
    assert "taking in" not in (tmp_path / "log").read_text()
