"""Reading `clientrisk.csv` and `movers.csv` back, as the API tells them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.csv_format import unescape_formula
from pipeline.core.errors import HistoryError, NotRecordedError
from pipeline.ranking.explanations import SEPARATOR
from pipeline.ranking.movers import COLUMNS as MOVER_COLUMNS
from pipeline.ranking.ranking_file import COLUMNS, LOSS_COLUMNS

CONTACT = ("yes", "no")
_TEXTS = ("client", "release_before", "release")


def read_ranking(path: Path) -> pd.DataFrame:
    """The ranking with the columns of its file; raises `HistoryError` if it is not one of ours.

    `expected_loss` and `loss_rank` are NaN where they are empty; they are there only where the
    config said what clients are worth.
    """
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
            raise ValueError("a risk is none from 0 to 1, or a contact neither yes nor no")
        ranking["client"] = [unescape_formula(client) for client in ranking["client"]]
    except (ValueError, KeyError) as error:  # people open this file, and may have saved it
        raise HistoryError(f"{path} is no ranking of ours: {error!r}") from error
    return ranking


def has_losses(ranking: pd.DataFrame) -> bool:
    """Whether the ranking tells expected losses."""
    return "loss_rank" in ranking


def by_loss(ranking: pd.DataFrame) -> pd.DataFrame:
    """The ranking in order of expected loss, highest first; clients without one come last."""
    return ranking.sort_values("loss_rank", kind="stable")


def ranking_to_dicts(ranking: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a ranking as the API tells them; null where there is no expected loss."""
    return [_told(row) for row in ranking.to_dict(orient="records")]


def _told(row: dict[Any, Any]) -> dict[str, Any]:
    loss, place = (row.get(column, np.nan) for column in LOSS_COLUMNS)
    return {
        **row,
        "contact": row["contact"] == "yes",
        "reasons": [unescape_formula(text) for text in row["reasons"].split(SEPARATOR) if text],
        "expected_loss": None if np.isnan(loss) else loss,
        "loss_rank": None if np.isnan(place) else int(place),
    }


def read_movers(path: Path) -> dict[str, Any]:
    """The movers as the API tells them; raises `HistoryError` if there are none of ours yet.

    Both releases are null where nobody moved.
    """
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, "str"), keep_default_na=False)
        if tuple(table.columns) != MOVER_COLUMNS:
            raise ValueError(f"it has the columns {', '.join(table.columns)}")
        table = table.astype(dict.fromkeys(("before", "risk", "change"), "float64"))
        table["client"] = [unescape_formula(client) for client in table["client"]]
        rose, fell = table["change"] > 0, table["change"] < 0
    except FileNotFoundError:
        raise NotRecordedError("no movers have been written yet") from None
    except (ValueError, KeyError, TypeError) as error:  # people may have saved it, too
        raise HistoryError(f"{path} holds no movers of ours: {error!r}") from error
    first = table.head(1).to_dict(orient="list")
    told = table[["client", "before", "risk", "change"]]
    return {
        "release_before": next(iter(first["release_before"]), None),
        "release": next(iter(first["release"]), None),
        "rose": told[rose].to_dict(orient="records"),
        "fell": told[fell].to_dict(orient="records"),
    }
