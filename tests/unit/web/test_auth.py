"""Who may ask: the token, and the address that a server without one may listen on."""

import ast
import inspect
import json
import os
import re
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient
from gunicorns import gunicorn, refused
from sandbox import PROJECT, Sandbox
from servers import free_port, serving, wait_until

from app import create_app
from pipeline.core.errors import PipelineError
from pipeline.web.app import HEADERS
from pipeline.web.auth import (
    TOKEN_VARIABLE,
    api_token,
    authorized,
    check_address,
    is_loopback,
    listening_hosts,
)

TOKEN = "s3cret-T0ken~!"
WHY = "refusing to serve on {} without a token: set RISK_API_TOKEN, or bind to 127.0.0.1"


@pytest.fixture(autouse=True)
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    return TOKEN


@pytest.fixture
def client(deployed: Sandbox, token: str) -> FlaskClient:
    assert token
    return create_app(deployed.config).test_client()


# --- the token ---


@pytest.mark.parametrize(
    "value", [" ", "two words", "end\n", " start", "tab\t", "línea", "日本", "\x7f", "\udcff"]
)
def test_a_token_that_no_header_could_carry_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, value)

    with pytest.raises(PipelineError) as error:
        api_token()

    expected = "RISK_API_TOKEN must be of visible ASCII characters, without spaces"
    assert str(error.value) == expected


def test_stages_tell_a_token_that_no_header_could_carry(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "two words")

    for stage, args in (("apicalls", ("--url", "http://127.0.0.1:1")), ("app", ())):
        result = deployed.run(stage, *args)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("error: RISK_API_TOKEN must be")
        assert result.err.count("\n") == 1


WRONG = [
    "",
    " ",
    "Bearer",
    "Bearer ",
    TOKEN,
    f"Bearer {TOKEN} ",
    f"Bearer  {TOKEN}",
    f" Bearer {TOKEN}",
    f"Bearer\t{TOKEN}",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    f"Bearer {TOKEN.upper()}",
    f"Bearer {TOKEN}, Bearer {TOKEN}",
    f'Bearer "{TOKEN}"',
    f"Token {TOKEN}",
    f"Basic {TOKEN}",
    f"Bearer{TOKEN}",
    f"Bearer {TOKEN}\0",
    "Bearer \xff\xfe",
    "Bearer " + "é" * 5_000,
    "Bearer " + "a" * 10**6,
    "Digest username=a",
    "\x80",
]


RIGHT = [f"Bearer {TOKEN}", f"bearer {TOKEN}"]
RIGHT += [f"Basic {b64encode(user + TOKEN.encode()).decode()}" for user in (b":", b"\xfc:", b"x:")]


@pytest.mark.parametrize("header", RIGHT)
def test_a_header_with_the_token_is_authorized(header: str) -> None:
    assert authorized(header, TOKEN)


@pytest.mark.parametrize("header", [None, *WRONG])
def test_any_other_header_is_not(header: str | None) -> None:
    assert not authorized(header, TOKEN)


def test_the_token_is_compared_in_constant_time() -> None:
    tree = ast.parse(inspect.getsource(authorized))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]

    assert "hmac.compare_digest" in calls
    assert not any(isinstance(node, ast.Compare | ast.Match) for node in ast.walk(tree))
    source = (PROJECT / "pipeline/web/app.py").read_text(encoding="utf-8")
    compared = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Compare)]
    assert not any("token" in ast.unparse(node) for node in compared)


METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]
GUARDED = [
    *["/prediction", "/scoring", "/summarystats", "/diagnostics", "/risk", "/risk/nobody"],
    *[
        "/movers",
        "/effect",
        "/history",
        "/metrics",
        "/ready",
        "/openapi.json",
        "/",
        "/nope",
        "/static/app.py",
        "/favicon.ico",
    ],
    *["//health", "/health/", "/health/x", "/HEALTH", "/health%2f", "/./health", "/risk/../health"],
    *["/health%20", "/health%00", "/health;x", "/risk//health", "/prediction?x=/health"],
    *("/clients", "/client", "/score", "/ranking.csv", "/report", "/report.pdf", "/docs"),
    *("/page.css", "/page.js", "/contacts", "/client/contact", "/client/undo"),
    *("/page.css", "/page.js", "/model", "/operations", "/operations/requests"),
]


def test_every_route_is_among_those_tried(deployed: Sandbox) -> None:
    rules = {
        rule.rule.partition("/<")[0] for rule in create_app(deployed.config).url_map.iter_rules()
    }

    assert rules - {"/health"} <= set(GUARDED)


def test_every_address_but_health_asks_for_the_token(client: FlaskClient) -> None:
    for path, method in product(GUARDED, METHODS):
        answer = client.open(path, method=method, data="x")
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        if method != "HEAD":
            assert answer.get_json() == {
                "error": "send the API's token: Authorization: Bearer …",
            }


def test_what_only_looks_like_health_asks_too(client: FlaskClient) -> None:
    for path in ("/health\0", "\\health", "/health//", "", "/./health", "/x/../health"):
        answer = client.get("/", environ_overrides={"PATH_INFO": path})
        assert answer.status_code == 401, path


def test_health_asks_for_none(client: FlaskClient) -> None:
    assert client.get("/health").status_code == 200
    assert client.head("/health").status_code == 200
    assert client.get("/health?x=y").status_code == 400
    assert client.post("/health").status_code == 405


def test_health_tells_nobody_without_a_token_which_files_there_are(
    deployed: Sandbox, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("testdata.csv", "nosuch.csv"):
        assert client.get(f"/health?x={name}").status_code == 400
    monkeypatch.delenv(TOKEN_VARIABLE)
    free = create_app(deployed.config).test_client()
    assert free.get("/health?x=testdata.csv").status_code == 200


def test_with_the_token_an_address_answers_as_without_one(
    deployed: Sandbox, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE)
    free = create_app(deployed.config).test_client()

    for path, method in product(GUARDED, METHODS):
        result = {"Authorization": f"Bearer {TOKEN}"}
        own = {"Host": "localhost"}  # in `//health` it would be taken for another
        with_token = client.open(path, method=method, headers=result | own)
        without = free.open(path, method=method, headers=own)
        assert with_token.status_code == without.status_code != 401
        ages = re.compile(rb"(_age_seconds) .*")  # which grow
        assert ages.sub(rb"\1", with_token.data) == ages.sub(rb"\1", without.data)


def test_a_token_elsewhere_than_in_the_header_does_not_count(client: FlaskClient) -> None:
    elsewhere = {"X-API-Key": TOKEN, "Proxy-Authorization": f"Bearer {TOKEN}"}
    client.set_cookie("token", TOKEN)
    client.set_cookie("Authorization", f"Bearer {TOKEN}")
    asked = [
        client.get(f"/ready?token={TOKEN}&access_token={TOKEN}"),
        client.get(f"/ready/{TOKEN}"),
        client.get("/ready", headers=elsewhere),
        client.post("/prediction", json={"token": TOKEN}),
        client.post("/prediction", data={"access_token": TOKEN}),
    ]

    assert [answer.status_code for answer in asked] == [401] * 5


@pytest.mark.usefixtures("token")
def test_any_bytes_in_the_header_are_401_over_a_real_port(deployed: Sandbox) -> None:
    with serving(deployed.config) as url:
        port = int(url.rpartition(":")[2])
        for value in (
            b"Bearer \xff\xfe\x80",
            b"\xe9",
            b"Bearer " + "日本".encode(),
            b"Bearer \x01",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=600) as connection:
                request = b"GET /ready HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n" % value
                connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert connection.makefile("rb").readline().split()[1] == b"401", value


# --- those who ask us with it ---


@pytest.mark.usefixtures("token")
def test_apicalls_sends_the_token(deployed: Sandbox) -> None:
    with serving(deployed.config) as url:
        result = deployed.run("apicalls", "--url", url)

    assert (result.code, result.err) == (0, "")
    assert [line.rpartition(" ")[2] for line in result.out.splitlines()[:4]] == ["200"] * 4
    assert TOKEN not in result.out + (deployed.root / "models/apireturns.txt").read_text()


@pytest.mark.usefixtures("token")
def test_fullprocess_asks_its_own_server_with_the_token(source: Sandbox) -> None:
    result = source.run("fullprocess")

    assert result.code == 0, result.err
    found = (source.root / "models/apireturns2.txt").read_text()
    assert found.count("status 200\n") == 4
    assert TOKEN not in found + result.out + result.err


# --- the address ---

LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "unix:///run/clientrisk.sock"]
OPEN = ["0.0.0.0", "::", "[::]", "0", "", "192.168.0.1", "10.0.0.1", "fe80::1", "8.8.8.8"]
OPEN += ["127.0.0.1.example.org", "localhost.example.org", "example.org", "1270.0.0.1", "*", "any"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    check_address(host)


@pytest.mark.parametrize("host", OPEN)
def test_any_other_address_needs_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_loopback(host)
    with pytest.raises(PipelineError) as error:
        check_address(host)
    assert str(error.value) == WHY.format(host or "every address")

    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    check_address(host)


def test_what_a_process_listens_on_is_found_and_nothing_else(tmp_path: Path) -> None:
    before = listening_hosts()
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("0.0.0.0", 0)),
        socket.socket() as bound,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as local,
        socket.create_connection(one.getsockname()),
        (tmp_path / "file").open("w"),
    ):
        bound.bind(("0.0.0.0", 0))
        datagrams.bind(("0.0.0.0", 0))
        local.bind(str(tmp_path / "s"))
        local.listen()
        now = listening_hosts()

    assert sorted(now) == sorted([*before, "127.0.0.1", "0.0.0.0"])
    assert listening_hosts() == before


def test_app_refuses_an_open_address_in_one_line(deployed: Sandbox) -> None:
    result = deployed.run("app", "--host", "0.0.0.0", "--port", str(free_port()))

    assert (result.code, result.out, result.err) == (1, "", f"error: {WHY.format('0.0.0.0')}\n")


@pytest.mark.parametrize("port", ["-1", "65536", "http", "8" * 5000, ""])
def test_app_refuses_a_port_that_is_none(deployed: Sandbox, port: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        deployed.run("app", "--port", port)

    assert stopped.value.code == 2
    assert "expected a port, 0 to 65535" in deployed.capsys.readouterr().err


@contextmanager
def app_by_hand(world: Sandbox, *args: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "app.py", "--config", str(world.root / "config.json"), *args],
        cwd=PROJECT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def asked(url: str, token: str | None = None) -> int:
    """The status of /ready there, 0 as long as nobody answers."""
    result = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return requests.get(f"{url}/ready", headers=result, timeout=600).status_code
    except requests.RequestException:
        return 0


@pytest.mark.slow
def test_app_serves_an_open_address_with_a_token_and_debugs_nothing(deployed: Sandbox) -> None:
    port = free_port()
    variables = {TOKEN_VARIABLE: TOKEN, "FLASK_DEBUG": "1"}
    with app_by_hand(deployed, "--host", "0.0.0.0", "--port", str(port), **variables):
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: asked(url))
        assert (asked(url), asked(url, TOKEN)) == (401, 200)
        console = requests.get(f"{url}/console?__debugger__=yes", timeout=600)

    assert console.status_code == 401


# --- gunicorn, whichever way it gets the address ---

ANY = "0.0.0.0:PORT"
SLOW = [
    (["--bind", ANY, "--preload"], {}, "0.0.0.0"),
    ([], {"GUNICORN_CMD_ARGS": f"--bind={ANY}"}, "0.0.0.0"),
    ([], {"PORT": "PORT"}, "0.0.0.0"),
    (["--bind", "[::]:PORT"], {}, "::"),
    (["--bind", "127.0.0.1:PORT", "--bind", "0.0.0.0:0"], {}, "0.0.0.0"),
    (["--preload", "--workers", "3"], {"PORT": "PORT"}, "0.0.0.0"),
    (["--bind", ANY, "--threads", "4"], {}, "0.0.0.0"),
    (["--bind", ANY], {TOKEN_VARIABLE: ""}, "0.0.0.0"),
]


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("args", "variables", "host"),
    [
        (["--bind", ANY], {}, "0.0.0.0"),
        *[pytest.param(*case, marks=pytest.mark.slow) for case in SLOW],
    ],
)
def test_gunicorn_refuses_an_open_address_and_says_why(
    deployed: Sandbox, args: list[str], variables: dict[str, str], host: str
) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    port = str(free_port())
    words = [word.replace("PORT", port) for word in args]
    result = {name: value.replace("PORT", port) for name, value in variables.items()}

    code, log = refused(deployed, *words, **result)

    assert code != 0
    lines = set(log.splitlines())
    assert f"error: {WHY.format(host)}" in lines
    if "--workers" not in args:  # several leave at once: gunicorn may add a traceback of its own
        assert "Traceback" not in log
        assert log.count("error: ") == 1


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        (
            {"RISK_CONFIG": "/nosuch/config.json"},
            "error: /nosuch/config.json: there is no such file",
        ),
        pytest.param(
            {TOKEN_VARIABLE: "two words"},
            "error: RISK_API_TOKEN must be of visible ASCII",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_gunicorn_tells_in_one_line_what_else_keeps_it_from_starting(
    deployed: Sandbox, variables: dict[str, str], why: str
) -> None:
    code, log = refused(deployed, "--bind", f"127.0.0.1:{free_port()}", **variables)

    assert code != 0
    assert [line[: len(why)] for line in log.splitlines() if line[:6] == "error:"] == [why]
    assert "Traceback" not in log


@pytest.mark.slow
def test_gunicorn_serves_an_open_address_with_a_token(deployed: Sandbox) -> None:
    with gunicorn(deployed, "--bind", ANY, "--preload", **{TOKEN_VARIABLE: TOKEN}) as url:
        assert (asked(url), asked(url, TOKEN)) == (401, 200)


@pytest.mark.slow
@pytest.mark.parametrize("args", [["--preload", "--workers", "3"], ["--threads", "4"]])
def test_gunicorn_serves_loopback_without_a_token(deployed: Sandbox, args: list[str]) -> None:
    with gunicorn(deployed, *args) as url:
        assert asked(url) == 200


@pytest.mark.slow
@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_gunicorn_serves_a_unix_socket_without_a_token(
    deployed: Sandbox, preload: list[str], tmp_path: Path
) -> None:
    place = tmp_path / "s"
    binds = ["--bind", "127.0.0.1:PORT", "--bind", f"unix:{place}"]
    with gunicorn(deployed, *binds, *preload), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place))
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == "ready"
