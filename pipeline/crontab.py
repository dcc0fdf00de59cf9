"""The line by which cron runs the chain, in a folder of any name."""

import sys
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import ConfigError

# within single quotes of sh, for every cron: some leave the backslash before a %, some take one of
# two that follow each other
_QUOTED = str.maketrans({"'": "'\"'\"'", "%": "'\\%'", "\\": "\\''"})


def crontab_line(project: Path, options: Iterable[str] = (), python: str = sys.executable) -> str:
    """The line, whose whole output goes into the project's log; raises `ConfigError`."""
    words = " ".join(["fullprocess.py", *(_quoted(option) for option in options)])
    command = f"cd {_quoted(str(project))} && {_quoted(python)} {words}"
    line = f"*/10 * * * * {{ {command}; }} >> {_quoted(str(project / 'fullprocess.log'))} 2>&1"
    if "\n" in line:
        raise ConfigError(f"cron can run nothing whose path has a line break: {line!r}")
    return line


def _quoted(text: str) -> str:
    return f"'{text.translate(_QUOTED)}'"
