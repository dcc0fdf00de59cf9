"""The Flask API: predictions, scores, statistics, diagnostics and the ranking of clients.

It answers from the release that is live, and follows a redeploy without a restart. It binds to
127.0.0.1 unless told otherwise.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
from flask import Flask, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.routing import BaseConverter

from diagnostics import dataframe_summary
from pipeline import cli, replies
from pipeline.answers import prediction_json
from pipeline.clientrows import MOST_BYTES, RequestError, requested_rows
from pipeline.config import Config
from pipeline.database import open_recorded
from pipeline.door import open_door
from pipeline.driftrecords import Checked, last_checked
from pipeline.errors import NotRecordedError
from pipeline.guard import check_address
from pipeline.history import History, Scores, last_missing, last_packages, last_timings
from pipeline.inbox import list_input
from pipeline.latest import Latest, stamp
from pipeline.ledger import master_size
from pipeline.metrics import metrics_text
from pipeline.openapi import description
from pipeline.pages import open_pages
from pipeline.rankingreader import by_loss, has_losses, told_rows
from pipeline.releases import live_id
from pipeline.serving import LiveModel, Remembered
from pipeline.status import last_active, last_run
from pipeline.trends import MOST, MOST_TRENDS, trends
from scoring import scores_on_test_data


class AnyText(BaseConverter):
    """Whatever stands in a path from here on, slashes included: a client's name may hold them."""

    regex = ".+"
    part_isolating = False


def create_app(config: Config) -> Flask:
    """The API as a Flask application."""
    app = Flask(__name__, static_folder=None)
    app.config["DEBUG"] = False  # whatever FLASK_DEBUG says: nobody is to see a traceback
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.config["MAX_FORM_PARTS"] = 10
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["text"] = AnyText
    app.get("/openapi.json")(lambda: jsonify(description(config.schema)))
    live, latest = LiveModel(config), Latest(config)
    _serve_model(app, config, live)
    _serve_records(app, config)
    _serve_ranking(app, latest)
    _serve_trends(app, config)
    open_pages(app, config, live, latest)
    open_door(app, live, config.schema)
    replies.guard(app)  # last: what it adds to answers is for those of the door, too
    return app


def _serve_model(app: Flask, config: Config, live: LiveModel) -> None:
    scores = Remembered[Scores]()

    @app.route("/prediction", methods=["GET", "POST"])
    def prediction() -> Response:
        served = live.get()
        rows = requested_rows(config)
        scores = served.scorer.scores(rows.features)
        answer = prediction_json(scores, rows.bad, served.release.id)
        return Response(answer, content_type="application/json")

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
            **_runs(config),
        )

    @app.get("/ready")
    def ready() -> Response:
        return jsonify(status="ready", release=live.get().release.id)


def _serve_records(app: Flask, config: Config) -> None:
    summary = Remembered[dict[str, dict[str, float | None]]]()

    @app.get("/summarystats")
    def summarystats() -> Response:
        with _records(config) as records:
            key = (master_size(records), stamp(config.finaldata_path))
        return jsonify(summary.get(key, lambda: _summary(config)))

    @app.get("/diagnostics")
    def diagnostics() -> Response:
        with _records(config) as records:
            return jsonify(
                missing_percent=last_missing(records),
                seconds=last_timings(records),
                packages=[asdict(package) for package in last_packages(records)],
                drift=_drift(last_checked(records)),
            )


def _serve_trends(app: Flask, config: Config) -> None:
    @app.get("/history")
    def history() -> Response:
        limit = _limit(MOST, MOST_TRENDS)
        with _records(config) as records:
            return jsonify(asdict(trends(records, limit)))

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(metrics_text(config), content_type=CONTENT_TYPE_LATEST)


def _serve_ranking(app: Flask, latest: Latest) -> None:
    @app.get("/risk")
    def risk() -> Response:
        limit = _limit(50)
        clients = _sorted(latest.ranking(), request.args.get("sort", "risk"))
        return jsonify(total=len(clients), clients=told_rows(clients.head(limit)))

    @app.get("/risk/<text:client>")
    def client_risk(client: str) -> Response:
        clients = latest.ranking()
        found = clients[clients["client"] == client]
        if found.empty:
            raise RequestError(404, "no client of that name is in the ranking")
        return jsonify(told_rows(found)[0])

    @app.get("/movers")
    def movers() -> Response:
        return jsonify(latest.movers())


def _sorted(ranking: pd.DataFrame, by: str) -> pd.DataFrame:
    if by not in ("risk", "expected_loss"):
        raise RequestError(400, "sort must be risk or expected_loss")
    if by == "risk":
        return ranking
    if not has_losses(ranking):
        raise RequestError(400, "there is no expected_loss: config.json names no client_value")
    return by_loss(ranking)


def _records(config: Config) -> History:
    """The history, if there is one; raises `NotRecordedError`."""
    if history := open_recorded(config.history_path):
        return history
    raise NotRecordedError("nothing has been recorded yet")


def _drift(checked: Checked | None) -> dict[str, object] | None:
    """What the last drift check found; null before the first."""
    return asdict(checked) if checked else None


def _limit(default: int, most: int | None = None) -> int:
    """How many a request asks for."""
    limit = request.args.get("limit", str(default))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 10 and int(limit) > 0):
        raise RequestError(400, "limit must be a whole number of at least 1")
    if most and int(limit) > most:
        raise RequestError(400, f"limit must not be above {most:,}")
    return int(limit)


def _runs(config: Config) -> dict[str, object]:
    """The last run that had work, and when one last looked for some; null before the first."""
    records = open_recorded(config.history_path)
    if records is None:
        return {"last_run": None, "last_active": last_active(config, None)}
    with records:
        run, active = last_run(records), last_active(config, records)
    return {"last_run": asdict(run) if run else None, "last_active": active}


def _summary(config: Config) -> dict[str, dict[str, float | None]]:
    """Column -> mean, median, std; null where there are too few numbers to tell."""
    table = dataframe_summary(config)
    return {
        str(column): {str(k): float(v) if math.isfinite(v) else None for k, v in row.items()}
        for column, row in table.iterrows()
    }


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 2**16):
        raise argparse.ArgumentTypeError("expected a port, 0 to 65535")
    return int(text)


def command(config: Config, args: argparse.Namespace) -> None:
    """Serve until interrupted."""
    check_address(args.host)
    app = create_app(config)
    app.run(host=args.host, port=args.port, threaded=True, debug=False, load_dotenv=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server from the command line."""
    parser = cli.stage_parser(__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to bind to")
    parser.add_argument("--port", type=_port, default=8000, help="the port (default 8000)")
    return cli.run(command, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
