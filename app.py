"""The Flask API: predictions, scores, statistics, diagnostics and the ranking of clients.

It answers from the release that is live, and follows a redeploy without a restart. It binds to
127.0.0.1 unless told otherwise.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from diagnostics import dataframe_summary
from pipeline import cli
from pipeline.clientrows import ClientRows, RequestError, from_csv, from_json, named_file
from pipeline.config import Config
from pipeline.errors import DataError, HistoryError, PipelineError
from pipeline.guard import HEADERS, api_token, authorized, check_address
from pipeline.history import History, Scores, last_missing, last_packages, last_timings
from pipeline.inbox import list_input
from pipeline.ledger import master_size
from pipeline.models import predictions_of, risk_of
from pipeline.openapi import description
from pipeline.releases import live_id
from pipeline.serving import LiveModel, Remembered
from pipeline.spreadsheet import original
from pipeline.status import last_active, last_run
from scoring import scores_on_test_data

log = logging.getLogger("app")

LARGEST_BODY = 64 * 2**20  # bytes
DECIMALS = 6  # of a probability


def create_app(config: Config) -> Flask:
    """The API as a Flask application."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_FORM_PARTS"] = 10
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(PipelineError, _pipeline_error)
    _guard(app)
    app.get("/openapi.json")(lambda: jsonify(description(config.schema)))
    _serve_model(app, config)
    _serve_records(app, config)
    _serve_ranking(app, config)
    return app


def _guard(app: Flask) -> None:
    """Ask for the token, if one is set, and put the security headers on every answer."""
    token = api_token()

    @app.before_request
    def ask_for_token() -> None:
        told = request.headers.get("Authorization")
        if token and request.path != "/health" and not authorized(told, token):
            raise RequestError(401, "send the API's token: Authorization: Bearer …")

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.extend(HEADERS)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response


def _serve_model(app: Flask, config: Config) -> None:
    live = LiveModel(config)
    scores = Remembered[Scores]()

    @app.route("/prediction", methods=["GET", "POST"])
    def prediction() -> Response:
        served = live.get()
        rows = _requested_rows(config)
        answer = {
            "predictions": rows.in_order(predictions_of(served.model, rows.frame).tolist()),
            "risk": rows.in_order(risk_of(served.model, rows.frame).round(DECIMALS).tolist()),
            "release": served.release.id,
        }
        if rows.bad:
            answer["bad_rows"] = [
                {"line": bad.line, "reason": bad.reason} for bad in rows.bad.values()
            ]
        return jsonify(answer)

    @app.get("/scoring")
    def scoring() -> Response:
        served = live.get()
        key = (served.release.id, tuple(list_input(config.test_data_path)))
        found = scores.get(key, lambda: scores_on_test_data(config, served.model))
        return jsonify(**asdict(found), release=served.release.id)

    @app.get("/health")
    def health() -> Response:
        return jsonify(
            status="ok",
            release=live_id(config.prod_deployment_path),
            last_run=_last_run(config),
            last_active=last_active(config),
        )

    @app.get("/ready")
    def ready() -> Response:
        return jsonify(status="ready", release=live.get().release.id)


def _serve_records(app: Flask, config: Config) -> None:
    summary = Remembered[dict[str, dict[str, float | None]]]()

    def history() -> History:
        if not config.history_path.exists():  # opening it would make it
            raise HistoryError("nothing has been recorded yet")
        return History(config.history_path)

    @app.get("/summarystats")
    def summarystats() -> Response:
        with history() as records:
            key = master_size(records)
        return jsonify(summary.get(key, lambda: _summary(config)))

    @app.get("/diagnostics")
    def diagnostics() -> Response:
        with history() as records:
            return jsonify(
                missing_percent=last_missing(records),
                seconds=last_timings(records),
                packages=[asdict(package) for package in last_packages(records)],
            )


def _serve_ranking(app: Flask, config: Config) -> None:
    ranking = Remembered[pd.DataFrame]()

    def ranked() -> pd.DataFrame:
        try:
            stat = config.clientrisk_path.stat()
        except FileNotFoundError:
            raise HistoryError("no ranking has been written yet") from None
        key = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return ranking.get(key, lambda: _read_ranking(config))

    @app.get("/risk")
    def risk() -> Response:
        limit = request.args.get("limit", "50")
        if not (limit.isascii() and limit.isdigit() and 0 < int(limit) < 10**9):
            raise RequestError(400, "limit must be a whole number of at least 1")
        clients = ranked()
        return jsonify(
            total=len(clients), clients=clients.head(int(limit)).to_dict(orient="records")
        )

    @app.get("/risk/<path:client>")
    def client_risk(client: str) -> Response:
        clients = ranked()
        found = clients[clients["client"] == client]
        if found.empty:
            raise RequestError(404, "no client of that name is in the ranking")
        return jsonify(found.to_dict(orient="records")[0])


def _last_run(config: Config) -> dict[str, str | None] | None:
    if not config.history_path.exists():
        return None
    with History(config.history_path) as records:
        run = last_run(records)
    return asdict(run) if run else None


def _summary(config: Config) -> dict[str, dict[str, float | None]]:
    """Column -> mean, median, std; null where there are too few numbers to tell."""
    table = dataframe_summary(config)
    return {
        str(column): {str(k): None if pd.isna(v) else float(v) for k, v in row.items()}
        for column, row in table.iterrows()
    }


def _read_ranking(config: Config) -> pd.DataFrame:
    ranking = pd.read_csv(config.clientrisk_path, dtype={"client": "str"}, keep_default_na=False)
    ranking["client"] = [original(client) for client in ranking["client"]]
    return ranking


def _requested_rows(config: Config) -> ClientRows:
    """The client rows that a request to predict names or holds."""
    if request.method == "GET":
        return from_csv(
            named_file(request.args.get("filename", request.args.get("filepath")), config),
            config.schema,
        )
    if "file" in request.files:
        return from_csv(request.files["file"].read(), config.schema)
    if request.mimetype == "text/csv":
        return from_csv(request.get_data(), config.schema)
    if request.mimetype != "application/json":
        raise RequestError(415, 'send JSON, text/csv, or a CSV file as the form field "file"')
    asked = request.get_json()
    if isinstance(asked, dict):
        for key in ("filepath", "filename"):
            if key in asked:
                return from_csv(named_file(asked[key], config), config.schema)
        if "clients" in asked:
            return from_json(asked["clients"], config.schema)
    raise RequestError(422, 'expected an object with "filepath", "filename" or "clients"')


def _http_error(error: HTTPException) -> tuple[Response, int]:
    return jsonify(error=error.description or error.name), error.code or 500


def _pipeline_error(error: PipelineError) -> tuple[Response, int]:
    """A fault of the request in its own words; one of ours without our paths."""
    if isinstance(error, RequestError):
        return jsonify(error=str(error)), error.status
    log.error("%s %s: %s", request.method, request.path, error)
    if isinstance(error, HistoryError):
        return jsonify(error="not recorded yet: run the pipeline first"), 503
    if isinstance(error, DataError):
        return jsonify(error="the test data cannot be used; the server's log says why"), 503
    return jsonify(error="no release is live"), 503


def command(config: Config, args: argparse.Namespace) -> None:
    """Serve until interrupted."""
    check_address(args.host)
    create_app(config).run(host=args.host, port=args.port, threaded=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server from the command line."""
    parser = cli.stage_parser(__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to bind to")
    parser.add_argument("--port", type=int, default=8000, help="the port (default 8000)")
    return cli.run(command, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
