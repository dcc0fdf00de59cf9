"""Reading clients in JSON all at once, where nothing is wrong with them.

`pipeline/web/request_rows.py` is the rule for what JSON may hold, and tells what is wrong with it. Here
nothing is told: any doubt leaves a text to the rule. A test holds the two together.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from pipeline.core.schema import LARGEST_NUMBER, Schema
from pipeline.data.features import Features, Row

NUMBERS, TEXTS = {int, float, type(None)}, {str, type(None)}
QUOTE = ord('"')


def read_plain(body: bytes, schema: Schema, most_rows: int, most_columns: int) -> Features | None:
    """The feature columns of `{"clients": […]}`; None where it takes a closer look to tell."""
    clients = _clients(body, schema, most_rows, most_columns)
    return features_of(clients, schema) if clients else None


def read_one(body: bytes, schema: Schema, most_columns: int) -> Row | None:
    """The same of a single client; None where there are others, too."""
    clients = _clients(body, schema, 1, most_columns)
    return row_of(clients[0], schema) if clients else None


def _clients(
    body: bytes, schema: Schema, most_rows: int, most_columns: int
) -> list[dict[str, Any]] | None:
    """The objects of `{"clients": […]}`, none of which has a key twice."""
    try:
        asked = orjson.loads(body)
    except ValueError:
        return None
    if type(asked) is not dict or list(asked) != ["clients"]:
        return None
    clients = asked["clients"]
    if type(clients) is not list or not 0 < len(clients) <= most_rows:
        return None
    if set(map(type, clients)) != {dict}:
        return None
    widths = set(map(len, clients))
    if max(widths) > most_columns:
        return None
    keys = len(clients) * max(widths) if len(widths) == 1 else sum(map(len, clients))
    texts = 0  # among the values; those of the schema's columns are looked at later on
    if schema.categorical or max(widths) > len(schema.numeric):
        texts = list(map(type, chain.from_iterable(map(dict.values, clients)))).count(str)
    # of a key that an object has twice, one is lost, and with it at least two quotes; no others
    # make up for them: what is nested deeper and quotes within texts only add to those of the body
    return clients if _count_quotes(body) == 2 * (1 + keys + texts) else None


def _count_quotes(body: bytes) -> int:
    if len(body) < 1000:  # where numpy is not worth its call
        return body.count(b'"')
    return int(np.count_nonzero(np.frombuffer(body, dtype="uint8") == QUOTE))


def row_of(client: dict[str, Any], schema: Schema) -> Row | None:
    """The feature columns of an object; None where a value is not what it must be."""
    row = Row([], [])
    for name in schema.numeric:
        value = client.get(name, "")
        if value is None:
            row.numbers.append(math.nan)
        elif type(value) in NUMBERS and abs(value) < LARGEST_NUMBER:
            row.numbers.append(float(value))
        else:
            return None
    for name in schema.categorical:
        value = client.get(name, 0)
        if type(value) not in TEXTS:
            return None
        row.texts.append((value or "").strip())
    return row


def features_of(clients: Sequence[dict[str, Any]], schema: Schema) -> Features | None:
    """The feature columns of objects; None where a value is not what it must be."""
    numbers = np.empty((len(clients), len(schema.numeric)), order="F")
    try:
        for i, name in enumerate(schema.numeric):
            values = [client[name] for client in clients]
            if not set(map(type, values)) <= NUMBERS:
                return None
            numbers[:, i] = np.array(values, dtype="float64")  # NaN for None, and for nothing else
        texts = [[client[name] for client in clients] for name in schema.categorical]
    except (KeyError, OverflowError):
        return None
    # the largest itself may be a larger integer, rounded
    if (np.abs(numbers) >= LARGEST_NUMBER).any():
        return None
    if not all(set(map(type, values)) <= TEXTS for values in texts):
        return None
    return Features(numbers, tuple([(value or "").strip() for value in values] for values in texts))
