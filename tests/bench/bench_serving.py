"""How fast predictions are served, beside an empty Flask route and the plain way with DataFrames.

Runs the chain on the sample data in a temporary place, with a logistic model and with a boosted
one, and starts gunicorns of the same settings: our API; a Flask app whose route answers {}; and the
plain way, a Flask app that makes a DataFrame of each request and asks the pickled model for
predictions and probabilities. A worker has one thread for the trees of scikit-learn: with one a
core, as they come, those of two workers wait for each other, and the plain way for seconds. All get
the same requests from the same clients over raw sockets, in rounds that take turns, and the medians
over the rounds are reported: requests a second, the times of an answer in ms, and the CPU that the
workers took for a request in ms. Budget: of one client, 0.6 of the requests a second that the empty
route answers. Run it from the project's folder:

    python -m tests.bench.bench_serving [--rounds 7] [--seconds 2] [--workers 2] [--clients 2]
"""

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter, sleep

import pandas as pd

from pipeline.core.config import load_config
from tests.bench.measuring import first_world

PROJECT = Path(__file__).resolve().parents[2]
ROWS = 10_000
EMPTY_GET = "empty route, GET"
BOOSTED = ", boosted"  # of a model, where it is not logistic
PACKAGES = ("flask", "gunicorn", "numpy", "msgspec", "pandas", "scikit-learn")

EMPTY = """
from flask import Flask

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def empty():
    return {}
"""

PLAIN = """
import io
import os
import pickle
from pathlib import Path

import pandas as pd
from flask import Flask, jsonify, request

app = Flask(__name__)
model = pickle.loads(Path(os.environ["MODEL"]).read_bytes())


@app.post("/csv")
def csv():
    return answer(pd.read_csv(io.BytesIO(request.get_data())))


@app.post("/json")
def json():
    return answer(pd.DataFrame(request.get_json()["clients"]))


def answer(frame):
    features = frame[model.feature_names_in_]
    risk = model.predict_proba(features)[:, 1]
    return jsonify(predictions=model.predict(features).tolist(), risk=risk.tolist())
"""


@dataclass(frozen=True)
class Question:
    """A way to ask, and what it is compared with."""

    name: str
    server: str
    request: bytes
    against: str | None = None


@dataclass(frozen=True)
class Round:
    """What one round of a question took."""

    rate: float  # requests a second
    cpu: float  # of the workers, ms a request
    median: float  # ms until the whole answer is there
    p99: float


@dataclass
class Server:
    """A gunicorn with its workers."""

    port: int
    process: "subprocess.Popen[bytes]"

    def cpu(self) -> float:
        """The seconds of CPU that the workers have taken so far."""
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        stats = [
            file for pid in tasks.split() for file in Path(f"/proc/{pid}/task").glob("*/schedstat")
        ]
        return sum(int(file.read_text().split()[0]) for file in stats) / 1e9


@contextmanager
def gunicorn(module: str, folder: Path, workers: int, **variables: str) -> Iterator[Server]:
    """A gunicorn that serves the `app` of a module in a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", f"{module}:app", "--log-level", "error"]
    process = subprocess.Popen(
        [*command, "--bind", f"127.0.0.1:{port}", "--workers", str(workers)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )
    try:
        yield Server(port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def asked(port: int, request: bytes) -> bytes:
    """The answer to a request on a connection of its own, as gunicorn's sync workers have it."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def until_it_answers(port: int, request: bytes, times: int) -> bytes:
    """Ask until a server has started, and then so often that every worker is warm."""
    for _ in range(600):
        with suppress(OSError):
            if asked(port, request).startswith(b"HTTP/1.1 "):
                break
        sleep(0.1)
    for _ in range(times):
        answer = asked(port, request)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"no good answer: {answer[:300]!r}")
    return answer


def one_round(server: Server, request: bytes, clients: int, seconds: float) -> Round:
    """Ask from so many clients at once for so many seconds."""
    times: list[float] = []

    def client() -> None:
        while (start := perf_counter()) < end:
            if not asked(server.port, request).startswith(b"HTTP/1.1 200"):
                raise SystemExit("an answer was not good")
            times.append(perf_counter() - start)

    before, started = server.cpu(), perf_counter()
    end = started + seconds
    threads = [Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, cpu = perf_counter() - started, server.cpu() - before
    return Round(
        rate=len(times) / took,
        cpu=1000 * cpu / len(times),
        median=1000 * median(times),
        p99=1000 * quantiles(times, n=100)[-1],
    )


def post(path: str, body: bytes, content_type: str) -> bytes:
    """A request with a body, as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def questions(place: Path) -> list[Question]:
    """What is asked of whom: one client, then all as CSV and as JSON."""
    schema = load_config(place / "config.json").schema
    files = sorted((place / "sourcedata").glob("*.csv"))
    table = pd.concat([pd.read_csv(file) for file in files])[list(schema.columns)].head(ROWS)
    features = table[list(schema.features)]
    clients: list[dict[str, float | None]] = json.loads(features.to_json(orient="records"))
    one = json.dumps({"clients": clients[:1]}).encode()
    many = json.dumps({"clients": clients}).encode()
    csv, whole = features.to_csv(index=False).encode(), table.to_csv(index=False).encode()
    get = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    as_json, as_csv = "application/json", "text/csv"
    asked_for = [
        Question(EMPTY_GET, "empty route", get),
        Question("empty route, the same POST", "empty route", post("/", one, as_json)),
        *both("1 client", one, as_json, against=EMPTY_GET),
        *both("CSV", csv, as_csv),
        *both("CSV of all columns", whole, as_csv),
        *both("JSON", many, as_json),
    ]
    for name, body, kind in (("1 client", one, as_json), ("CSV", csv, as_csv)):
        asked_for += both(name, body, kind, model=BOOSTED)
    return [*asked_for, *both("JSON", many, as_json, model=BOOSTED)]


def both(
    name: str, body: bytes, kind: str, *, model: str = "", against: str | None = None
) -> list[Question]:
    """A question to the plain way and to ours, which is compared with that or with another."""
    plain = f"plain{model}, {name}"
    path = "/json" if kind == "application/json" else "/csv"
    return [
        Question(plain, f"plain{model}", post(path, body, kind), against),
        Question(
            *(f"ours{model}, {name}", f"ours{model}", post("/prediction", body, kind)),
            against or plain,
        ),
    ]


def same_answers(ours: bytes, plain: bytes) -> bool:
    """Whether two answers predict the same."""
    result, expected = (json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in (ours, plain))
    near = [abs(a - b) <= 5e-7 for a, b in zip(result["risk"], expected["risk"], strict=True)]
    return bool(result["predictions"] == expected["predictions"] and all(near))


def table(asked_for: Sequence[Question], rounds: dict[str, list[Round]]) -> list[str]:
    """Questions down; medians across, at last how many times the rate and less the CPU it is."""

    def middle(name: str, what: str) -> float:
        return median(getattr(one, what) for one in rounds[name])

    def ratio(question: Question, what: str) -> str:
        """The median over the rounds of the ratio within each, which took turns."""
        if question.against not in rounds:
            return ""
        pairs = zip(rounds[question.name], rounds[question.against], strict=True)
        return f"{median(getattr(a, what) / getattr(b, what) for a, b in pairs):.2f}"

    heads = ["requests a second", "CPU ms", "median ms", "p99 ms"]
    compared = ["against", "rate", "CPU", "p99"]
    rows = [["question", *heads, *compared]]
    for question in asked_for:
        found = [middle(question.name, what) for what in ("rate", "cpu", "median", "p99")]
        values = [f"{found[0]:,.0f}", *(f"{value:.2f}" for value in found[1:])]
        ratios = [ratio(question, what) for what in ("rate", "cpu", "p99")]
        rows.append([question.name, *values, question.against or "", *ratios])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    text = {0, rows[0].index("against")}
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if i in text else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in rows
    ]
    marks = ["-" * w if i in text else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return [lines[0], "| " + " | ".join(marks) + " |", *lines[1:]]


def machine() -> str:
    """What it ran on."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} CPUs"
    return f"{platform.machine()}, {os.cpu_count()} CPUs"


def measured(
    asked_for: Sequence[Question], servers: dict[str, Server], args: argparse.Namespace
) -> dict[str, list[Round]]:
    """Question -> its rounds, each taking its turn after the others."""
    rounds: dict[str, list[Round]] = defaultdict(list)
    for number in range(args.rounds):
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
        for question in asked_for:
            server = servers[question.server]
            rounds[question.name].append(
                one_round(server, question.request, args.clients, args.seconds)
            )
    return rounds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--seconds", type=float, default=2, metavar="S")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument("--clients", type=int, default=2, metavar="N")
    parser.add_argument("--only", nargs="+", default=[""], help="questions whose name holds a text")
    args = parser.parse_args(argv)
    with TemporaryDirectory(prefix="serving-") as folder, ExitStack() as running:
        place = Path(folder)
        for name, text in (("empty", EMPTY), ("plain", PLAIN)):
            (place / f"{name}.py").write_text(text)
        started = {"empty route": gunicorn("empty", place, args.workers)}
        for kind, of in (("logistic", ""), ("boosting", BOOSTED)):
            config = first_world(place / kind, model=kind)
            model = str(config.prod_deployment_path / "trainedmodel.pkl")
            started |= {
                f"plain{of}": gunicorn("plain", place, args.workers, MODEL=model),
                f"ours{of}": gunicorn("wsgi", PROJECT, args.workers, RISK_CONFIG=str(config.path)),
            }
        asked_for = questions(place / "logistic")
        servers = {name: running.enter_context(server) for name, server in started.items()}
        answers = {
            question.name: until_it_answers(servers[question.server].port, question.request, 40)
            for question in asked_for
        }
        for name, answer in answers.items():
            plain = answers[name.replace("ours", "plain")]
            if name.startswith("ours") and not same_answers(answer, plain):
                raise SystemExit(f"{name}: the answers differ")
        asked_for = [one for one in asked_for if any(text in one.name for text in args.only)]
        rounds = measured(asked_for, servers, args)
    print("\n".join(table(asked_for, rounds)))
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print(f"\n{ROWS:,} clients where it is not one, {args.workers} workers, {args.rounds} rounds")
    print(f"Python {platform.python_version()}, {versions}; {machine()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
