"""The JSON endpoints: each route returns a dataclass, from whose type it is also described."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, Literal, TypedDict, TypeVar, cast

import msgspec
import pandas as pd
from flask import Blueprint, Request, Response, request
from prometheus_client import CONTENT_TYPE_LATEST

from pipeline.core.schema import Schema, canonical_text
from pipeline.data.input_files import list_input
from pipeline.monitoring.metrics import scores_on_test_data
from pipeline.monitoring.packages import Package
from pipeline.monitoring.scores import Scores
from pipeline.observations.rows import open_rows, read_test_data
from pipeline.ranking.current_ranking import file_stamp
from pipeline.ranking.explanations import MAX_REASONS
from pipeline.ranking.ranking_file import by_loss, has_losses, ranking_to_dicts, with_values
from pipeline.registry.live_model import Live
from pipeline.registry.releases import live_id
from pipeline.reporting.overview import readable_release
from pipeline.reporting.status import LastRun, last_active, last_run
from pipeline.storage.held_files import held_contents
from pipeline.storage.history import open_existing_history, recorded_history
from pipeline.storage.ledger import master_state
from pipeline.storage.records import (
    Checked,
    last_checked,
    last_missing,
    last_packages,
    last_timings,
)
from pipeline.storage.trends import DEFAULT_TRENDS, MAX_TRENDS, Trends, trends
from pipeline.web.openapi import OPTIONAL, Described, Operation, Parameter, description
from pipeline.web.prometheus import metrics_text
from pipeline.web.request_rows import ClientRows, RequestError, rows_of_body, rows_of_csv
from pipeline.web.state import Summary, get_state

DECIMALS = 6  # of a probability
NO_LOSS = "null where config.json names no client_value, or the client has none"

SHARE = {"minimum": 0, "maximum": 1}


Horizon = Annotated[
    int | None,
    {
        "minimum": 1,
        "description": "days within which a client leaves, null if the model names none",
    },
]


@dataclass(frozen=True)
class ReportedRow:
    """A row that was not predicted."""

    line: int
    reason: str


@dataclass(frozen=True)
class Prediction:
    """A prediction and a risk for each row, None for a bad one."""

    predictions: list[Literal[0, 1] | None]
    risk: list[Annotated[float | None, SHARE]]
    release: str
    bad_rows: tuple[ReportedRow, ...] = field(default=(), metadata=OPTIONAL)
    horizon_days: Horizon = None


@dataclass(frozen=True)
class LiveScores(Scores):
    """How a release does on the test data."""

    release: str


@dataclass(frozen=True)
class Diagnostics:
    """What the runs recorded last; `drift` is None before the first check."""

    missing_percent: dict[str, float]
    seconds: dict[str, float]
    packages: list[Package]
    drift: Checked | None


class RankedClient(TypedDict):
    """A client of the ranking; the columns that no model sees are further keys of it."""

    rank: int
    client: str
    risk: Annotated[float, SHARE]
    band: str
    release: str
    contact: Annotated[bool, {"description": "whether to contact the client"}]
    reasons: Annotated[
        list[str],
        {
            "maxItems": MAX_REASONS,
            "description": "what raises the risk most, compared with a usual client",
        },
    ]
    expected_loss: Annotated[float | None, {"description": f"risk times client_value; {NO_LOSS}"}]
    loss_rank: Annotated[int | None, {"minimum": 1, "description": NO_LOSS}]


@dataclass(frozen=True)
class RankedClients:
    """The first clients of the ranking, and how many there are in all."""

    total: int
    clients: list[RankedClient]
    horizon_days: Horizon


class FoundClient(RankedClient):
    """A client of the ranking that was asked for."""

    horizon_days: Horizon


@dataclass(frozen=True)
class MovedClient:
    """A client whose risk changed."""

    client: str
    before: Annotated[float, SHARE]
    risk: Annotated[float, SHARE]
    change: float


@dataclass(frozen=True)
class MovedClients:
    """The clients whose risk changed most; `release_before` is None for the first ranking."""

    release_before: str | None
    release: str
    rose: list[MovedClient]
    fell: list[MovedClient]


@dataclass(frozen=True)
class Health:
    """That the server is there; None before the first release, run or look for work."""

    status: str
    release: str | None
    last_run: LastRun | None
    last_active: str | None


@dataclass(frozen=True)
class Ready:
    """That a release is live."""

    status: str
    release: str


FILENAME = Parameter("filename", {"type": "string"}, example="testdata.csv")
FILEPATH = Parameter("filepath", {"type": "string"})
CLIENT = Parameter("client", {"type": "string"}, where="path", example="CLIENT")
LIMIT = {"type": "integer", "minimum": 1}
RISK_LIMIT = Parameter("limit", {**LIMIT, "maximum": 999_999_999, "default": 50})
TRENDS_LIMIT = Parameter("limit", {**LIMIT, "maximum": MAX_TRENDS, "default": DEFAULT_TRENDS})
ORDERS = ["risk", "expected_loss"]
SORT = Parameter("sort", {"type": "string", "enum": ORDERS, "default": "risk"})

api = Blueprint("api", __name__)
OPERATIONS: list[Operation] = []
View = TypeVar("View", bound=Callable[..., object])


def _route(method: str, rule: str, *errors: int, **described: Any) -> Callable[[View], View]:
    """Answer a request by what a function returns, and describe both."""

    def register(view: View) -> View:
        @wraps(view)
        def answer(**values: str) -> Response:
            return _response(view(**values))

        api.add_url_rule(rule, view_func=answer, methods=[method])
        OPERATIONS.append(Operation(method, rule, view, tuple(sorted(errors)), **described))
        return view

    return register


def _response(answer: object) -> Response:
    if isinstance(answer, str):
        return Response(answer, content_type=CONTENT_TYPE_LATEST)
    if is_dataclass(answer):
        values = ((one, getattr(answer, one.name)) for one in fields(answer))
        answer = {one.name: value for one, value in values if value or not one.metadata}
    # of 10,000 rows in 0.5 ms, where `jsonify` takes 3
    content = msgspec.json.encode(answer) + b"\n"
    return Response(content, content_type="application/json")


@_route("GET", "/prediction", 400, 401, 404, 413, 422, 503, parameters=(FILENAME, FILEPATH))
def predict_file() -> Prediction:
    """Predict the clients of a file by its name."""
    state = get_state()
    live = state.live.get()
    name = request.args.get("filename", request.args.get("filepath"))
    return _prediction(live, rows_of_csv(state.files.read(name), state.config.schema))


@_route("POST", "/prediction", 400, 401, 404, 413, 415, 422, 503, takes_rows=True)
def predict_rows() -> Prediction:
    """Predict clients."""
    state = get_state()
    live = state.live.get()  # first: without a release no row is read
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    return _prediction(live, rows_of_body(asked, state.files, state.config.schema))


def _prediction(live: Live, rows: ClientRows) -> Prediction:
    scores = live.scorer.scores(rows.features)
    return Prediction(
        rows.in_order(scores.outcomes.tolist()),
        rows.in_order(scores.risk.round(DECIMALS).tolist()),
        live.release.id,
        tuple(ReportedRow(bad.line, bad.reason) for bad in rows.bad.values()),
        live.release.horizon_days,
    )


@_route("GET", "/scoring", 401, 503)
def scoring() -> LiveScores:
    """How the live model does on the test data."""
    state = get_state()
    live, config = state.live.get(), state.config
    folder = config.test_data_path
    with recorded_history(config.history_path) as history:
        scores = state.scores.get(
            (live.release.id, tuple(list_input(folder))),
            lambda: scores_on_test_data(
                read_test_data(folder, config.finaldata_path, config.schema, history),
                *(folder, config.schema, live.model),
            ),
        )
    return LiveScores(**asdict(scores), release=live.release.id)


@_route("GET", "/summarystats", 401, 503)
def summarystats() -> dict[str, Summary]:
    """Statistics of the number columns."""
    state = get_state()
    config = state.config
    with recorded_history(config.history_path) as history:
        return state.summary.get(
            (master_state(history), held_contents(history), file_stamp(config.finaldata_path)),
            lambda: _summary(open_rows(config.finaldata_path, config.schema, history).summary()),
        )


def _summary(table: pd.DataFrame) -> dict[str, Summary]:
    return {
        str(column): Summary(*(value if math.isfinite(value) else None for value in row))
        for column, *row in table[["mean", "median", "std"]].itertuples()
    }


@_route("GET", "/diagnostics", 401, 503)
def diagnostics() -> Diagnostics:
    """What the runs recorded."""
    with recorded_history(get_state().config.history_path) as history:
        return Diagnostics(
            last_missing(history),
            last_timings(history),
            last_packages(history),
            last_checked(history),
        )


@_route("GET", "/history", 400, 401, 503, parameters=(TRENDS_LIMIT,))
def history() -> Trends:
    """What happened, over time."""
    limit = _limit(TRENDS_LIMIT)
    with recorded_history(get_state().config.history_path) as records:
        return trends(records, limit)


@_route("GET", "/metrics", 401, 503)
def metrics() -> str:
    """The state in the text form of Prometheus."""
    return metrics_text(get_state().config)


@_route("GET", "/risk", 400, 401, 503, parameters=(RISK_LIMIT, SORT), by_carried=True)
def risk() -> RankedClients:
    """The clients at risk, highest first."""
    limit, carried = _limit(RISK_LIMIT), _carried(RISK_LIMIT, SORT)
    ranking = with_values(_sorted(get_state().ranking.ranking()), carried)
    return RankedClients(len(ranking), ranked_clients(ranking.head(limit)), _horizon())


@_route("GET", "/risk/<text:client>", 401, 404, 503, parameters=(CLIENT,))
def client_risk(client: str) -> FoundClient:
    """One client of the ranking."""
    state = get_state()
    row, _ = state.ranking.client(state.config.schema.asked_client(client))
    if found := ranked_clients(row):
        return {**found[0], "horizon_days": _horizon()}
    raise RequestError(404, "no client of that name is in the ranking")


def ranked_clients(ranking: pd.DataFrame) -> list[RankedClient]:
    """The rows of a ranking as they are answered."""
    return cast(list[RankedClient], ranking_to_dicts(ranking))


def _horizon() -> int | None:
    release = readable_release(get_state().config)
    return release.horizon_days if release else None


@_route("GET", "/movers", 401, 503)
def movers() -> MovedClients:
    """The clients whose risk changed most."""
    found = get_state().ranking.movers()
    return MovedClients(
        found.release_before,
        found.release,
        rose=[MovedClient(*mover) for mover in found.rose],
        fell=[MovedClient(*mover) for mover in found.fell],
    )


@_route("GET", "/health", 503, needs_token=False)
def health() -> Health:
    """Whether the server is there."""
    config = get_state().config
    release = live_id(config.prod_deployment_path)
    records = open_existing_history(config.history_path)
    with records or nullcontext():
        run = last_run(records) if records else None
        return Health("ok", release, run, last_active(config.lock_path, records))


@_route("GET", "/ready", 401, 503)
def ready() -> Ready:
    """Whether a release is live."""
    return Ready("ready", get_state().live.get().release.id)


@_route("GET", "/openapi.json", 401)
def openapi() -> dict[str, object]:
    """This description."""
    return api_description(get_state().config.schema)


def api_description(schema: Schema) -> Described:
    """The OpenAPI document of all endpoints, for tables of a schema."""
    return description(schema, OPERATIONS)


def _limit(parameter: Parameter) -> int:
    """How many a request asks for; raises `RequestError`."""
    limit = request.args.get("limit", str(parameter.schema["default"]))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 10 and int(limit) > 0):
        raise RequestError(400, "limit must be a whole number of at least 1")
    if int(limit) > parameter.schema["maximum"]:
        raise RequestError(400, f"limit must not be above {parameter.schema['maximum']:,}")
    return int(limit)


def _carried(*others: Parameter) -> dict[str, str]:
    """The values that a request asks for of columns that no model sees; raises `RequestError`."""
    carry, asked = get_state().config.schema.carry, request.args.to_dict()
    known = [*(other.name for other in others), *carry]
    if not asked.keys() <= {*known}:
        raise RequestError(400, f"unknown parameter; known are {', '.join(known)}")
    return {name: canonical_text(asked[name]) for name in carry if name in asked}


def _sorted(ranking: pd.DataFrame) -> pd.DataFrame:
    """The ranking in the order that a request asks for; raises `RequestError`."""
    order = request.args.get("sort", "risk")
    if order not in ORDERS:
        raise RequestError(400, f"sort must be {' or '.join(ORDERS)}")
    if order == "risk":
        return ranking
    if not has_losses(ranking):
        raise RequestError(400, "there is no expected_loss: config.json names no client_value")
    return by_loss(ranking)
