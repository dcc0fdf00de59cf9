"""The OpenAPI description of the API, for `/openapi.json`."""

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Any

from pipeline.core.schema import LARGEST_NUMBER, Schema
from pipeline.ranking.explanations import MAX_REASONS as MOST_REASONS
from pipeline.storage.trends import DEFAULT_TRENDS, MAX_TRENDS
from pipeline.web.request_rows import MOST_COLUMNS, MOST_ROWS

Described = dict[str, Any]

NUMBER: Described = {"type": ["number", "null"]}
TEXT: Described = {"type": "string"}
TEXT_OR_NULL: Described = {"type": ["string", "null"]}
COUNT: Described = {"type": "integer", "minimum": 0}
OUTCOME: Described = {"type": ["integer", "null"], "enum": [0, 1, None]}
RISK: Described = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
FEATURE: Described = {**NUMBER, "minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER}


def description(schema: Schema) -> Described:
    """What can be asked and what comes back, for tables of this schema."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Which clients are about to leave",
            "version": "1",
            "description": "Predictions, scores, statistics, diagnostics and the client ranking.",
        },
        "paths": {
            "/prediction": {"get": _by_name(), "post": _by_rows(schema)},
            "/scoring": {"get": _get("How the live model does on the test data", _scores())},
            "/summarystats": {"get": _get("Statistics of the number columns", _summary())},
            "/diagnostics": {"get": _get("What the runs recorded", _diagnostics())},
            "/history": {"get": _history()},
            "/metrics": {"get": _metrics()},
            "/risk": {"get": _ranking()},
            "/risk/{client}": {"get": _one_client()},
            "/movers": {"get": _get("The clients whose risk changed most", _movers())},
            "/health": {"get": _unguarded("Whether the server is there", _health(), 503)},
            "/ready": {"get": _get("Whether a release is live", _ready())},
            "/openapi.json": {"get": _operation("This description", {"type": "object"}, 401)},
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _object(**properties: Described) -> Described:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list_of(items: Described) -> Described:
    return {"type": "array", "items": items}


def _map_of(values: Described) -> Described:
    return {"type": "object", "additionalProperties": values}


def _operation(summary: str, answer: Described, *errors: int) -> Described:
    error = {"application/json": {"schema": _object(error=TEXT)}}
    answers = {"200": {"description": "done", "content": {"application/json": {"schema": answer}}}}
    for status in sorted(errors):
        answers[str(status)] = {"description": _MEANINGS[status], "content": error}
    return {"summary": summary, "responses": answers}


def _unguarded(summary: str, answer: Described, *errors: int) -> Described:
    return {**_operation(summary, answer, *errors), "security": []}


def _get(summary: str, answer: Described, *errors: int) -> Described:
    return _operation(summary, answer, 401, 503, *errors)


_MEANINGS = {
    400: "the request is malformed",
    401: "the token is missing or wrong",
    404: "there is no such thing",
    413: "too large",
    415: "a content type that is not taken",
    422: "the rows cannot be used",
    503: "not there yet: nothing is deployed or recorded, or the data cannot be read",
}


def _parameter(name: str, where: str, schema: Described, example: str = "") -> Described:
    told = {"name": name, "in": where, "required": where == "path", "schema": schema}
    return told | ({"example": example} if example else {})


def _predictions() -> Described:
    told = _object(predictions=_list_of(OUTCOME), risk=_list_of(RISK), release=TEXT)
    told["properties"]["bad_rows"] = _list_of(_object(line=COUNT, reason=TEXT))
    return told


def _by_name() -> Described:
    errors = (400, 404, 413, 422)
    return {
        **_get("Predict the clients of a file by its name", _predictions(), *errors),
        "parameters": [
            _parameter("filename", "query", TEXT, "testdata.csv"),
            _parameter("filepath", "query", TEXT),
        ],
    }


def _by_rows(schema: Schema) -> Described:
    numbers = dict.fromkeys(schema.numeric, FEATURE)
    client = _object(**numbers, **dict.fromkeys(schema.categorical, TEXT_OR_NULL))
    client["maxProperties"] = MOST_COLUMNS
    clients = {**_list_of(client), "minItems": 1, "maxItems": MOST_ROWS}
    asked = {"anyOf": [_object(filepath=TEXT), _object(filename=TEXT), _object(clients=clients)]}
    upload = _object(file={"type": "string", "format": "binary"})
    one = dict.fromkeys(schema.numeric, 1) | dict.fromkeys(schema.categorical, "a")
    return {
        **_get("Predict clients", _predictions(), 400, 404, 413, 415, 422),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": asked, "example": {"clients": [one]}},
                "text/csv": {"schema": TEXT, "example": _table(one, one.values())},
                "multipart/form-data": {"schema": upload},
            },
        },
    }


def _table(*rows: Iterable[object]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _scores() -> Described:
    names = ("accuracy", "precision", "recall", "roc_auc", "average_precision")
    return _object(
        rows=COUNT,
        f1=NUMBER,
        **dict.fromkeys(names, NUMBER),
        log_loss=NUMBER,
        brier=NUMBER,
        release=TEXT,
    )


def _summary() -> Described:
    return _map_of(_object(mean=NUMBER, median=NUMBER, std=NUMBER))


def _diagnostics() -> Described:
    return _object(
        missing_percent=_map_of({"type": "number"}),
        seconds=_map_of({"type": "number"}),
        packages=_list_of(_object(package=TEXT, installed=TEXT, latest=TEXT)),
        drift={"anyOf": [_drift(), {"type": "null"}]},
    )


def _history() -> Described:
    """What `pipeline.storage.trends` tells, oldest first."""
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_TRENDS, "default": DEFAULT_TRENDS}
    check = _object(
        at=TEXT,
        rows=COUNT,
        labelled=COUNT,
        release=TEXT_OR_NULL,
        deployed_f1=NUMBER,
        new_f1=NUMBER,
        verdict=TEXT,
        drifted=COUNT,
        action=TEXT,
        new_release=TEXT_OR_NULL,
    )
    number: Described = {"type": "number"}
    answer = _object(
        checks=_list_of(check),
        deployments=_list_of(_object(at=TEXT, release=TEXT, action=TEXT, f1=number)),
        missing=_list_of(_object(at=TEXT, percent=_map_of(number))),
        timings=_list_of(_object(at=TEXT, stage=TEXT, seconds=number, rows=COUNT)),
        refused=_list_of(
            _object(at=TEXT, name=TEXT, rows=COUNT, set_aside=COUNT, reason=TEXT_OR_NULL)
        ),
    )
    return {
        **_get("What went on, over time", answer, 400),
        "parameters": [_parameter("limit", "query", limit)],
    }


def _metrics() -> Described:
    operation = _get("The state in the text form of Prometheus", TEXT)
    operation["responses"]["200"]["content"] = {"text/plain": {"schema": TEXT}}
    return operation


def _drift() -> Described:
    """The verdicts of all drift tests, and of each feature, from the last check."""
    verdict = {"enum": ["drift", "no drift", "not enough evidence"]}
    numbers = _map_of({"type": "number"})
    by_score = _object(test=TEXT, verdict=verdict, reason=TEXT, numbers=numbers)
    share: Described = {"type": "number", "minimum": 0, "maximum": 1}
    told = dict.fromkeys(
        ("psi", "psi_limit", "statistic", "p_value", "missing_p_value", "unseen", "unseen_p_value"),
        NUMBER,
    )
    by_input = _object(
        feature=TEXT,
        kind={"enum": ["number", "category", "risk"]},
        rows=COUNT,
        test=TEXT,
        missing=share,
        missing_before=share,
        **told,
        verdict=verdict,
        reason=TEXT,
    )
    return _object(
        at=TEXT,
        release=TEXT_OR_NULL,
        drift_test=TEXT_OR_NULL,
        scores=_list_of(by_score),
        input=_list_of(by_input),
    )


def _ranked() -> Described:
    return _object(
        rank=COUNT,
        client=TEXT,
        risk=RISK,
        band=TEXT,
        release=TEXT,
        contact={"type": "boolean", "description": "whether to contact the client"},
        reasons={
            **_list_of(TEXT),
            "maxItems": MOST_REASONS,
            "description": "what raises the risk most, beside what is usual",
        },
        expected_loss={**NUMBER, "description": f"risk times client_value; {_NO_LOSS}"},
        loss_rank={"type": ["integer", "null"], "minimum": 1, "description": _NO_LOSS},
    )


_NO_LOSS = "null where config.json names no client_value, or the client has none"


def _ranking() -> Described:
    limit = {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 50}
    sort = {"type": "string", "enum": ["risk", "expected_loss"], "default": "risk"}
    answer = _object(total=COUNT, clients=_list_of(_ranked()))
    return {
        **_get("The clients at risk, highest first", answer, 400),
        "parameters": [_parameter("limit", "query", limit), _parameter("sort", "query", sort)],
    }


def _one_client() -> Described:
    return {
        **_get("One client of the ranking", _ranked(), 404),
        "parameters": [_parameter("client", "path", TEXT, "CLIENT")],
    }


def _movers() -> Described:
    mover = _object(client=TEXT, before=RISK, risk=RISK, change=NUMBER)
    return _object(
        release_before=TEXT_OR_NULL,
        release=TEXT_OR_NULL,
        rose=_list_of(mover),
        fell=_list_of(mover),
    )


def _ready() -> Described:
    return _object(status=TEXT, release=TEXT)


def _health() -> Described:
    run = _object(command=TEXT, started_at=TEXT, ended_at=TEXT_OR_NULL, outcome=TEXT_OR_NULL)
    return _object(
        status=TEXT,
        release=TEXT_OR_NULL,
        last_run={"anyOf": [run, {"type": "null"}]},
        last_active=TEXT_OR_NULL,
    )
