"""What makes one client's risk: every feature's contribution, and the risk with other values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.core.schema import Schema
from pipeline.data.features import Features
from pipeline.ranking.explanations import baseline_row, contributions, number_text
from pipeline.registry.live_model import Live


@dataclass(frozen=True)
class Factor:
    """A feature of a client: its value, the one that is tried, and what that one contributes."""

    field: str  # its name in the form
    label: str
    number: bool
    value: str  # empty where missing
    tried: str  # as it was asked for
    problem: str  # why that is none
    usual: str  # empty where missing, or not kept
    contribution: float  # to the log-odds before calibration; 0 where the usual is not kept


@dataclass(frozen=True)
class WhatIf:
    """A client's risk by the live release, and with the values that are tried."""

    release: str
    risk: float
    tried_risk: float
    leaves: bool  # whether the client is then predicted to leave
    factors: tuple[Factor, ...]  # the strongest contribution first

    @property
    def changed(self) -> bool:
        """Whether any value is another one."""
        return any(each.tried != each.value for each in self.factors)


def what_if(
    live: Live,
    schema: Schema,
    labels: Mapping[str, str],
    latest: Mapping[str, str],
    asked: Mapping[str, str],
) -> WhatIf:
    """By a client's latest row, and other values of features that are asked for.

    A value that cannot be one is told, and the client's own is used.
    """
    tried, problems = {}, {}
    fields = {name: f"f{place}" for place, name in enumerate(schema.features)}
    for name, field in fields.items():
        tried[name] = latest[name]
        if field in asked:
            try:
                tried[name] = schema.canonical(name)(asked[field])
            except ValueError as error:
                problems[name] = str(error)
    rows = _features([latest, tried], schema)
    outcomes, risk = live.scorer.scores(rows)
    usual = baseline_row(live.release.model)
    found = np.zeros(len(fields))
    usually = [""] * len(fields)
    if usual:
        found = contributions(live.scorer, rows.at(np.array([1])), usual)[:, 0]
        numbers = ("" if np.isnan(value) else number_text(value) for value in usual.numbers)
        usually = [*numbers, *usual.texts]
    factors = [
        Factor(
            *(field, labels[name], name in schema.numeric, latest[name]),
            asked.get(field, "") if name in problems else tried[name],
            problems.get(name, ""),
            *(usual_text, float(contribution)),
        )
        for (name, field), usual_text, contribution in zip(
            fields.items(), usually, found.tolist(), strict=True
        )
    ]
    factors.sort(key=lambda each: -abs(each.contribution))
    now, then = risk.tolist()
    return WhatIf(live.release.id, now, then, bool(outcomes[1]), tuple(factors))


def _features(rows: list[Mapping[str, str]], schema: Schema) -> Features:
    """Rows of canonical texts as a model sees them."""
    numbers = [[float(row[name] or "nan") for name in schema.numeric] for row in rows]
    return Features(
        np.array(numbers, dtype="float64").reshape(len(rows), len(schema.numeric)),
        tuple([row[name] for row in rows] for name in schema.categorical),
    )
