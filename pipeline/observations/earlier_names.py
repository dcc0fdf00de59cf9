"""Rows of an earlier version, which wrote names of clients as they came."""

import re
from collections.abc import Sequence
from typing import cast

from pipeline.core.schema import Schema, csv_line

_CELL = re.compile(rb'"(?:[^"]|"")*"|[^,]*')


def renamed(lines: Sequence[bytes], schema: Schema, others: dict[bytes, bytes]) -> list[bytes]:
    """Lines of an earlier version, with the names of clients as they are written now.

    Those that differ are added to `others`, empty for those that are no client any more.
    """
    canonical, kept = schema.canonical(schema.client), []
    for line in lines:
        cell = cast("re.Match[bytes]", _CELL.match(line))[0]
        text = cell.decode()
        name = text[1:-1].replace('""', '"') if text.startswith('"') else text
        try:
            now = csv_line((canonical(name),)).encode()
        except ValueError:
            others[cell] = b""
            continue
        if now != cell:
            others[cell], line = now, now + line[len(cell) :]
        kept.append(line)
    return kept
