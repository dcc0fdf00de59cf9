"""The ranking as a table, and as `clientrisk.csv`: written for people, read back for the API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.config import RiskBands
from pipeline.core.errors import HistoryError
from pipeline.core.files import write_atomic
from pipeline.core.formatting import escape_formula, unescape_formula
from pipeline.core.schema import csv_line
from pipeline.ranking.explanations import SEPARATOR, Explainer
from pipeline.ranking.rank import RISK_DECIMALS, Ranking

COLUMNS = ("rank", "client", "risk", "band", "release", "contact", "reasons")
LOSS_COLUMNS = ("expected_loss", "loss_rank")  # where the config says what clients are worth
BANDS = ("high", "medium", "low")
CONTACT = ("yes", "no")


def ranking_table(
    ranking: Ranking, explainer: Explainer, bands: RiskBands, release: str
) -> pd.DataFrame:
    """The ranking with the columns of its file, as `read_ranking` returns it.

    `reasons` is one text, in which no reason is a formula. `expected_loss` and `loss_rank` are NaN
    for clients without a value.
    """
    columns = {
        "rank": np.arange(1, len(ranking.clients) + 1),
        "client": ranking.clients,
        "risk": ranking.risk.round(RISK_DECIMALS),
        "band": [bands.band(risk) for risk in ranking.risk.tolist()],
        "release": release,
        "contact": np.where(ranking.contact, *CONTACT),
        "reasons": [
            SEPARATOR.join(map(escape_formula, reasons))
            for reasons in explainer.reasons(ranking.rows)
        ],
    }
    if ranking.loss is not None:
        places = np.where(ranking.loss_rank > 0, ranking.loss_rank, np.nan)
        columns |= {"expected_loss": ranking.loss, "loss_rank": places}
    texts = dict.fromkeys(("client", "band", "release", "contact", "reasons"), "str")
    return pd.DataFrame(columns).astype(texts)


def write_ranking(path: Path, ranking: pd.DataFrame) -> None:
    """Write a ranking as canonical CSV, in which no text is a formula."""
    columns = [
        ranking["rank"].astype("str"),
        map(escape_formula, ranking["client"]),
        (f"{risk:.{RISK_DECIMALS}f}" for risk in ranking["risk"]),
        *(ranking[name] for name in ("band", "release", "contact", "reasons")),
    ]
    if has_losses(ranking):
        columns += [
            _numbers(ranking["expected_loss"], ".2f"),
            _numbers(ranking["loss_rank"], ".0f"),
        ]
    lines = [",".join(ranking.columns), *map(csv_line, zip(*columns, strict=True))]
    write_atomic(path, "\n".join(lines) + "\n")


def _numbers(values: "pd.Series[float]", form: str) -> Iterator[str]:
    return ("" if np.isnan(value) else format(value, form) for value in values)


def read_ranking(path: Path) -> pd.DataFrame:
    """The ranking with the columns of its file; raises `HistoryError` if it has another form."""
    try:
        ranking = pd.read_csv(
            path,
            dtype=dict.fromkeys(("client", "release", "contact", "reasons"), "str"),
            keep_default_na=False,
            na_values={column: [""] for column in LOSS_COLUMNS},
        )
        if tuple(ranking.columns) not in (COLUMNS, COLUMNS + LOSS_COLUMNS):
            raise ValueError(f"it has the columns {', '.join(ranking.columns)}")
        ranking = ranking.astype({"rank": "int64", "risk": "float64"})
        if has_losses(ranking):
            ranking = ranking.astype(dict.fromkeys(LOSS_COLUMNS, "float64"))
        if not ranking["risk"].between(0, 1).all() or not ranking["contact"].isin(CONTACT).all():
            raise ValueError("a risk is not between 0 and 1, or a contact neither yes nor no")
        ranking["client"] = [unescape_formula(client) for client in ranking["client"]]
    except (ValueError, KeyError) as error:  # people open this file, and may have saved it
        raise HistoryError(f"{path} is no ranking of ours: {error!r}") from error
    return ranking


def has_losses(ranking: pd.DataFrame) -> bool:
    """Whether the ranking has expected losses."""
    return "expected_loss" in ranking


def by_loss(ranking: pd.DataFrame) -> pd.DataFrame:
    """The ranking in order of expected loss, highest first; clients without one come last."""
    return ranking.sort_values("loss_rank", kind="stable")


def reasons_of(cell: str) -> list[str]:
    """The reasons in a cell of the ranking."""
    return [unescape_formula(text) for text in cell.split(SEPARATOR) if text]


def ranking_to_dicts(ranking: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a ranking as the API returns them; null where there is no expected loss."""
    return [_to_dict(row) for row in ranking.to_dict(orient="records")]


def _to_dict(row: dict[Any, Any]) -> dict[str, Any]:
    loss, place = (row.get(column, np.nan) for column in LOSS_COLUMNS)
    return {
        **row,
        "contact": row["contact"] == "yes",
        "reasons": reasons_of(row["reasons"]),
        "expected_loss": None if np.isnan(loss) else loss,
        "loss_rank": None if np.isnan(place) else int(place),
    }
