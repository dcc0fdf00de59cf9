"""The OpenAPI description of the API, for `/openapi.json`."""

from typing import Any

from pipeline.schema import Schema

Described = dict[str, Any]

NUMBER: Described = {"type": ["number", "null"]}
TEXT: Described = {"type": "string"}
TEXT_OR_NULL: Described = {"type": ["string", "null"]}
COUNT: Described = {"type": "integer", "minimum": 0}


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
            "/risk": {"get": _ranking()},
            "/risk/{client}": {"get": _one_client()},
            "/health": {"get": {**_get("Whether the server is there", _health()), "security": []}},
            "/ready": {
                "get": _get("Whether a release is live", _object(status=TEXT, release=TEXT))
            },
            "/openapi.json": {"get": _get("This description", {"type": "object"})},
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


def _answers(answer: Described, *errors: int) -> Described:
    error = {"application/json": {"schema": _object(error=TEXT)}}
    answers = {"200": {"description": "done", "content": {"application/json": {"schema": answer}}}}
    for status in sorted({401, *errors}):
        answers[str(status)] = {"description": _MEANINGS[status], "content": error}
    return answers


_MEANINGS = {
    400: "the request is malformed",
    401: "the token is missing or wrong",
    404: "there is no such thing",
    413: "too large",
    415: "a content type that is not taken",
    422: "the rows cannot be used",
    503: "not there yet: nothing is deployed or recorded, or the test data cannot be used",
}


def _get(summary: str, answer: Described, *errors: int) -> Described:
    return {"summary": summary, "responses": _answers(answer, 503, *errors)}


def _parameter(name: str, where: str, schema: Described, *, required: bool) -> Described:
    return {"name": name, "in": where, "required": required, "schema": schema}


def _predictions() -> Described:
    told = _object(
        predictions=_list_of({"type": ["integer", "null"]}), risk=_list_of(NUMBER), release=TEXT
    )
    told["properties"]["bad_rows"] = _list_of(_object(line=COUNT, reason=TEXT))
    return told


def _by_name() -> Described:
    errors = (400, 404, 413, 422)
    return {
        **_get("Predict the clients of a file by its name", _predictions(), *errors),
        "parameters": [_parameter("filename", "query", TEXT, required=True)],
    }


def _by_rows(schema: Schema) -> Described:
    numbers = dict.fromkeys(schema.numeric, NUMBER)
    client = _object(**numbers, **dict.fromkeys(schema.categorical, TEXT_OR_NULL))
    asked = {
        "oneOf": [
            _object(filepath=TEXT),
            _object(filename=TEXT),
            _object(clients={**_list_of(client), "minItems": 1}),
        ]
    }
    upload = _object(file={"type": "string", "format": "binary"})
    return {
        **_get("Predict clients", _predictions(), 400, 404, 413, 415, 422),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": asked},
                "text/csv": {"schema": TEXT},
                "multipart/form-data": {"schema": upload},
            },
        },
    }


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
    )


def _ranked() -> Described:
    return _object(rank=COUNT, client=TEXT, risk={"type": "number"}, band=TEXT, release=TEXT)


def _ranking() -> Described:
    limit = {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 50}
    answer = _object(total=COUNT, clients=_list_of(_ranked()))
    return {
        **_get("The clients at risk, highest first", answer, 400),
        "parameters": [_parameter("limit", "query", limit, required=False)],
    }


def _one_client() -> Described:
    return {
        **_get("One client of the ranking", _ranked(), 404),
        "parameters": [_parameter("client", "path", TEXT, required=True)],
    }


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
