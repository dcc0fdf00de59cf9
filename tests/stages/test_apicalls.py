"""The client: what it asks of a live server and keeps, and how it says that it cannot."""

import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest
from sandbox import Sandbox, client_rows, within
from servers import foreign, free_port, saying, serving

from pipeline.core.errors import PipelineError
from pipeline.registry.releases import live_release
from pipeline.web.api_client import MAX_BYTES, ApiError, call_api, default_file, prove
from pipeline.web.auth import TOKEN_VARIABLE

TEST_DATA = "testdata.csv"


def sections(text: str) -> dict[str, tuple[str, dict[str, object]]]:
    """Call -> status line and answer, out of the file that the client writes."""
    found = {}
    for section in text.removeprefix("## ").split("\n## "):
        call, status, body = section.split("\n", 2)
        found[call] = (status, json.loads(body))
    return found


# --- a live server of ours ---


def test_the_four_answers_are_kept_each_under_its_call(deployed: Sandbox) -> None:
    production = deployed.config.prod_deployment_path
    with serving(deployed.config) as url:
        result = deployed.run("apicalls", "--url", f"{url}/")
        expected = {answer.call: answer.body for answer in call_api(url, TEST_DATA, production)}

    calls = [
        f'POST {url}/prediction {{"filepath": "testdata.csv"}}',
        f"GET {url}/scoring",
        f"GET {url}/summarystats",
        f"GET {url}/diagnostics",
    ]
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [*(f"{call}: 200" for call in calls), "models/apireturns.txt"]
    kept = sections((deployed.root / "models/apireturns.txt").read_text())
    assert list(kept) == calls
    assert kept == {call: ("status 200", body) for call, body in expected.items()}


def test_the_output_and_the_file_to_predict_can_be_named(deployed: Sandbox) -> None:
    deployed.write("testdata/März.csv", client_rows(0, 3))
    with serving(deployed.config) as url:
        result = deployed.run(
            *("apicalls", "--url", url, "--output", "mine.txt", "--file", "März.csv")
        )

    assert result.out.splitlines()[-1] == "models/mine.txt"
    kept = list(sections((deployed.root / "models/mine.txt").read_text()).values())
    assert kept[0][1]["predictions"] == [1, 1, 0]
    assert not (deployed.root / "models/apireturns.txt").exists()


def test_a_proxy_of_the_environment_is_not_asked(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(deployed.config) as url:
        assert deployed.run("apicalls", "--url", url).code == 0


def test_without_a_name_the_first_file_of_the_test_data_is_predicted(deployed: Sandbox) -> None:
    deployed.write("testdata/another.csv", client_rows(0, 3))
    deployed.write("testdata/.hidden.csv", client_rows(0, 3))

    assert default_file(deployed.config.test_data_path) == "another.csv"


def test_test_data_without_a_file_are_a_clear_error(deployed: Sandbox) -> None:
    (deployed.root / "testdata/testdata.csv").unlink()

    with pytest.raises(PipelineError) as error:
        default_file(deployed.config.test_data_path)

    expected = f"{deployed.root / 'testdata'}: holds no .csv file to ask a prediction for"
    assert str(error.value) == expected


# --- no server, another server, a slow server ---


def failed(world: Sandbox, *args: str) -> str:
    """The one line of a run that fails as expected and writes nothing."""
    before = world.files()
    result = world.run("apicalls", *args)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert world.files() == before
    return result.err.removeprefix("error: ").rstrip("\n")


PREDICTION = '/prediction {"filepath": "testdata.csv"}'


def test_a_server_that_is_not_there_is_one_clear_line(deployed: Sandbox) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    assert failed(deployed, "--url", url) == (
        f"POST {url}{PREDICTION}: no server answers there (ConnectionError)"
    )


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "nonsense"])
def test_an_address_that_is_none_is_one_clear_line(deployed: Sandbox, url: str) -> None:
    assert failed(deployed, "--url", url).startswith(
        f"POST {url.rstrip('/')}{PREDICTION}: no server"
    )


def test_a_server_that_does_not_answer_in_time_is_one_clear_line(deployed: Sandbox) -> None:
    over = Event()
    with foreign(lambda _: over.wait(600) and None) as (url, asked):
        said = failed(deployed, "--url", url, "--timeout", "0.2")
        over.set()

    assert said == f"POST {url}{PREDICTION}: no answer within 0.2 seconds"
    assert asked == ["POST /prediction"]


@pytest.mark.parametrize(
    ("body", "content_type"), [("<h1>It works!</h1>", "text/html"), ("", "application/json")]
)
def test_a_server_that_does_not_speak_json_is_one_clear_line(
    deployed: Sandbox, body: str, content_type: str
) -> None:
    with foreign(saying(body, content_type=content_type)) as (url, _):
        assert failed(deployed, "--url", url) == (
            f"POST {url}{PREDICTION}: the answer is not JSON; is this the right server?"
        )


def test_a_server_that_answers_other_json_is_one_clear_line(deployed: Sandbox) -> None:
    with foreign(saying("[1, 2]")) as (url, _):
        assert failed(deployed, "--url", url) == f"POST {url}{PREDICTION}: status 200: [1, 2]"


def test_an_error_of_the_server_is_reported_with_its_status(source: Sandbox) -> None:
    with serving(source.config) as url:
        result = source.run("apicalls", "--url", url)

    found = f'error: POST {url}{PREDICTION}: status 503: {{"error":"no release is live"}}'
    assert (result.code, result.out, result.err.splitlines()[-1]) == (1, "", found)


def test_a_long_error_is_cut_short(deployed: Sandbox) -> None:
    body = json.dumps({"error": "x" * 10_000})
    with foreign(saying(body, status=500)) as (url, _):
        assert failed(deployed, "--url", url) == f"POST {url}{PREDICTION}: status 500: {body[:200]}"


@pytest.mark.parametrize("seconds", ["many", "", "0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_no_time_is_a_usage_error(deployed: Sandbox, seconds: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        deployed.run("apicalls", "--timeout", seconds)

    assert stopped.value.code == 2


# --- whose server is it? ---

TOKEN = "s3cret"


def proves(world: Sandbox, url: str, seconds: float = 600) -> str:
    """Why a server has not proved to be ours; empty if it has."""
    try:
        prove(url, live_release(world.config.prod_deployment_path), seconds)
    except ApiError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_server_of_ours_proves_which_release_it_serves(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    with serving(deployed.config) as url:
        assert proves(deployed, url) == ""
        release = live_release(deployed.config.prod_deployment_path)
        other = replace(release, model=replace(release.model, sha256="0" * 64))
        with pytest.raises(ApiError, match="does not prove that it serves 000001-"):
            prove(url, other)


@pytest.mark.parametrize(
    "body", ["<h1>It works!</h1>", "", "null", "[]", "{}", '{"status": "ok", "proof": null}']
)
def test_a_server_that_is_not_ours_is_not_sent_the_token(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    sent: list[str] = []

    def listen(handler: BaseHTTPRequestHandler) -> None:
        sent.append(str(handler.headers))
        saying(body)(handler)

    with foreign(listen) as (url, asked):
        failed(deployed, "--url", url)

    assert [request.partition("?")[0] for request in asked] == ["GET /health"]
    assert TOKEN not in "".join(sent)


def test_the_token_is_not_sent_to_another_machine_in_the_open(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with serving(deployed.config) as url:
        elsewhere = url.replace("127.0.0.1", "0.0.0.0")
        why = f"{elsewhere}: the token is sent to another machine by https:// only"
        assert failed(deployed, "--url", elsewhere) == why
        monkeypatch.delenv(TOKEN_VARIABLE)
        assert "status 401" in failed(deployed, "--url", elsewhere)


def test_a_redirect_is_not_followed(deployed: Sandbox) -> None:
    with foreign(saying("{}")) as (elsewhere, asked):

        def redirect(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", f"{elsewhere}{handler.path}")
            handler.end_headers()

        with foreign(redirect) as (url, _):
            assert "the answer is not JSON" in failed(deployed, "--url", url)
            assert "the answer is not JSON" in proves(deployed, url)

    assert asked == []


def test_a_server_that_drips_is_left_after_the_time_limit(deployed: Sandbox) -> None:
    over = Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.02):
            handler.wfile.write(b" ")

    with foreign(drip) as (url, _), within(600):
        said = failed(deployed, "--url", url, "--timeout", "0.3")
        assert "no answer within 0.3 seconds" in proves(deployed, url, 0.3)
        over.set()

    assert said == f"POST {url}{PREDICTION}: no answer within 0.3 seconds"


@pytest.mark.parametrize("status", [200, 302])
def test_an_endless_answer_is_left_at_the_limit_of_size(deployed: Sandbox, status: int) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", "/elsewhere")
        handler.end_headers()
        while True:
            handler.wfile.write(b" " * 2**16)

    with foreign(flood) as (url, _), within(600):
        said = failed(deployed, "--url", url)

    assert said == f"POST {url}{PREDICTION}: the answer has more than {MAX_BYTES:,} bytes"
