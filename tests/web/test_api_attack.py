"""Callers who mean harm: whatever they send, the answer is a JSON error that tells them nothing."""

import ast
import gc
import gzip
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from flask.testing import FlaskClient
from gunicorns import gunicorn
from sandbox import PROJECT, Sandbox, within
from werkzeug.test import TestResponse

from app import create_app
from pipeline.web.app import HEADERS
from pipeline.web.auth import TOKEN_VARIABLE
from pipeline.web.request_rows import NAME_KEYS

MARKER = "M4rk3rOfARow"
FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
HEADER = ",".join(FEATURES)
CLIENT = dict.fromkeys(FEATURES, 20)
LIMIT = 64 * 2**20
JSON_LIMIT = 16 * 2**20


@pytest.fixture(autouse=True)
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


class Attacker:
    """A client that looks at all of every answer."""

    def __init__(self, world: Sandbox, client: FlaskClient) -> None:
        self.client = client
        self.secrets = [MARKER, str(world.root), str(PROJECT), sys.prefix, "/tmp/", "/etc/"]
        self.secrets += ["Traceback", 'File "', ".py", "Error(", "site-packages", "werkzeug"]

    def open(self, path: str, **request: Any) -> TestResponse:
        """Ask, and check what holds for every answer, right or wrong."""
        answer = self.client.open(path, **request)
        said = answer.text + str(answer.headers)
        assert [secret for secret in self.secrets if secret in said] == []
        assert {name: answer.headers.getlist(name) for name in HEADERS} == {
            name: [value] for name, value in HEADERS.items()
        }
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        if answer.data:
            assert answer.mimetype == "application/json"
            json.loads(answer.data, parse_constant=pytest.fail)
        if answer.status_code >= 400 and request.get("method") != "HEAD":
            assert list(answer.get_json()) == ["error"]
            assert isinstance(answer.get_json()["error"], str)
        return answer

    def post(self, body: str | bytes, content_type: str | None, **request: Any) -> int:
        """The status of a request to predict."""
        asked = {"method": "POST", "data": body, "content_type": content_type, **request}
        return self.open("/prediction", **asked).status_code

    def json(self, body: str | bytes) -> int:
        return self.post(body, "application/json")

    def csv(self, body: str | bytes) -> int:
        return self.post(body, "text/csv")


@pytest.fixture
def attacker(deployed: Sandbox) -> Attacker:
    return Attacker(deployed, create_app(deployed.config).test_client())


# --- file paths: one answer to all that is no client file, there or not ---


def hostile_names(root: Path) -> list[str]:
    """Names of things that are there, and beside each the like of it that is not."""
    plain = "testdata/testdata.csv"
    there = [
        "config.json",
        "history.db",
        "models/clientrisk.csv",
        "ingesteddata/finaldata.csv",
        "production_deployment/current/manifest.json",
        "secret.csv",
        "testdata/",
        ".hidden.csv",
        "notes.md",
        "folder.csv/inside.csv",
        "link.csv",
        "inside.csv",
        "loop.csv",
        "dangling.csv",
        "linked/clientrisk.csv",
        "pipe.csv",
        "zero.csv",
        "device.csv",
        "socket.csv",
        "testdata//testdata.csv",
        "./testdata.csv",
        "TESTDATA.CSV",
        "testdata.csv ",
        " testdata.csv",
        "testdata.csv.",
        "testdata.csv\n",
        "testdata.csv\0",
        "testdata.csv::$DATA",
        "testdata.csv?",
        "\uff54estdata.csv",  # a wide t
        "testdata\u2215testdata.csv",  # a slash that is none
    ]
    climbing = [
        "../testdata.csv",
        "..",
        f"../{root.name}/{plain}",
        f"testdata/../{plain}",
        "testdata/../sourcedata/a.csv",
        "....//testdata.csv",
        "../" * 20 + "etc/passwd",
        "../" * 20 + "etc/hosts.csv",
        *[f"{dots}/secret.csv" for dots in ("%2e%2e", "%252e%252e", "..%2f", "..%c0%af", ".%00.")],
        "..\\secret.csv",
        "testdata\\testdata.csv",
        "C:\\testdata.csv",
    ]
    absolute = [
        "/",
        "/etc/passwd",
        "/etc/nosuchfile",
        "/dev/zero",
        "/dev/fd/0",
        "/proc/self/environ",
        f"/{root / plain}",
        f"/{root.name}/{plain}",
        f"{root}/testdata.csv",
        f"{root}/testdata/../testdata/testdata.csv",
        str(root / "secret.csv"),
        "~/testdata.csv",
        "$HOME/testdata.csv",
    ]
    urls = [
        "file:///etc/passwd",
        f"file://{root / plain}",
        f"file:{plain}",
        "http://127.0.0.1:1/testdata.csv",
        "s3://bucket/testdata.csv",
        "data:text/csv,a",
    ]
    odd = ["", " ", ".", "*", "*.csv", "testdata/*.csv", "[a-z].csv", "-", "|id", "`id`.csv", "%00"]
    long = ["a" * 255 + ".csv", "a" * 300, "é" * 200 + ".csv", "a/" * 5000, "a" * 10**6]
    surrogates = ["\ud800.csv", "testdata/\udcff.csv"]
    names = [*there, *climbing, *absolute, *urls, *odd, *long, *surrogates]
    return names + [name.replace(".csv", "-nosuch.csv") for name in names if ".csv" in name]


@pytest.fixture
def besieged(deployed: Sandbox) -> Iterator[Sandbox]:
    """A project with all that may lie in or beside a folder of client files and is none."""
    row = [f"{MARKER},10,200,5,0"]
    for name in ("secret.csv", "testdata/.hidden.csv", "testdata/notes.md"):
        deployed.write(name, row)
    folder, root = deployed.root / "testdata", deployed.root
    deployed.write("testdata/folder.csv/inside.csv", row)
    (folder / "link.csv").symlink_to("../secret.csv")
    (folder / "inside.csv").symlink_to("testdata.csv")
    (folder / "loop.csv").symlink_to("loop.csv")
    (folder / "dangling.csv").symlink_to("nosuch.csv")
    (folder / "zero.csv").symlink_to("/dev/zero")
    (root / "linked").symlink_to("models")
    os.mkfifo(folder / "pipe.csv")
    with suppress(PermissionError):  # devices are made by root only
        os.mknod(folder / "device.csv", 0o644 | 0o020000, os.makedev(1, 5))
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(folder)  # the name of a socket has to be short
        bound.bind("socket.csv")
        os.chdir(here)
        yield deployed


def parts_of(answer: TestResponse) -> tuple[int, bytes, str]:
    return answer.status_code, answer.data, str(answer.headers)


NO_FILE = (404, "no such client file in the test data or the input folder")
NO_ROWS = (422, 'expected an object with "clients", a list for each feature, or the name of a')


@pytest.mark.parametrize(
    ("method", "key", "expected"),
    [
        *((method, key, NO_FILE) for method in ("GET", "POST") for key in NAME_KEYS),
        ("GET", "any", (400, "unknown parameter; known are filename, filepath")),
        ("POST", "any", NO_ROWS),
    ],
)
def test_whatever_is_no_client_file_gets_the_same_answer(
    besieged: Sandbox, method: str, key: str, expected: tuple[int, str]
) -> None:
    attacker = Attacker(besieged, create_app(besieged.config).test_client())
    answers = {}

    with within(600):
        for name in hostile_names(besieged.root):
            if method == "POST" and name.encode(errors="ignore").decode() != name:
                continue  # a JSON text cannot hold them
            if method == "POST":
                body = json.dumps({key: name})
                asked = {"data": body, "content_type": "application/json", "method": "POST"}
                answers[name] = parts_of(attacker.open("/prediction", **asked))
            else:
                text = quote(name.encode(errors="surrogatepass"), safe="")
                answers[name] = parts_of(attacker.open(f"/prediction?{key}={text}"))

    first = answers["/etc/nosuchfile"]
    assert first[0] == expected[0]
    assert json.loads(first[1])["error"].startswith(expected[1])
    assert {name for name, answer in answers.items() if answer != first} == set()
    assert len(answers) > 130


def test_a_folder_outside_the_config_s_serves_bare_names_and_whole_paths_only(
    deployed: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(deployed.root / "testdata/testdata.csv", elsewhere / "there.csv")
    deployed.configure(test_data_path=str(elsewhere))
    attacker = Attacker(deployed, create_app(deployed.config).test_client())

    statuses = [
        attacker.json(json.dumps({"filepath": name}))
        for name in (
            "there.csv",
            str(elsewhere / "there.csv"),
            f"/{elsewhere.name}/there.csv",
            os.path.relpath(elsewhere / "there.csv", deployed.root),
        )
    ]

    assert statuses == [200, 200, 404, 404]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_as_good_as_none(deployed: Sandbox) -> None:
    deployed.write("testdata/locked.csv", [f"{MARKER},10,200,5,0"]).chmod(0)
    client = create_app(deployed.config).test_client()

    assert Attacker(deployed, client).json('{"filename": "locked.csv"}') == 404


def test_a_file_that_is_larger_than_a_body_may_be_is_refused(deployed: Sandbox) -> None:
    with deployed.write("testdata/large.csv", f"{HEADER}\n").open("r+b") as file:
        file.truncate(LIMIT + 1)

    attacker = Attacker(deployed, create_app(deployed.config).test_client())

    assert attacker.json('{"filename": "large.csv"}') == 413


# --- limits ---

BOUNDARY = "multipart/form-data; boundary=xyz"
PART = 'Content-Disposition: form-data; name="file"; filename="a.csv"'


def form(*contents: str, part: str = PART) -> str:
    """A form of parts with these contents, as a browser sends it."""
    return "".join(f"--xyz\r\n{part}\r\n\r\n{text}\r\n" for text in contents) + "--xyz--\r\n"


def test_a_body_that_says_it_is_too_large_is_refused_unread(attacker: Attacker) -> None:
    most = {"application/json": JSON_LIMIT, "text/csv": LIMIT, BOUNDARY: LIMIT}
    for content_type, limit in most.items():
        length = {"CONTENT_LENGTH": str(limit + 1)}
        assert attacker.post(b"x", content_type, environ_overrides=length) == 413, content_type


def test_too_many_rows_are_refused(attacker: Attacker) -> None:
    many = f"{HEADER}\n" + "1,2,3\n" * 100_001

    assert attacker.json(json.dumps({name: [1] * 100_001 for name in FEATURES})) == 413
    assert attacker.csv(many) == 413
    assert attacker.csv(many.replace("1,2,3", f"{MARKER},2,3")) in (413, 422)
    assert attacker.post(form(many), BOUNDARY) == 413


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_too_many_lines_are_refused_though_they_are_no_rows(attacker: Attacker, end: str) -> None:
    assert attacker.csv(f"{HEADER}{end}1,2,3" + end * 1_000_001) == 413
    assert attacker.csv(f"{HEADER}{end}1,2,3" + end * 100_000) == 200


def test_as_many_rows_as_allowed_are_answered(attacker: Attacker) -> None:
    body = f"{HEADER}\n" + "1,2,3\n" * 100_000

    answer = attacker.open("/prediction", method="POST", data=body, content_type="text/csv")

    assert len(answer.get_json()["predictions"]) == 100_000


def test_too_many_columns_are_refused(attacker: Attacker, deployed: Sandbox) -> None:
    further = [f"c{i}" for i in range(998)]
    wide = f"{HEADER},{','.join(further)}\n1,2,3{',1' * 998}\n"
    deployed.write("testdata/wide.csv", wide)

    assert attacker.csv(wide) == 413
    assert attacker.json('{"filename": "wide.csv"}') == 413


def test_a_form_of_many_or_large_fields_is_refused(attacker: Attacker) -> None:
    field = 'Content-Disposition: form-data; name="field"'

    assert attacker.post(form(*[MARKER] * 11, part=field), BOUNDARY) == 413
    assert attacker.post(form(MARKER * 60_000, part=field), BOUNDARY) == 413


# --- requests that are none: the right 4xx for each ---

GOOD = json.dumps({"clients": [CLIENT]})
NESTED = '{"a":' * 100_000 + "1" + "}" * 100_000


def with_number(text: str) -> str:
    return GOOD.replace("20", text, 1)


BROKEN_JSON = [
    b"",
    b" ",
    b"\0",
    b"{",
    b"}",
    b"{'clients': []}",
    GOOD[:-1],
    GOOD + GOOD,
    GOOD + MARKER,
    MARKER,
    f'{{"{MARKER}": {MARKER}}}',
    f'{{"clients": ["{MARKER}]}}',
    f'{{"clients": ["{MARKER}\n"]}}',
    b'{"filename": "' + MARKER.encode() + b'\xff"}',
    *(GOOD.encode(coding) for coding in ("utf-16", "utf-32")),
    *map(with_number, ["NaN", "1e999"]),
    "é".encode("latin-1"),
    gzip.compress(GOOD.encode()),
    with_number("1" + "0" * 5_000),
    with_number("01"),
    with_number("1_000"),
    with_number("0x10"),
    with_number("1.0.0"),
    with_number("+1"),
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
    '{"clients":' * 100_000,
    NESTED,
    GOOD.replace("20", f"20{NESTED}", 1),
]
UNUSABLE_JSON = [
    *["{}", "[]", "null", "true", "5", '"testdata.csv"', "[[[[[[]]]]]]"],
    f'"{MARKER}"',
    f'{{"{MARKER}": "{MARKER}"}}',
    '{"Clients": []}',
    *[f'{{"clients": {value}}}' for value in ("[]", "{}", "null", "1", "true", '"all"', "[[]]")],
    f'{{"clients": "{MARKER}"}}',
    f'{{"clients": ["{MARKER}"]}}',
    f'{{"clients": [{{"{MARKER}": "{MARKER}"}}]}}',
    '{"clients": [{}]}',
    GOOD.replace("number_of_employees", "Number_of_employees"),
    *map(with_number, [f'"{MARKER}"', f'["{MARKER}"]', f'{{"{MARKER}": 1}}', '"20"', "true"]),
    *map(with_number, ["1e101", "-1" + "0" * 300]),
    GOOD.replace("}]", "}, null]"),
    "\ufeff{}",
]
NO_NAME = [f'{{"filename": {value}}}' for value in ("null", "1", "true", "[]", "{}")]
UNUSABLE_CSV = [
    b"",
    b"\n",
    b"\0",
    HEADER,
    f"{HEADER}\n",
    f"{HEADER}\n\n\n",
    MARKER,
    f"{MARKER}\n1\n",
    f"{MARKER},{MARKER},{MARKER}\n1,2,3\n",
    f"lastmonth_activity,note\n1,{MARKER}\n",
    f"{HEADER},lastmonth_activity\n1,2,3,{MARKER}\n",
    f"{HEADER}\n{MARKER},2,3\n",
    f"{HEADER}\n1,2\n{MARKER}\n",
    f'{HEADER}\n"{MARKER},2,3\n',
    f'{HEADER}\n"{MARKER}"x,2,3\n',
    f'{HEADER}\n1,2,"{MARKER}\n{MARKER}",4\n',
    f"{HEADER}\n{MARKER}\0,2,3\n",
    f"{HEADER}\n{MARKER}".encode() + b"\xff,2,3\n",
    f"{HEADER}\n{MARKER * 100_000},2,3\n",
    f"{HEADER};x\n1;2;3;{MARKER}\n",
    *[f"{HEADER}\n{value},2,3\n" for value in ("inf", "1e400", "1e308", "1_000", "0x10", "=1+1")],
    f"{HEADER}\n{MARKER},2,3\n".encode("utf-16"),
    f"{HEADER}\n{MARKER},2,3\n".encode("utf-32"),
    gzip.compress(f"{HEADER}\n{MARKER},2,3\n".encode()),
    b"PK\x03\x04" + MARKER.encode(),
]


@pytest.mark.parametrize(
    ("bodies", "status"),
    [(BROKEN_JSON, 400), (NO_NAME, 400), (UNUSABLE_JSON, 422)],
    ids=["broken", "no name", "unusable"],
)
def test_json_that_asks_for_nothing_gets_the_status_that_says_so(
    attacker: Attacker, bodies: list[str | bytes], status: int
) -> None:
    found = {body: attacker.json(body) for body in bodies}

    assert {body[:80]: said for body, said in found.items() if said != status} == {}


@pytest.mark.parametrize("way", ["body", "upload", "file"])
def test_csv_that_cannot_be_used_is_refused_without_a_word_of_it(
    deployed: Sandbox, attacker: Attacker, way: str
) -> None:
    found = {}
    for text in UNUSABLE_CSV:
        content = text.encode() if isinstance(text, str) else text
        if way == "body":
            found[text] = attacker.csv(content)
        elif way == "upload":
            named = PART.replace("a.csv", f"{MARKER}.csv")
            body = form("CONTENT", part=named).encode().replace(b"CONTENT", content)
            found[text] = attacker.post(body, BOUNDARY)
        else:
            (deployed.root / "testdata/asked.csv").write_bytes(content)
            found[text] = attacker.open("/prediction?filename=asked.csv").status_code

    assert {text[:80]: said for text, said in found.items() if said != 422} == {}


CONTENT_TYPES = [
    *[None, "", "text/plain", "application/xml", "text/html", "application/octet-stream"],
    *["application/x-www-form-urlencoded", "application/vnd.ms-excel", "text/x-yaml"],
    *["application/x-python-pickle", "application/yaml", "application/json-seq", "json"],
    *["application/problem+json", "*/*", "text/csv2", "\xff", "a" * 10_000],
]


def test_another_content_type_is_refused(attacker: Attacker) -> None:
    for content_type in CONTENT_TYPES:
        assert attacker.post(f"{MARKER}={MARKER}", content_type) == 415, content_type


def test_a_charset_that_is_not_so_is_found_out(attacker: Attacker) -> None:
    latin = f"{HEADER},ä\n1,2,3,{MARKER}\n".encode("latin-1")
    assert attacker.post(latin, "text/csv; charset=iso-8859-1") == 200
    assert attacker.post(latin, "text/csv; charset=utf-8") == 200
    wide = f"{HEADER}\n1,2,3\n".encode("utf-16")
    assert attacker.post(wide, "text/csv; charset=latin-1") == 200
    named = '{"filename": "ä.csv"}'.encode("latin-1")
    assert attacker.post(named, "application/json; charset=iso-8859-1") == 400
    assert attacker.post(GOOD, "application/json; charset=nosuch") == 200
    assert attacker.post(GOOD, "application/json; charset=\x80") == 200


NO_UPLOADS = [
    ("", BOUNDARY),
    ("", "multipart/form-data"),
    (MARKER, BOUNDARY),
    (MARKER, "multipart/form-data; boundary="),
    (MARKER, "multipart/form-data; boundary=\xff"),
    (f"--xyz\r\n{PART}\r\n\r\n{MARKER}", BOUNDARY),
    (f"--xyz\r\n{PART}\r\n\r\n{MARKER}\r\n--abc--\r\n", BOUNDARY),
    (f"--xyz\r\n{PART}\r\n{MARKER}\r\n--xyz--\r\n", BOUNDARY),
    (f"--xyz\r\n{PART.replace('file', 'other', 1)}\r\n\r\n{MARKER}\r\n--xyz--\r\n", BOUNDARY),
    (f"--xyz\r\n{PART.split('; filename')[0]}\r\n\r\n{MARKER}\r\n--xyz--\r\n", BOUNDARY),
    (f"--xyz\r\n{PART}\r\n\r\n{MARKER}\r\n--xyz--\r\n", BOUNDARY),
    (f"--xyz\r\n\r\n{MARKER}\r\n--xyz--\r\n", BOUNDARY),
    ("--xyz--\r\n", BOUNDARY),
    ("--xyz\r\n" * 1000, BOUNDARY),
    (f"{PART}\r\n" * 10_000, BOUNDARY),
]


@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning")
def test_an_upload_that_is_none_is_refused(attacker: Attacker) -> None:
    for body, content_type in NO_UPLOADS:
        assert attacker.post(body, content_type) in (413, 415, 422), body
    gc.collect()  # what the parser of forms leaves open when it gives up


ALLOWED = {"/prediction": {"GET", "HEAD", "OPTIONS", "POST"}} | {
    path: {"GET", "HEAD", "OPTIONS"}
    for path in (
        *["/scoring", "/summarystats", "/diagnostics", "/risk", "/risk/nobody"],
        *["/movers", "/health", "/ready", "/openapi.json"],
    )
}
METHODS = {"POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"}


def test_a_wrong_method_is_refused_with_the_right_ones(attacker: Attacker) -> None:
    for path, allowed in ALLOWED.items():
        for method in METHODS - allowed:
            answer = attacker.open(path, method=method, data=MARKER)
            assert answer.status_code == 405
            assert set(answer.headers["Allow"].split(", ")) == allowed
        options = attacker.open(path, method="OPTIONS")
        assert (options.status_code, options.data) == (200, b"")
        assert set(options.headers["Allow"].split(", ")) == allowed


def test_head_is_get_without_a_body(attacker: Attacker) -> None:
    asked = ["/health", "/ready", "/scoring", "/risk", "/risk/nobody", "/nope", "/risk?limit=0"]
    for path in [
        *asked,
        "/prediction",
        "/prediction?filename=testdata.csv",
        "/prediction?filename=..",
    ]:
        head, get = attacker.open(path, method="HEAD"), attacker.open(path)
        assert (head.status_code, head.data) == (get.status_code, b"")
        assert head.headers == get.headers


NOWHERE = [
    *[
        "/nope",
        f"/{MARKER}",
        f"/risk/{MARKER}",
        f"/risk//{MARKER}",
        "/risk/",
        "/risk//",
    ],
    *["/static/app.py", "/app.py", "/.git/config", "/config.json", "/history.db", "/console"],
    *[
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/risk/../../etc/passwd",
    ],
    *["/risk/%00", "/risk/%ff", "/risk/a%0d%0aSet-Cookie:x", "/risk/" + "a" * 100_000],
    *["/risk/{{7*7}}", "/risk/'%20OR%201=1--", "/health/", "/HEALTH", "/prediction/", "/Risk"],
    *["/openapi.yaml", "/openapi.json/", "/favicon.ico", "/robots.txt", "/%F0%9F%92%A5"],
]


def test_an_unknown_address_is_not_found_and_not_repeated(attacker: Attacker) -> None:
    for path in NOWHERE:
        assert attacker.open(path).status_code == 404, path


def test_an_address_of_many_slashes_is_not_sent_elsewhere(attacker: Attacker) -> None:
    paths = {"//health": 200, "///risk": 200, "//risk//client00063": 404, "/risk///": 404}
    paths |= {"//example.org/health": 404, "/\\example.org": 404, "/health//": 404}
    for path, status in paths.items():
        answer = attacker.open("/", environ_overrides={"PATH_INFO": path})
        assert (answer.status_code, answer.headers.get("Location")) == (status, None), path


NO_LIMITS = [
    *["0", "-1", "1.5", "many", "", "%205", "%C2%B2", "0x10", "NaN", "inf", MARKER],
    *["9" * 5_000, "9" * 10, "0" * 10, "5%00", "5;", "%ff"],
]


def test_a_limit_that_is_no_whole_number_is_refused(attacker: Attacker) -> None:
    for limit in NO_LIMITS:
        assert attacker.open(f"/risk?limit={limit}").status_code == 400, limit


ODD_HEADERS = [
    *[{"Host": host} for host in ("a b", "\xff", ":::", "a:99999", "", "a/b", "[::1", MARKER)],
    {"Host": "x" * 70_000},
    {"Content-Length": "-1"},
    {"Content-Length": MARKER},
    {"Content-Length": "9" * 400},
    {"Transfer-Encoding": MARKER},
    {"Content-Encoding": "gzip"},
    {"Cookie": f"{MARKER}={MARKER}; \xff"},
    {"X-HTTP-Method-Override": "DELETE", "X-Forwarded-Host": MARKER, "Forwarded": MARKER},
    {"Accept": MARKER, "Accept-Charset": "utf-16", "Accept-Encoding": "x"},
    {"Range": "bytes=0-1", "If-None-Match": "*", "If-Modified-Since": MARKER},
    {"Authorization": "Bearer \xff"},
    {"Authorization": f"Basic {MARKER}"},
]


def test_odd_headers_do_no_harm(attacker: Attacker) -> None:
    for headers in ODD_HEADERS:
        assert attacker.open("/health", headers=headers).status_code in (200, 400, 413, 421)
        asked = attacker.open("/prediction", method="POST", data=GOOD, headers=headers)
        assert asked.status_code in (200, 400, 413, 421)


def test_numbers_at_the_edge_are_answered_by_a_model_of_small_ones(sandbox: Sandbox) -> None:
    columns = {"client": "c", "outcome": "y", "numeric": ["a", "b"]}
    rows = [f"c{i},{i % 17 / 1000},{i % 13 / 1000},{int(i % 17 > 8)}" for i in range(100)]
    sandbox.configure(schema=columns)
    for name in ("sourcedata/a.csv", "testdata/testdata.csv"):
        sandbox.write(name, rows, "c,a,b,y")
    for stage in ("ingestion", "training", "scoring", "deployment"):
        assert sandbox.run(stage).code == 0
    attacker = Attacker(sandbox, create_app(sandbox.config).test_client())

    for a, b in ((1e100, 1e100), (-1e100, 1e100), (1e-320, -0.0)):
        assert attacker.json(json.dumps({"clients": [{"a": a, "b": b}]})) == 200
        assert attacker.csv(f"a,b\n{a!r},{b!r}\n") == 200
    assert attacker.json('{"clients": [{"a": 9e307, "b": 9e307}]}') == 422
    assert attacker.csv("a,b\n9e307,9e307\n") == 422


# --- faults of the server's own ---


@pytest.mark.parametrize("debug", ["0", "1"])
def test_a_bug_is_answered_without_what_it_says(
    deployed: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    debug: str,
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", debug)
    app = create_app(deployed.config)

    def broken() -> None:
        raise RuntimeError(f"{MARKER} in {deployed.root}")

    app.view_functions["api.health"] = broken
    answer = app.test_client().get("/health")

    assert (answer.status_code, list(answer.get_json())) == (500, ["error"])
    assert MARKER not in answer.text + str(answer.headers)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert f"RuntimeError: {MARKER}" in caplog.text


def garbage(path: Path) -> None:
    path.write_bytes(MARKER.encode() * 100)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [garbage, folder])
@pytest.mark.parametrize(
    ("file", "asked"),
    [
        ("history.db", ["/health", "/summarystats", "/diagnostics", "/movers"]),
        ("models/clientrisk.csv", ["/risk", "/risk/nobody"]),
        ("ingesteddata/finaldata.csv", ["/summarystats"]),
        ("testdata/testdata.csv", ["/scoring"]),
        ("production_deployment/current", ["/health", "/ready", "/scoring"]),
    ],
)
def test_a_damaged_file_of_the_server_s_is_reported_in_its_log_only(
    deployed: Sandbox,
    caplog: pytest.LogCaptureFixture,
    file: str,
    asked: list[str],
    damage: Callable[[Path], None],
) -> None:
    path = deployed.root / file
    if path.is_symlink():
        path.unlink()
        path.touch()
    damage(path)
    attacker = Attacker(deployed, create_app(deployed.config).test_client())

    found = {address: attacker.open(address).status_code for address in asked}

    assert found == dict.fromkeys(asked, 503)
    assert [record.levelname for record in caplog.records] == ["ERROR"] * len(asked)


# --- nothing that is sent is run ---

API = ["wsgi.py", "pipeline/core/schema.py", "pipeline/registry/live_model.py"]
API += [f"pipeline/web/{name}.py" for name in ("api", "app", "auth", "openapi", "request_rows")]
API += ["pipeline/data/csv_reader.py", "pipeline/data/features.py"]
API += ["pipeline/models/scorer.py"]
RUNS_WHAT_IT_READS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
RUNS_WHAT_IT_READS |= {"jinja2", "mako", "subprocess", "importlib", "runpy", "code"}
CALLS = {"eval", "exec", "__import__", "read_pickle", "query", "system", "render_template"}
CALLS |= {"render_template_string", "from_string", "Template", "send_file", "send_from_directory"}


def names_in(path: Path) -> tuple[set[str], set[str]]:
    """The modules a file imports, and the last part of the name of all it calls."""
    modules, calls = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
            calls |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call):
            calls.add(ast.unparse(node.func).rpartition(".")[2])
    return modules, calls


@pytest.mark.parametrize("file", API)
def test_what_answers_requests_knows_nothing_that_runs_what_it_reads(file: str) -> None:
    modules, calls = names_in(PROJECT / file)

    assert modules & RUNS_WHAT_IT_READS == set()
    assert calls & CALLS == set()


# --- under gunicorn, where bodies come in pieces ---


def send(url: str, head: str, pieces: Iterator[bytes] | list[bytes]) -> tuple[int, bytes]:
    """Send raw HTTP until the server answers; returns the status and the body of its answer."""
    place = urlsplit(url)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 80), timeout=600) as connection:
        with suppress(OSError):  # it may answer and hang up before all is sent
            connection.sendall(
                f"{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")
            )
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionError):
            while more := connection.recv(65_536):
                received += more
    headers, _, body = received.partition(b"\r\n\r\n")
    assert b"Traceback" not in received
    return int(headers.split()[1]), body


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


CHUNKED = "POST /prediction HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: {}"


def check_what_is_no_http(url: str) -> None:
    """Such a request is refused and does not end the server."""
    for head in (
        MARKER,
        "GET",
        "GET /health HTTP/9.9",
        "GET /" + "a" * 100_000 + " HTTP/1.1",
        "GET /health HTTP/1.1\r\nX: " + "a" * 100_000,
        "GET /health HTTP/1.1\r\n" + "X: a\r\n" * 10_000,
        "G\xffT /health HTTP/1.1",
        "POST /prediction HTTP/1.1\r\nContent-Length: -1",
        "POST /prediction HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
        "POST /prediction HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "POST /prediction HTTP/1.1\r\nTransfer-Encoding: nosuch",
    ):
        assert 400 <= send(url, head, [])[0] <= 505, head[:60]
    assert send(url, "GET /health HTTP/1.1", [])[0] == 200


def test_a_real_server_outlives_bodies_in_pieces_and_what_is_no_http(deployed: Sandbox) -> None:
    csv, as_json = CHUNKED.format("text/csv"), CHUNKED.format("application/json")
    upload = CHUNKED.format("multipart/form-data; boundary=xyz")
    large = [chunk(b"1,2,3,%s\n" % (b"x" * 2**16)) * 16] * 65  # 65 MiB in few rows
    small = [chunk(f"{HEADER}\n1,2,3\n".encode()), chunk(b"4,5,6\n"), b"0\r\n\r\n"]
    start = chunk(f"--xyz\r\n{PART}\r\n\r\n{HEADER}\n".encode())

    with gunicorn(deployed) as url, within(600):
        answered, body = send(url, csv, small)
        assert (answered, len(json.loads(body)["predictions"])) == (200, 2)
        for head, pieces in (
            (csv, [chunk(f"{HEADER},note\n".encode()), *large]),
            (as_json, [chunk(b'{"clients": ['), *large]),
            (upload, [start, *large]),
        ):
            status, body = send(url, head, pieces)
            assert (status, list(json.loads(body))) == (413, ["error"]), head
        said = csv.replace("Transfer-Encoding: chunked", f"Content-Length: {LIMIT + 1}")
        assert send(url, said, [])[0] == 413
        for broken in ([b"zz\r\n\r\n"], [b"5\r\nab"], [chunk(b"a"), b"-1\r\n\r\n"], [b""]):
            status, body = send(url, as_json, broken)
            assert (status, list(json.loads(body))) == (400, ["error"]), broken
        assert send(url, csv, small)[0] == 200
        check_what_is_no_http(url)
