"""The lines of `clientrisk.csv` for some of the clients, but for their places among all."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.config import RiskBands
from pipeline.core.formatting import escape_formula
from pipeline.core.policy import Policy
from pipeline.core.schema import Schema, csv_line
from pipeline.observations.master import Master
from pipeline.observations.parts import for_arrow
from pipeline.ranking.explanations import Explainer
from pipeline.ranking.movers import whole_percents
from pipeline.ranking.rank import rank_clients
from pipeline.ranking.ranking_file import (
    STATUS_COLUMNS,
    has_losses,
    ranking_lines,
    ranking_table,
)

RANKED = (
    "client string, risk double, decision double, loss double, percent double, line string"
    ", rest string"
)


@dataclass(frozen=True)
class PartRanker:
    """What it takes to rank some clients by a release."""

    explainer: Explainer
    schema: Schema
    policy: Policy
    bands: RiskBands
    release: str

    @property
    def header(self) -> str:
        """The first line of the file."""
        none = {name: pd.Series(dtype="float64") for name in self.schema.numeric}
        texts = {name: pd.Series(dtype="str") for name in self.schema.columns if name not in none}
        ranking = rank_clients(
            self.explainer.scorer, pd.DataFrame(none | texts), self.schema, self.policy
        )
        table = ranking_table(ranking, self.explainer, self.bands, self.release)
        return next(ranking_lines(table))

    def part(self, rows: Master) -> pd.DataFrame:
        """The rows of `rank` for the clients of a part, and one of counts, as `RANKED` has them."""
        counts = json.dumps({"seen": rows.rows, "clients": len(rows.present)})
        counted = pd.DataFrame({"line": [counts]})
        return for_arrow(pd.concat([self.rank(rows.present), counted]), RANKED)

    def rank(self, clients: pd.DataFrame) -> pd.DataFrame:
        """A row for each of these clients, one a row, with what orders it among all.

        `line` and `rest` are its line, without its rank and, between them, its place by loss.
        """
        ranking = rank_clients(self.explainer.scorer, clients, self.schema, self.policy)
        table = ranking_table(ranking, self.explainer, self.bands, self.release)
        rest = [""] * len(table)
        if has_losses(table):
            last = (*self.schema.carry, *STATUS_COLUMNS)
            cells = [map(escape_formula, table.pop(name)) for name in last]
            rest = [f",{csv_line(each)}" for each in zip(*cells, strict=True)]
            table["loss_rank"] = np.nan
        columns = {
            "client": np.array(ranking.clients, object),
            "risk": ranking.risk,
            "decision": ranking.decision,
            "loss": np.nan if ranking.loss is None else ranking.loss,
            "percent": whole_percents(ranking.risk),
            "line": [line.partition(",")[2] for line in ranking_lines(table)][1:],
            "rest": rest,
        }
        return pd.DataFrame(columns)
