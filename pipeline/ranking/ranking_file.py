"""The ranking as a table, and as `clientrisk.csv`: written for people, read back for the API."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

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
STATUS_COLUMNS = ("contact_status", "contacted_on")  # the last ones
BANDS = ("high", "medium", "low")
CONTACT = ("yes", "no")
FIRST = 1_000  # clients, of a ranking that is read in short


class Status(StrEnum):
    """Why a client is to be contacted, or is not: the column `contact_status`."""

    PROPOSED = "proposed"  # to be contacted
    CONTROL = "control"  # left alone, to compare with
    COOLING_DOWN = "cooling_down"  # contacted a short time ago
    BEYOND_CAPACITY = "beyond_capacity"  # others come first
    BELOW_THRESHOLD = "below_threshold"  # the risk does not say that a contact is due


def ranking_table(
    ranking: Ranking, explainer: Explainer, bands: RiskBands, release: str
) -> pd.DataFrame:
    """The ranking with the columns of its file, as `read_ranking` returns it.

    `reasons` is one text, in which no reason is a formula. `expected_loss` and `loss_rank` are NaN
    for clients without a value. The columns that no model sees follow, and those of the status,
    which here goes by the risk alone.
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
    due = np.where(ranking.contact, Status.PROPOSED, Status.BELOW_THRESHOLD)
    status = dict(zip(STATUS_COLUMNS, (due, ""), strict=True))
    texts = ("client", "band", "release", "contact", "reasons", *ranking.carried, *status)
    return pd.DataFrame(columns | ranking.carried | status).astype(dict.fromkeys(texts, "str"))


def write_ranking(path: Path, ranking: pd.DataFrame) -> None:
    """Write a ranking as canonical CSV."""
    write_atomic(path, ranking_text(ranking))


def ranking_text(ranking: pd.DataFrame) -> str:
    """A ranking, or a part of one, as the text of its file."""
    return "\n".join(ranking_lines(ranking)) + "\n"


def ranking_lines(ranking: pd.DataFrame) -> Iterator[str]:
    """A ranking as canonical CSV, in which no text is a formula; the first line is the header."""
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
    columns += [map(escape_formula, ranking[name]) for name in carried_columns(ranking)]
    columns += [ranking[name] for name in STATUS_COLUMNS if name in ranking]
    yield csv_line([escape_formula(name) for name in ranking.columns])
    yield from map(csv_line, zip(*columns, strict=True))


def _numbers(values: "pd.Series[float]", form: str) -> Iterator[str]:
    return ("" if np.isnan(value) else format(value, form) for value in values)


def read_ranking(
    path: Path, carry: Sequence[str] = (), most: int | None = None, part: IO[str] | None = None
) -> pd.DataFrame:
    """The ranking with the columns of its file; raises `HistoryError` if it has another form.

    The columns of `carry` are empty where the file was written before the config named them, and
    those of the status go by `contact` where it was written before there were any. At most so many
    rows are read, if that is given; of `part`, if that is: some of its lines.
    """
    texts = (
        "client",
        "release",
        "contact",
        "reasons",
        *map(escape_formula, carry),
        *STATUS_COLUMNS,
    )
    try:
        ranking = pd.read_csv(
            path if part is None else part,
            dtype=dict.fromkeys(texts, "str"),
            keep_default_na=False,
            nrows=most,
            na_values={column: [""] for column in LOSS_COLUMNS},
        )
        ranking.columns = pd.Index(map(unescape_formula, ranking.columns))
        own = [*COLUMNS, *(LOSS_COLUMNS if has_losses(ranking) else ())]
        if list(ranking.columns[: len(own)]) != own:
            raise ValueError(f"it has the columns {', '.join(ranking.columns)}")
        ranking = ranking.astype({"rank": "int64", "risk": "float64"})
        if has_losses(ranking):
            ranking = ranking.astype(dict.fromkeys(LOSS_COLUMNS, "float64"))
        if not ranking["risk"].between(0, 1).all() or not ranking["contact"].isin(CONTACT).all():
            raise ValueError("a risk is not between 0 and 1, or a contact neither yes nor no")
        if STATUS_COLUMNS[0] not in ranking:
            due = np.where(ranking["contact"] == "yes", Status.PROPOSED, Status.BELOW_THRESHOLD)
            ranking["contact_status"], ranking["contacted_on"] = due, ""
        if not ranking["contact_status"].isin([*Status]).all():
            raise ValueError("a contact_status is none of ours")
        for name in ("client", *carry):
            ranking[name] = [unescape_formula(t) for t in ranking[name]] if name in ranking else ""
    except (ValueError, KeyError) as error:  # people open this file, and may have saved it
        raise HistoryError(f"{path} is no ranking of ours: {error!r}") from error
    return ranking[[*own, *carry, *STATUS_COLUMNS]]


def read_in_short(path: Path, carry: Sequence[str] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of a ranking of very many clients the first of all, and of all what is counted."""
    whole = pd.read_csv(
        path,
        usecols=["risk", "band", "release", "contact"],
        dtype={"risk": "float64", **dict.fromkeys(("band", "release", "contact"), "category")},
    )
    return read_ranking(path, carry, most=FIRST), whole


def has_losses(ranking: pd.DataFrame) -> bool:
    """Whether the ranking has expected losses."""
    return "expected_loss" in ranking


def carried_columns(ranking: pd.DataFrame) -> list[str]:
    """Those of its columns that no model sees."""
    own = (*COLUMNS, *LOSS_COLUMNS, *STATUS_COLUMNS)
    return [name for name in ranking.columns if name not in own]


def with_values(ranking: pd.DataFrame, values: Mapping[str, str]) -> pd.DataFrame:
    """The clients of the ranking that have these texts in these columns."""
    for name, text in values.items():
        ranking = ranking[ranking[name] == text]
    return ranking


def reasons_of(cell: str) -> list[str]:
    """The reasons in a cell of the ranking."""
    return [unescape_formula(text) for text in cell.split(SEPARATOR) if text]


def ranking_to_dicts(ranking: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a ranking as the API returns them; null where there is no expected loss or contact.

    The columns that no model sees come last but for those of the status.
    """
    return [_to_dict(row) for row in ranking.to_dict(orient="records")]


def _to_dict(row: dict[Any, Any]) -> dict[str, Any]:
    loss, place = (row.get(column, np.nan) for column in LOSS_COLUMNS)
    own = {name: row[name] for name in COLUMNS} | {
        "contact": row["contact"] == "yes",
        "reasons": reasons_of(row["reasons"]),
        "expected_loss": None if np.isnan(loss) else loss,
        "loss_rank": None if np.isnan(place) else int(place),
    }
    more = {name: text for name, text in row.items() if name not in own}
    return {**own, **more, "contacted_on": row["contacted_on"] or None}
