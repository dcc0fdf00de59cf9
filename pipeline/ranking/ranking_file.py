"""The ranking as a table, and as `clientrisk.csv`: written for people, read back for the API."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from pipeline.core.config import RiskBands
from pipeline.core.errors import HistoryError
from pipeline.core.files import atomic_writer
from pipeline.core.formatting import escape_formula, unescape_formula
from pipeline.core.schema import csv_cell, csv_line
from pipeline.ranking.explanations import Explainer, reasons_of
from pipeline.ranking.rank import RISK_DECIMALS, Ranking

COLUMNS = ("rank", "client", "risk", "band", "release", "contact", "reasons")
LOSS_COLUMNS = ("expected_loss", "loss_rank")  # where the config says what clients are worth
STATUS_COLUMNS = ("contact_status", "contacted_on")  # the last ones
BANDS = ("high", "medium", "low")
CONTACT = ("yes", "no")
FORMS = {"rank": "%d", "risk": f"%.{RISK_DECIMALS}f", "expected_loss": "%.2f", "loss_rank": "%.0f"}
ROWS_AT_ONCE = 20_000  # of a file that is written
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
    due = ranking.contact.astype(int)
    columns = {
        "rank": np.arange(1, len(ranking.clients) + 1),
        "client": text_column(ranking.clients),
        "risk": ranking.risk.round(RISK_DECIMALS),
        "band": one_of(BANDS[::-1], np.digitize(ranking.risk, [bands.medium, bands.high])),
        "release": release,
        "contact": one_of(CONTACT[::-1], due),
        "reasons": text_column(explainer.cells(ranking.rows)),
    }
    if ranking.loss is not None:
        places = np.where(ranking.loss_rank > 0, ranking.loss_rank, np.nan)
        columns |= {"expected_loss": ranking.loss, "loss_rank": places}
    columns |= {name: text_column(texts) for name, texts in ranking.carried.items()}
    columns["contact_status"] = one_of((Status.BELOW_THRESHOLD, Status.PROPOSED), due)
    columns["contacted_on"] = ""
    texts = {"release": "str", "contacted_on": "str"}
    return pd.DataFrame(columns).astype(texts)


def text_column(texts: Sequence[str] | np.ndarray) -> "pd.Series[str]":
    """A column of these texts."""
    return pd.Series(texts, dtype="str")


def one_of(words: Sequence[str], which: np.ndarray) -> "pd.Series[str]":
    """A column in which each row has one of some words, by its number; each is kept once."""
    return text_column(np.array([str(word) for word in words], object)[which])


def write_ranking(path: Path, ranking: pd.DataFrame) -> None:
    """Write a ranking as canonical CSV."""
    with atomic_writer(path) as file:
        for text in ranking_texts(ranking):
            file.write(text.encode())


def ranking_text(ranking: pd.DataFrame) -> str:
    """A ranking, or a part of one, as the text of its file."""
    return "".join(ranking_texts(ranking))


def ranking_texts(ranking: pd.DataFrame) -> Iterator[str]:
    """A ranking as canonical CSV, in which no text is a formula: the header, then some lines."""
    yield f"{csv_line([escape_formula(name) for name in ranking.columns])}\n"
    names = {"client", *carried_columns(ranking)}
    for begin in range(0, len(ranking), ROWS_AT_ONCE):
        columns = list[Iterable[str]]()
        for name, column in ranking[begin : begin + ROWS_AT_ONCE].items():
            values = column.tolist()
            if form := FORMS.get(str(name)):
                columns.append(["" if value != value else form % value for value in values])
            elif name == "reasons":
                columns.append(map(csv_cell, values))
            else:
                columns.append(
                    map(csv_cell, map(escape_formula, values)) if name in names else values
                )
        yield "\n".join(map(",".join, zip(*columns, strict=True))) + "\n"


def read_ranking(
    path: Path, carry: Sequence[str] = (), most: int | None = None, part: IO[str] | None = None
) -> pd.DataFrame:
    """The ranking with the columns of its file; raises `HistoryError` if it has another form.

    The columns of `carry` are empty where the file was written before the config named them. At
    most so many rows are read, if that is given; of `part`, if that is: some of its lines.
    """
    numbers = {"rank": "int64", "risk": "float64", **dict.fromkeys(LOSS_COLUMNS, "float64")}
    try:
        ranking = pd.read_csv(
            path if part is None else part,
            dtype=defaultdict(lambda: "str", numbers),
            keep_default_na=False,
            nrows=most,
            na_values={name: [""] for name in LOSS_COLUMNS},
        )
        ranking.columns = pd.Index(map(unescape_formula, ranking.columns))
        own = [*COLUMNS, *(LOSS_COLUMNS if has_losses(ranking) else ())]
        if list(ranking.columns[: len(own)]) != own:
            raise ValueError(f"it has the columns {', '.join(ranking.columns)}")
        if not ranking["risk"].between(0, 1).all():
            raise ValueError("a risk is not between 0 and 1")
        for name, words in (("contact", CONTACT), ("contact_status", [*Status])):
            if not ranking[name].isin(words).all():
                raise ValueError(f"a {name} is none of ours")
        for name in ("client", *carry):
            ranking[name] = [unescape_formula(t) for t in ranking[name]] if name in ranking else ""
        return ranking[[*own, *carry, *STATUS_COLUMNS]]
    except (ValueError, KeyError) as error:  # people open this file, and may have saved it
        raise HistoryError(f"{path} is no ranking of ours: {error!r}") from error


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
