"""The packages of `requirements.txt`: which version is installed, and which is the latest."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

log = logging.getLogger("diagnostics")

PIP_SECONDS = 60
UNKNOWN = "unknown"
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"


@dataclass(frozen=True)
class Package:
    """One package that `requirements.txt` names; `unknown` if pip gave no answer."""

    package: str
    installed: str
    latest: str


@cache
def project_version() -> str:
    """The commit that this process began with and its day; unknown where git knows none."""
    ask = ["git", "-C", str(REQUIREMENTS.parent), "log", "-1", "--format=%h of %cs"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return answer.stdout.strip()


def installed_packages(requirements: Path = REQUIREMENTS) -> list[Package]:
    """The installed version of each package that `requirements.txt` names; asks nobody."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    names = [name[0] for line in lines if (name := re.match(r"[A-Za-z0-9][\w.-]*", line))]
    return [Package(name, _installed(name), UNKNOWN) for name in names]


def outdated_packages(requirements: Path = REQUIREMENTS) -> list[Package]:
    """Installed and latest version of each package that `requirements.txt` names.

    Asks pip once; what it does not answer, or an index that cannot be reached, is `unknown`.
    """
    found = installed_packages(requirements)
    latest = _latest([each.package for each in found])
    return [replace(each, latest=latest.get(_normal(each.package), UNKNOWN)) for each in found]


def known_packages(before: Sequence[Package]) -> list[Package]:
    """`outdated_packages` without asking pip: the latest versions are those known before."""
    latest = {package.package: package.latest for package in before}
    return [
        replace(each, latest=latest.get(each.package, UNKNOWN)) for each in installed_packages()
    ]


def _latest(names: Sequence[str]) -> dict[str, str]:
    """Normal name -> newest version that this Python can install; empty if pip gives no answer.

    `pip list --outdated` would not do: if the index cannot be reached, it reports every package as
    up to date.
    """
    ask = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-"]
    ask += ["--upgrade", "--no-deps", "--ignore-installed", "--only-binary=:all:"]
    ask += ["--no-input", "--disable-pip-version-check", "--retries=0", "--timeout=10", *names]
    try:
        answer = subprocess.run(ask, capture_output=True, timeout=PIP_SECONDS, check=True)
        found = [entry["metadata"] for entry in json.loads(answer.stdout)["install"]]
        return {_normal(package["name"]): package["version"] for package in found}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        log.warning("the latest versions are unknown: pip gave no answer (%s)", _why(error))
        return {}


def _why(error: Exception) -> str:
    text = str(error)
    if isinstance(error, subprocess.CalledProcessError):
        text = error.stderr.decode(errors="replace")
    return (text.strip().splitlines() or [type(error).__name__])[-1]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
