"""Forgetting clients in the history: what names them goes, a line for each stays, with the day."""

import secrets
from collections.abc import Callable, Collection

from pipeline.core.files import utc_now
from pipeline.core.names_in_text import NamesInText
from pipeline.data.loader import KeptOut, cells_of, is_csv
from pipeline.storage.database import History
from pipeline.storage.held_files import WITHDRAWN

_OF_CLIENTS = ("ranked_clients", "contacts", "assignments")
# texts in which a client may be named
_TEXTS = {
    "alerts": ("title", "body"),
    "contact_files": ("problem",),
    "contacts": ("channel", "note", "result", "by_whom"),
    "decisions": ("reason",),
    "files": ("reason", "held"),
    "input_drift": ("reason",),
    "requests": ("outcome",),
    "runs": ("detail",),
    "score_drift": ("reason",),
    "told": ("what",),
}


def clients_on_record(history: History, names: Collection[str]) -> set[str]:
    """Those of the names that are of clients who were ranked, contacted or to be contacted."""
    found: set[str] = set()
    for table in _OF_CLIENTS:
        rows = history.tuples(f"SELECT DISTINCT client FROM {table}")
        found.update({*names} & {client for (client,) in rows})
    return found


def rejected_rows_of(
    history: History, search: NamesInText, canonical: Callable[[str], str]
) -> tuple[set[tuple[int, int]], set[str]]:
    """The rows set aside that have a name in a cell, by file and line; and which names.

    Also, with nobody's name, those whose text has one and cannot be told apart into cells.
    """
    rows, clients = set[tuple[int, int]](), set[str]()
    for number, line, reason, row in history.tuples(
        "SELECT file_id, line, reason, row FROM rejected_rows"
    ):
        names = search.names & {*map(canonical, cells_of(row))}
        clients |= names
        if names or search.found(reason) or (not is_csv(row) and search.found(row)):
            rows.add((number, line))
    return rows, clients


def erase_records(
    history: History,
    search: NamesInText,
    known: Collection[str],
    rejected: Collection[tuple[int, int]],
) -> None:
    """Delete what is recorded of clients, and note that those `known` were erased.

    To be called in a transaction.
    """
    names = [(name,) for name in sorted(search.names)]
    history.many(
        "DELETE FROM client_risk WHERE client_id ="
        " (SELECT id FROM ranked_clients WHERE client = ?)",
        names,
    )
    for table in _OF_CLIENTS:
        history.many(f"DELETE FROM {table} WHERE client = ?", names)
    history.many("DELETE FROM rejected_rows WHERE file_id = ? AND line = ?", rejected)
    for table, columns in _TEXTS.items():
        for column in columns:
            texts = history.tuples(f"SELECT DISTINCT {column} FROM {table}")
            changed = [
                (search.without(text), text) for (text,) in texts if text != WITHDRAWN and text
            ]
            history.many(
                f"UPDATE {table} SET {column} = ? WHERE {column} = ?",
                [each for each in changed if each[0] != each[1]],
            )
    history.many("INSERT INTO erasures (day) VALUES (?)", [(utc_now()[:10],) for _ in known])


def erasures(history: History) -> tuple[int, str]:
    """How many clients were erased, and the day of the last; empty if none was."""
    ((count, last),) = history.tuples("SELECT count(*), max(day) FROM erasures")
    return count, last or ""


def kept_out(history: History) -> KeptOut:
    """The clients of whom nothing is to be taken in."""
    ((key,),) = history.tuples("SELECT kept_out_key FROM master")
    found = history.tuples("SELECT hash FROM kept_out")
    return KeptOut(bytes.fromhex(key or ""), frozenset(each for (each,) in found))


def keep_out(history: History, names: Collection[str]) -> None:
    """Take nothing in of clients of these names from now on; to be called in a transaction."""
    history.query(
        "UPDATE master SET kept_out_key = coalesce(kept_out_key, ?)", secrets.token_hex(32)
    )
    known = kept_out(history)
    new = sorted({*map(known.hash, names)} - known.hashes)
    history.fill("kept_out", ("hash",), ((each,) for each in new))
