"""What pages show of clients: the ranking, searched and paged; one client; a scored file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar
from unicodedata import normalize
from urllib.parse import urlencode

import msgspec
import numpy as np
import pandas as pd

from pipeline.core.config import Config
from pipeline.core.files import utc_now
from pipeline.core.formatting import escape_formula, format_horizon, format_percent, pluralize
from pipeline.core.schema import Schema, canonical_text
from pipeline.data.frames import Features
from pipeline.observations.master import rows_of_client
from pipeline.observations.rows import open_rows
from pipeline.ranking.explanations import baseline_row, contributions, explainer_of, number_text
from pipeline.ranking.ranking_file import (
    CONTACT,
    carried_columns,
    has_losses,
    ranking_to_dicts,
    with_values,
)
from pipeline.ranking.risk_files import risk_folder, risk_points
from pipeline.registry.live_model import Live
from pipeline.registry.releases import Release
from pipeline.reporting.document import Grid, Section
from pipeline.reporting.history_charts import client_chart
from pipeline.storage.history import recorded_history
from pipeline.storage.risk_history import RiskChange, risk_over_time
from pipeline.web.openapi import properties_of
from pipeline.web.request_rows import RequestError, rows_of_csv

PAGE = 25  # clients
CSV = "text/csv; charset=utf-8"
SHOWN = {  # the choices of whom to list
    "yes": "to be contacted",
    "no": "not to be contacted",
    "contacted": "contacted",
    "all": "all",
}
STATUSES = {  # why a client is to be contacted, or not
    "proposed": "to be contacted",
    "control": "left alone, to compare",
    "cooling_down": "contacted lately",
    "beyond_capacity": "beyond what can be contacted this week",
    "below_threshold": "below the threshold",
}
_MAX_TEXT = 200  # characters that are searched for
_MAX_CHOICES = 50  # values of a column to choose from
MAX_SCORED = 20  # rows on the page; the download has all


class Query(msgspec.Struct, frozen=True):
    """What part of the ranking is asked for."""

    q: str = ""  # a part of a name
    band: Literal["", "high", "medium", "low"] = ""
    contact: Literal["", "yes", "no", "contacted", "all"] = ""
    sort: Literal["risk", "client", "expected_loss"] = "risk"
    page: Annotated[int, msgspec.Meta(ge=1, le=9_999_999)] = 1
    carried: dict[str, str] = {}  # columns that no model sees, and the texts asked for

    def link(self, **changed: Any) -> str:
        """The query string of this query with changes; another order or filter starts at page 1."""
        if changed.keys() - {"page"}:
            changed.setdefault("page", 1)
        values = msgspec.structs.asdict(msgspec.structs.replace(self, **changed))
        values |= values.pop("carried")
        given = {
            k: v for k, v in values.items() if v and (k, v) not in (("sort", "risk"), ("page", 1))
        }
        return "?" + urlencode(given)


@dataclass(frozen=True)
class Listing:
    """One page of what was found."""

    query: Query
    found: int
    pages: int
    total: int  # of all in the ranking
    valued: bool  # whether the config says what clients are worth
    choices: dict[str, list[str]]  # the texts to choose from of columns that no model sees
    first: int  # the place of the first row shown, from 1
    rows: list[dict[str, Any]]  # as `ranking_to_dicts` makes them


Asked = TypeVar("Asked", bound=msgspec.Struct)


def parameters(kind: type[Asked], given: Mapping[str, str], schema: Schema) -> Asked:
    """What a request asks for by the parameters of its address; raises `RequestError`."""
    values: dict[str, Any] = {**given}
    values["carried"] = {n: canonical_text(given[n]) for n in schema.carry if n in given}
    values["q"] = " ".join(schema.asked_client(given.get("q", "")).split())[:_MAX_TEXT]
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        known = properties_of(kind)[name]
        if "enum" in known:
            expected = f"one of {', '.join(filter(None, known['enum']))}"
        else:
            expected = f"a whole number from {known['minimum']:,} to {known['maximum']:,}"
        raise RequestError(400, f"{name} must be {expected}") from None


def listing(ranking: pd.DataFrame, query: Query) -> Listing:
    """What a query finds; a page beyond the last is the last."""
    valued = has_losses(ranking)
    if query.sort == "expected_loss" and not valued:
        query = msgspec.structs.replace(query, sort="risk")
    found = find_clients(ranking, query)
    pages = max(1, -(-len(found) // PAGE))
    query = msgspec.structs.replace(query, page=min(query.page, pages))
    start = (query.page - 1) * PAGE
    rows = ranking_to_dicts(found.iloc[start : start + PAGE])
    choices = {}
    for name in carried_columns(ranking):  # where they are many, such as addresses, the one asked
        texts = {*ranking[name]}
        texts = (texts if len(texts) <= _MAX_CHOICES else set()) | {query.carried.get(name, "")}
        if texts := texts - {""}:
            choices[name] = sorted(texts)
    return Listing(query, len(found), pages, len(ranking), valued, choices, start + 1, rows)


def newly_high(changes: Mapping[str, RiskChange], high: float) -> list[RiskChange]:
    """Who was not at high risk before the last ranking, the highest risk first."""
    found = [each for each in changes.values() if (each.before or 0) < high <= (each.risk or 0)]
    return sorted(found, key=lambda each: (-(each.risk or 0), each.client))


def find_clients(ranking: pd.DataFrame, query: Query) -> pd.DataFrame:
    """All clients that a query finds, in its order; by risk where there are no expected losses."""
    found = with_values(ranking, query.carried)
    if query.band:
        found = found[found["band"] == query.band]
    if query.contact in CONTACT:
        found = found[found["contact"] == query.contact]
    elif query.contact == "contacted":
        found = found[found["contacted_on"] != ""]
    if query.q:
        text = _plain(query.q)
        # `loc`, as an empty list would else be one of columns
        found = found.loc[[text in _plain(client) for client in found["client"]]]
    if query.sort == "client":
        return found.sort_values("client", key=lambda names: names.map(_plain), kind="stable")
    if query.sort == "expected_loss" and has_losses(found):
        return found.sort_values("loss_rank", kind="stable")  # those without one come last
    return found


def _plain(name: str) -> str:
    """A name for comparison: without case, repeated spaces, or ways to encode a letter."""
    # once more after casefold, which takes apart; NFKC first, which brings capitals to light
    return normalize("NFKC", normalize("NFKC", " ".join(name.split())).casefold())


@dataclass(frozen=True)
class ClientRecord:
    """Charts and tables of a client, and whether its latest row says that it left."""

    history: Section
    rows: Section
    left: bool


def client_record(config: Config, release: Release | None, client: str) -> ClientRecord | None:
    """The client's risk over time, and its rows; None if nothing is on record of it.

    Raises `NotRecordedError` if nothing has been recorded yet.
    """
    with recorded_history(config.history_path) as history:
        rows = open_rows(config.finaldata_path, config.schema, history)
        if config.engine:
            points = risk_points(risk_folder(config.clientrisk_path), client)
        else:
            points = risk_over_time(history, client)
    found = rows_of_client(rows, client)
    if not (points or found.total):
        return None
    threshold = release.model.recipe.threshold if release else None
    note = f", the last {len(found.rows):,}" if found.total > len(found.rows) else ""
    shown = Grid(
        f"{pluralize(found.total, 'row')} of this client{note}, the latest first",
        found.columns,
        tuple(reversed(found.rows)),
        empty="None that counts.",
    )
    return ClientRecord(
        Section("history", "Over time", charts=(client_chart(points, threshold, utc_now()),)),
        Section("rows", "What the client files say", grids=(shown,)),
        left=found.left,
    )


def what_if(
    config: Config, live: Live, client: str, asked: Mapping[str, str]
) -> dict[str, object] | None:
    """What the page shows of a client's latest row that counts, with other values if asked for.

    `risk` is by the live release, `tried_risk` with the values that are asked for, `leaves` what is
    predicted of them; `factors`, the strongest first, have for each feature its `value`, the one
    `tried`, what is its `problem`, the `usual` one, and the `contribution` of the one that is tried
    to the log-odds before calibration. None where there is no such row. Raises `NotRecordedError`
    if nothing has been recorded yet.
    """
    schema = config.schema
    with recorded_history(config.history_path) as history:
        rows = rows_of_client(open_rows(config.finaldata_path, schema, history), client)
    if not rows.rows:
        return None
    latest = dict(zip(rows.columns, rows.rows[-1], strict=True))
    tried, factors = dict(latest), list[dict[str, Any]]()
    for place, name in enumerate(schema.features):
        given, problem = asked.get(f"f{place}", latest[name]), ""
        try:
            tried[name] = given = schema.canonical(name)(given)
        except ValueError as error:
            problem = str(error)
        shown = {"field": f"f{place}", "label": config.labels[name], "value": latest[name]}
        more = {"tried": given, "problem": problem, "number": name in schema.numeric}
        factors.append({**shown, **more, "usual": "", "contribution": 0.0})
    both = [latest, tried]
    numbers = [[float(row[name] or "nan") for name in schema.numeric] for row in both]
    features = Features(
        np.array(numbers, dtype="float64").reshape(2, len(schema.numeric)),
        tuple([row[name] for row in both] for name in schema.categorical),
    )
    outcomes, (now, then) = live.scorer.scores(features)
    if usual := baseline_row(live.release.model):
        found = contributions(live.scorer, features.at(np.array([1])), usual)[:, 0]
        texts = ["" if np.isnan(value) else number_text(value) for value in usual.numbers]
        for each, text, contribution in zip(
            factors, [*texts, *usual.texts], found.tolist(), strict=True
        ):
            each |= {"usual": text, "contribution": contribution}
        factors.sort(key=lambda each: -abs(each["contribution"]))
    return {
        "release": live.release.id,
        "risk": float(now),
        "tried_risk": float(then),
        "leaves": bool(outcomes[1]),
        "changed": any(each["tried"] != each["value"] for each in factors),
        "factors": factors,
    }


def score_file(content: bytes, live: Live, config: Config) -> pd.DataFrame:
    """Every row of a CSV text, in order of line; raises `RequestError`.

    Rows are checked by the rules of ingestion. The column of the client may be missing, and the
    outcome is ignored. Of rows that could not be read there are the line and the problem alone.
    """
    rows = rows_of_csv(content, config.schema, for_people=True)
    outcomes, risk = live.scorer.scores(rows.features)
    explainer = explainer_of(live.scorer, live.release.model, config.labels, config.reasons_from)
    good = {
        "line": rows.lines,
        "client": rows.clients,
        "risk": risk,
        "predicted": outcomes,
        "reasons": ["; ".join(reasons) for reasons in explainer.reasons(rows.features)],
        "problem": "",
    }
    bad = {"line": [row.line for row in rows.bad.values()], "client": "", "reasons": ""}
    bad["problem"] = [row.reason for row in rows.bad.values()]
    found = pd.concat([pd.DataFrame(good), pd.DataFrame(bad)], ignore_index=True)
    return found.sort_values("line", kind="stable").astype({"line": "int64", "predicted": "Int64"})


def scored_csv(scored: pd.DataFrame) -> str:
    """The rows as a CSV file, in which no text is a formula."""
    texts = {name: scored[name].map(escape_formula) for name in ("client", "reasons", "problem")}
    return scored.assign(**texts).to_csv(index=False, float_format="%.6f", lineterminator="\n")


def scored_result(scored: pd.DataFrame, live: Live) -> tuple[str, list[Grid]]:
    """The result of a file in a sentence, the clients at the highest risk, and the bad rows."""
    good, bad = scored[scored["problem"] == ""], scored[scored["problem"] != ""]
    counts = f"{pluralize(len(good), 'client')} scored by release {live.release.id}:"
    problems = f" {pluralize(len(bad), 'row')} could not be read." if len(bad) else ""
    leave = f"{good['predicted'].sum():,} predicted to leave"
    sentence = f"{counts} {leave}{format_horizon(live.release.horizon_days)}.{problems}"
    first = good.sort_values("risk", ascending=False, kind="stable").head(MAX_SCORED)
    shown = [
        (
            row["client"] or "-",
            f"{row['line']:,}",
            format_percent(row["risk"]),
            "yes" if row["predicted"] else "no",
            row["reasons"] or "-",
        )
        for row in first.to_dict("records")
    ]
    header = ("client", "line", "risk", "predicted to leave", "reasons")
    grids = [Grid(f"The {len(first)} at the highest risk", header, tuple(shown))]
    if len(bad):
        worst = bad.head(MAX_SCORED).to_dict("records")
        told = tuple((f"{row['line']:,}", row["problem"]) for row in worst)
        grids.append(Grid("Rows that could not be read", ("line", "problem"), told))
    return f"{sentence} Nothing was kept.", grids
