"""The ranking before: the file that still lies there, beside the ranking that is to replace it."""

import logging
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.csv_format import unescape_formula
from pipeline.core.errors import DataError

log = logging.getLogger(__name__)

DECIMALS = 6  # of the risks in a ranking's file


class Earlier(NamedTuple):
    """An earlier ranking: the risk of each client, shape (clients,), and the release it is by."""

    clients: list[str]
    risk: np.ndarray
    release: str
    stamp: str  # which file it is


class Before(NamedTuple):
    """What the ranking before said of the clients of the new one."""

    risk: np.ndarray  # shape (clients,), NaN where it had none
    gone: list[str]  # who was in the ranking before, and is in the new one no more
    release: str
    stamp: str  # which file it is


def ranking_before(path: Path, clients: list[str]) -> Before | None:
    """The ranking at a path beside these clients of a new one; None where there is none of ours."""
    earlier = earlier_ranking(path)
    return None if earlier is None else beside(earlier, clients)


def beside(earlier: Earlier, clients: list[str]) -> Before:
    """An earlier ranking beside the clients of a new one."""
    known = dict(zip(earlier.clients, earlier.risk.tolist(), strict=True))
    risk = np.fromiter(map(known.pop, clients, repeat(np.nan)), "float64", len(clients))
    return Before(risk, list(known), earlier.release, earlier.stamp)


def earlier_ranking(path: Path) -> Earlier | None:
    """The ranking at a path; None where there is none, or people made another of it."""
    try:
        return next(earlier_blocks(path), None)
    except DataError as error:
        log.warning("%s", error)
        return None


def earlier_blocks(path: Path, rows: int | None = None) -> Iterator[Earlier]:
    """The ranking at a path as a whole, or in blocks of so many rows; nothing where there is none.

    Raises `DataError`, after blocks perhaps, if people made another of it.
    """
    release = None
    try:
        status = path.stat()
        for table in _tables(path, rows):
            if table.empty:  # everybody had left
                continue
            releases = set(table["release"].tolist())
            release = release or next(iter(releases))
            if releases != {release} or not table["risk"].between(0, 1).all():
                raise ValueError("it is not of one release with risks from 0 to 1")
            clients = table["client"].tolist()
            if "'" in "".join(clients):
                clients = [unescape_formula(client) for client in clients]
            stamp = f"{status.st_ino}-{status.st_mtime_ns}"
            yield Earlier(clients, table["risk"].to_numpy(), release, stamp)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is no ranking of ours, nothing to compare with: {error}"
        ) from error


def _tables(path: Path, rows: int | None) -> Iterator[pd.DataFrame]:
    with pd.read_csv(
        path,
        usecols=["client", "risk", "release"],
        dtype={"client": "object", "risk": "float64", "release": "object"},
        na_filter=False,
        iterator=True,
        chunksize=rows,
    ) as reader:
        if rows is None:
            yield reader.read()
        else:
            yield from reader
