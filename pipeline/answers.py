"""Writing what a model says of many rows as JSON.

The bytes are those that `json` would give, which takes more time than all else of a large request.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.data.csv_reader import BadRow
from pipeline.models.scorer import Scores

DECIMALS = 6  # of a probability
_WHOLE = 10**DECIMALS
_HALF = 1000  # of the decimals, as a number
_MANY = 50  # rows; for fewer, the arrays below cost more than they save


def _texts(texts: list[str]) -> np.ndarray:
    """Texts as bytes of one width, filled up with NUL."""
    return np.array([text.encode() for text in texts])


# A probability in millionths is told in two halves. The first: `0.` and three decimals; from 1,000
# on, the same where the other three are zeros and left out; at last nothing.
_FIRST = _texts(
    [f"0.{i:03d}" for i in range(_HALF)] + [repr(i / _HALF) for i in range(_HALF + 1)] + [""]
)
_NOTHING = len(_FIRST) - 1
# The second, with a comma: three decimals; from 1,000 on, all of those so small that they are told
# with an exponent.
_SECOND = _texts(
    [f"{i:03d}".rstrip("0") + "," for i in range(_HALF)]
    + [repr(i / _WHOLE) + "," for i in range(100)]
)


def prediction_json(scores: Scores, bad: Mapping[int, BadRow], release: str) -> bytes:
    """The answer to a request to predict; the rows in `bad`, by position, get null."""
    if not bad and len(scores.risk) >= _MANY and ((scores.risk >= 0) & (scores.risk <= 1)).all():
        told = (_told_outcomes(scores.outcomes), _told_risk(scores.risk), json.dumps(release))
        return b'{"predictions":[%b],"risk":[%b],"release":%b}\n' % (*told[:2], told[2].encode())
    answer: dict[str, Any] = {
        "predictions": _in_order(scores.outcomes.tolist(), bad),
        "risk": _in_order(scores.risk.round(DECIMALS).tolist(), bad),
        "release": release,
    }
    if bad:
        answer["bad_rows"] = [{"line": row.line, "reason": row.reason} for row in bad.values()]
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def one_prediction_json(outcome: int, risk: float, release: str) -> bytes:
    """The answer to a request to predict one row."""
    told = round(risk * _WHOLE) / _WHOLE  # as numpy rounds
    return (
        f'{{"predictions":[{outcome}],"risk":[{told}],"release":{json.dumps(release)}}}\n'.encode()
    )


def _told_outcomes(outcomes: np.ndarray) -> bytes:
    told = np.full((len(outcomes), 2), ord(","), dtype="uint8")
    told[:, 0] = outcomes + ord("0")
    return told.tobytes()[:-1]


def _told_risk(risk: np.ndarray) -> bytes:
    millionths = np.rint(risk * _WHOLE).astype("int32")  # as `round` has them before it divides
    first = millionths // _HALF
    second = millionths - first * _HALF
    small = (millionths > 0) & (millionths < 100)
    told = np.empty(len(risk), dtype=[("first", _FIRST.dtype), ("second", _SECOND.dtype)])
    told["first"] = _FIRST.take(np.where(small, _NOTHING, first + _HALF * (second == 0)))
    told["second"] = _SECOND.take(second + _HALF * small)
    return told.tobytes().translate(None, b"\0")[:-1]


def _in_order(values: list[Any], bad: Mapping[int, BadRow]) -> list[Any]:
    """One value a row, those of the good ones in their places, None for the bad ones."""
    if not bad:
        return values
    found = iter(values)
    total = len(values) + len(bad)
    return [None if i in bad else next(found) for i in range(total)]
