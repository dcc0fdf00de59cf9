"""The JSON endpoints: each route returns a dataclass, from whose type it is also described."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Annotated, Any, Literal, TypedDict, TypeVar, cast

import msgspec
from flask import Blueprint, Request, Response, request
from msgspec import Meta, Struct
from prometheus_client import CONTENT_TYPE_LATEST

from pipeline.action.current_ranking import file_stamp
from pipeline.action.effect import Effect
from pipeline.core.schema import Schema
from pipeline.data.input_files import list_input
from pipeline.monitoring.decisions import Scores
from pipeline.monitoring.metrics import scores_on_test_data
from pipeline.monitoring.packages import Package, installed_packages
from pipeline.observations.rows import open_rows, read_test_data
from pipeline.ranking.ranking_file import (
    Status,
    has_losses,
    ranking_text,
    ranking_to_dicts,
)
from pipeline.registry.live_model import Live
from pipeline.registry.releases import live_id
from pipeline.reporting.overview import readable_release
from pipeline.reporting.status import LastRun, last_active, last_run
from pipeline.storage.held_files import held_contents
from pipeline.storage.ledger import master_state
from pipeline.storage.records import (
    Checked,
    last_checked,
    last_missing,
    last_packages,
    last_timings,
)
from pipeline.storage.trends import DEFAULT_TRENDS, MAX_TRENDS, Trends, trends
from pipeline.web.auth import proof_of
from pipeline.web.client_views import CSV, Asked, Query, find_clients, parameters
from pipeline.web.contact_views import (
    GIVEN,
    RecordedContact,
    as_recorded,
    contacts_of,
    contacts_of_request,
)
from pipeline.web.openapi import ROWS, CsvText, Described, Operation, description
from pipeline.web.prometheus import metrics_text
from pipeline.web.request_rows import (
    NAME_KEYS,
    NAME_ONE,
    ClientRows,
    RequestError,
    rows_of_named,
    rows_of_request,
)
from pipeline.web.state import get_state

DECIMALS = 6  # of a probability
NO_LOSS = "null where config.json names no client_value, or the client has none"

Share = Annotated[float, Meta(ge=0, le=1)]
Horizon = Annotated[
    int | None, Meta(description="days within which a client leaves, null if the model names none")
]


class ReportedRow(Struct):
    """A row that was not predicted."""

    line: int
    reason: str


class Prediction(Struct, omit_defaults=True):
    """A prediction and a risk for each row, None for a bad one."""

    predictions: list[Literal[0, 1] | None]
    risk: list[Share | None]
    release: str
    horizon_days: Horizon
    bad_rows: tuple[ReportedRow, ...] = ()


class Summary(Struct):
    """Statistics of one number column; None where there are too few numbers."""

    mean: float | None
    median: float | None
    std: float | None


@dataclass(frozen=True)
class LiveScores(Scores):
    """How a release does on the test data."""

    release: str


class Diagnostics(Struct):
    """What the runs recorded last; `drift` is None before the first check."""

    missing_percent: dict[str, float]
    seconds: dict[str, float]
    packages: list[Package]
    drift: Checked | None


class RankedClient(TypedDict):
    """A client of the ranking; the columns that no model sees are further keys of it."""

    rank: int
    client: str
    risk: Share
    band: str
    release: str
    contact: Annotated[bool, Meta(description="whether to contact the client")]
    reasons: Annotated[list[str], Meta(description="what raises the risk most")]
    expected_loss: Annotated[float | None, Meta(description=f"risk times client_value; {NO_LOSS}")]
    loss_rank: Annotated[int | None, Meta(description=NO_LOSS)]
    contact_status: Status
    contacted_on: Annotated[str | None, Meta(description="a date; null: never")]


class RankedClients(Struct):
    """The first clients of the ranking, and how many there are in all."""

    total: int
    clients: list[RankedClient]
    horizon_days: Horizon


class FoundClient(RankedClient):
    """A client of the ranking that was asked for."""

    horizon_days: Horizon


class Contacts(Struct):
    """Some contacts, newest first, and how many there are in all."""

    total: int
    contacts: list[RecordedContact]


class MovedClient(Struct):
    """A client whose risk changed."""

    client: str
    before: Share
    risk: Share
    change: float


class MovedClients(Struct):
    """The clients whose risk changed most; `release_before` is None for the first ranking."""

    release_before: str | None
    release: str
    rose: list[MovedClient]
    fell: list[MovedClient]


class Health(Struct, omit_defaults=True):
    """That the server is there; None before the first release, run or look for work.

    `proof` is what a `challenge` is answered with.
    """

    status: str
    release: str | None
    last_run: LastRun | None
    last_active: str | None
    proof: str = ""


class Ready(Struct):
    """That a release is live."""

    status: str
    release: str


NamedFile = msgspec.defstruct("NamedFile", [(key, str, "") for key in NAME_KEYS])
Challenge = msgspec.defstruct("Challenge", [("challenge", str, "")])  # to be answered with a proof


class TrendsQuery(Struct):
    """How many of each kind."""

    limit: Annotated[int, Meta(ge=1, le=MAX_TRENDS)] = DEFAULT_TRENDS


class Part(Struct):
    """How many, and how many before them are left out."""

    limit: Annotated[int, Meta(ge=1, le=999_999_999)] = 50
    offset: Annotated[int, Meta(ge=0, le=999_999_999)] = 0


class ContactsQuery(Part):
    """Those of a client, or all."""

    client: str | None = None


class RiskQuery(Part):
    """What part of the ranking."""

    sort: Literal["risk", "expected_loss"] = "risk"
    band: Literal["", "high", "medium", "low"] = ""
    contact: Literal["", "yes", "no"] = ""
    q: str = ""
    format: Literal["", "json", "csv"] = ""
    carried: dict[str, str] = {}


api = Blueprint("api", __name__)
OPERATIONS: list[Operation] = []
View = TypeVar("View", bound=Callable[..., object])


def _route(method: str, rule: str, *errors: int, **described: Any) -> Callable[[View], View]:
    """Answer a request by what a function returns, and describe both."""

    def register(view: View) -> View:
        operation = Operation(method, rule, view, tuple(sorted({400, *errors})), **described)

        @wraps(view)
        def answer(**values: str) -> Response:
            if request.args:
                _check_parameters(operation)
            found = view(**values)
            if isinstance(found, str):
                kind = CSV if isinstance(found, CsvText) else CONTENT_TYPE_LATEST
                return Response(found, content_type=kind)
            # of 10,000 rows in 0.5 ms, where `jsonify` takes 3
            return Response(msgspec.json.encode(found) + b"\n", content_type="application/json")

        api.add_url_rule(rule, view_func=answer, methods=[method])
        OPERATIONS.append(operation)
        return view

    return register


def _check_parameters(operation: Operation) -> None:
    """Refuse what is no parameter, but for the name of a client file: older clients send one.

    Who needs no token here does not learn by it which files there are.
    """
    state = get_state()
    known = operation.parameters(state.config.schema)
    unknown = {text for name, text in request.args.items(multi=True) if name not in known}
    told = operation.needs_token or not state.token
    if unknown and not (told and unknown <= state.files.names().keys()):
        raise RequestError(400, f"unknown parameter; known are {', '.join(known) or 'none'}")


@_route("GET", "/prediction", 401, 404, 413, 422, 503, query=NamedFile)
def predict_file() -> Prediction:
    """Predict the clients of a file by its name."""
    state = get_state()
    live = state.live.get()
    if rows := rows_of_named(state.files, state.config.schema, request.args):
        return _prediction(live, rows)
    raise RequestError(400, NAME_ONE)


@_route("POST", "/prediction", 401, 404, 413, 415, 422, 503, query=NamedFile, body=ROWS)
def predict_rows() -> Prediction:
    """Predict clients."""
    state = get_state()
    live = state.live.get()  # first: without a release no row is read
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    return _prediction(live, rows_of_request(asked, state.files, state.config.schema))


def _prediction(live: Live, rows: ClientRows) -> Prediction:
    scores = live.scorer.scores(rows.features)
    return Prediction(
        rows.in_order(scores.outcomes.tolist()),
        rows.in_order(scores.risk.round(DECIMALS).tolist()),
        live.release.id,
        live.release.horizon_days,
        tuple(ReportedRow(bad.line, bad.reason) for bad in rows.bad.values()),
    )


@_route("GET", "/scoring", 401, 503)
def scoring() -> LiveScores:
    """How the live model does on the test data."""
    state = get_state()
    live, config, records = state.live.get(), state.config, state.records()
    folder = config.test_data_path

    def score() -> LiveScores:
        rows = read_test_data(folder, config.finaldata_path, config.schema, records)
        scores = scores_on_test_data(rows, folder, config.schema, live.model)
        return LiveScores(**asdict(scores), release=live.release.id)

    key = live.release.id, tuple(list_input(folder))
    return cast(LiveScores, state.kept["scores"].get(key, score))


@_route("GET", "/summarystats", 401, 503)
def summarystats() -> dict[str, Summary]:
    """Statistics of the number columns."""
    return _of_rows()[0]


def _of_rows() -> tuple[dict[str, Summary], dict[str, float]]:
    """Statistics, and the percent missing, of all rows that count."""
    state = get_state()
    config, records = state.config, state.records()

    def read() -> tuple[dict[str, Summary], dict[str, float]]:
        rows = open_rows(config.finaldata_path, config.schema, records)
        table = rows.summary()[["mean", "median", "std"]]
        summary = {
            str(column): Summary(*(value if math.isfinite(value) else None for value in row))
            for column, *row in table.itertuples()
        }
        return summary, rows.missing()

    key = master_state(records), held_contents(records), file_stamp(config.finaldata_path)
    return cast(tuple[dict[str, Summary], dict[str, float]], state.kept["rows"].get(key, read))


@_route("GET", "/diagnostics", 401, 503)
def diagnostics() -> Diagnostics:
    """What the runs recorded; what they have not, of the rows and the packages that are there."""
    records = get_state().records()
    missing = last_missing(records)
    if not missing and master_state(records).rows:
        _, missing = _of_rows()
    packages = last_packages(records) or installed_packages()
    return Diagnostics(missing, last_timings(records), packages, last_checked(records))


@_route("GET", "/history", 401, 503, query=TrendsQuery)
def history() -> Trends:
    """What happened, over time."""
    return trends(get_state().records(), _asked(TrendsQuery).limit)


@_route("GET", "/effect", 401, 503)
def effect() -> Effect:
    """Whether contacting helped, by the control groups of all campaigns."""
    state = get_state()
    return state.current_effect(state.records())


@_route("GET", "/metrics", 401, 503)
def metrics() -> str:
    """The state in the text form of Prometheus."""
    return metrics_text(get_state().config)


@_route("GET", "/risk", 401, 503, query=RiskQuery)
def risk() -> RankedClients | CsvText:
    """The clients at risk, highest first."""
    asked, ranking = _asked(RiskQuery), get_state().ranking.ranking()
    if asked.sort == "expected_loss" and not has_losses(ranking):
        raise RequestError(400, "there is no expected_loss: config.json names no client_value")
    found = find_clients(ranking, msgspec.convert(asked, Query, from_attributes=True))
    part = found.iloc[asked.offset : asked.offset + asked.limit]
    liked = request.accept_mimetypes.best_match(["application/json", "text/csv"])
    if asked.format == "csv" or (liked == "text/csv" and not asked.format):
        return CsvText(ranking_text(part))
    return RankedClients(len(found), cast(list[RankedClient], ranking_to_dicts(part)), _horizon())


@_route("GET", "/risk/<text:client>", 401, 404, 503)
def client_risk(client: str) -> FoundClient:
    """One client of the ranking."""
    state = get_state()
    row, _ = state.ranking.client(state.config.schema.asked_client(client))
    if found := ranking_to_dicts(row):
        return cast(FoundClient, {**found[0], "horizon_days": _horizon()})
    raise RequestError(404, "no client of that name is in the ranking")


def _horizon() -> int | None:
    release = readable_release(get_state().config)
    return release.horizon_days if release else None


@_route("GET", "/contacts", 401, 503, query=ContactsQuery)
def contacts() -> Contacts:
    """Who was contacted."""
    asked = _asked(ContactsQuery)
    found = contacts_of(asked.client)
    part = found[asked.offset : asked.offset + asked.limit]
    return Contacts(len(found), [*map(as_recorded, part)])


@_route("POST", "/contacts", 401, 403, 404, 413, 422, 503, body=GIVEN)
def record_contacts() -> Contacts:
    """Record contacts."""
    found = contacts_of_request()
    return Contacts(len(found), [*map(as_recorded, found)])


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


@_route("GET", "/health", 503, query=Challenge, needs_token=False)
def health() -> Health:
    """Whether the server is there."""
    state, challenge = get_state(), request.args.get("challenge")
    config = state.config
    release, records, proof = live_id(config.prod_deployment_path), state.history(), ""
    if challenge:
        proof = proof_of(challenge, state.live.get().release.model.sha256, state.token)
    run = last_run(records) if records else None
    return Health("ok", release, run, last_active(config.lock_path, records), proof)


@_route("GET", "/ready", 401, 503)
def ready() -> Ready:
    """Whether a release is live."""
    return Ready("ready", get_state().live.get().release.id)


@_route("GET", "/openapi.json", 401)
def openapi() -> dict[str, Any]:
    """This description."""
    return api_description(get_state().config.schema)


def api_description(schema: Schema) -> Described:
    """The OpenAPI document of all endpoints, for tables of a schema."""
    return description(schema, OPERATIONS)


def _asked(kind: type[Asked]) -> Asked:
    """The parameters of the request; raises `RequestError`."""
    return parameters(kind, request.args.to_dict(), get_state().config.schema)
