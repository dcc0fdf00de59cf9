"""Clients of whom nothing is to be taken in any more, known by keyed hashes of their names."""

import csv
import hmac
import re
from dataclasses import dataclass

from pipeline.core.schema import Schema

KEPT_OUT = "the client is kept out"  # why a row is set aside, of which nothing else is kept
_MARKS = re.compile(r"[,;|\t]")  # between the cells of a row that is no CSV


@dataclass(frozen=True)
class KeptOut:
    """HMAC-SHA256 of names, in hexadecimal, by a random key."""

    key: bytes = b""
    hashes: frozenset[str] = frozenset()

    def hash(self, client: str) -> str:
        """That of a name, which is canonical."""
        return hmac.digest(self.key, client.encode(errors="surrogatepass"), "sha256").hex()

    def __contains__(self, client: object) -> bool:
        """Whether a client of this name, which is canonical, is one."""
        return bool(self.hashes) and self.hash(str(client)) in self.hashes

    def has_first(self, line: str) -> bool:
        """Whether the client in the first cell of a canonical line is one."""
        cell = line[: line.index(",")] if line[0] != '"' else next(csv.reader([line]))[0]
        return cell in self

    def has_any(self, row: str, schema: Schema) -> bool:
        """Whether a row that is set aside has one in any cell, as far as cells can be told."""
        return bool(self.hashes) and any(
            schema.asked_client(cell) in self for cell in cells_of(row)
        )


NOBODY = KeptOut()


def cells_of(row: str) -> set[str]:
    """What may be the cells of a row that was set aside, whose quotes may be wrong."""
    return {*next(csv.reader([row]), []), *(text.strip(" \"'") for text in _MARKS.split(row))}


def is_csv(row: str) -> bool:
    """Whether a row is one of CSV, whole."""
    try:
        return len([*csv.reader([row], strict=True)]) == 1
    except csv.Error:
        return False
