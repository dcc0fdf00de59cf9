"""Warnings of new names that hardly differ from known ones: an export has changed its form."""

import logging
from collections import defaultdict
from pathlib import Path

from pipeline.core.names import folded, why_alike
from pipeline.core.schema import Schema

log = logging.getLogger("ingestion")

MAX_BYTES = 64 << 20  # of finaldata.csv; of a larger one, to read all names would take a second


def warn_of_alike(path: Path, schema: Schema, before: int) -> None:
    """Warn of names that came with the rows from the one numbered `before` on."""
    if path.stat().st_size > MAX_BYTES:
        return
    import pandas as pd  # only where rows are new

    clients = pd.read_csv(path, usecols=[schema.client], dtype="str", keep_default_na=False)
    names = clients[schema.client].drop_duplicates()
    known: dict[str, list[str]] = defaultdict(list)
    for name in names[names.index < before]:
        known[folded(name)].append(name)
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in names[names.index >= before]:
        alike = known[folded(name)]
        if alike:  # that it differs least from
            way, other = min(((why_alike(name, other), other) for other in alike), key=_ways)
            found[way].append((name, other))
        alike.append(name)
    for way, pairs in found.items():
        log.warning(
            "new names of clients that differ from known ones only in %s: %s, such as %r beside %r;"
            " if they are the same clients, correct the export%s",
            *(way, f"{len(pairs):,}", *pairs[0]),
            "" if "case" in way else ', or set "client_names": "digits"',
        )


def _ways(found: tuple[str, str]) -> int:
    """In how many ways two names differ."""
    return found[0].count(" and ")
