"""The client: what it asks of a live server and keeps, and how it says that it cannot."""

import json
from threading import Event

import pytest
from sandbox import Sandbox, client_rows
from servers import foreign, free_port, saying, serving

from pipeline.core.errors import PipelineError
from pipeline.registry.releases import live_id
from pipeline.web.api_client import call_api, default_file, release_served

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
    with serving(deployed.config) as url:
        result = deployed.run("apicalls", "--url", f"{url}/")
        expected = {answer.call: answer.body for answer in call_api(url, TEST_DATA)}

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


def test_the_url_of_the_config_is_the_default(deployed: Sandbox) -> None:
    with serving(deployed.config) as url:
        deployed.configure(api_url=url)
        result = deployed.run("apicalls")

    assert result.code == 0
    assert result.out.splitlines()[1] == f"GET {url}/scoring: 200"


def test_a_proxy_of_the_environment_is_not_asked(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(deployed.config) as url:
        assert deployed.run("apicalls", "--url", url).code == 0


def test_calls_take_neither_the_lock_nor_a_place_in_the_history(deployed: Sandbox) -> None:
    before = deployed.query("SELECT count(*) FROM runs")
    with serving(deployed.config) as url:
        deployed.run("apicalls", "--url", url)

    assert deployed.query("SELECT count(*) FROM runs") == before


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


def test_an_error_of_the_server_is_reported_with_its_status(source: Sandbox) -> None:
    with serving(source.config) as url:
        result = source.run("apicalls", "--url", url)

    found = f'error: POST {url}{PREDICTION}: status 503: {{"error":"no release is live"}}'
    assert (result.code, result.out, result.err.splitlines()[-1]) == (1, "", found)


def test_a_file_that_the_server_does_not_know_is_reported(deployed: Sandbox) -> None:
    with serving(deployed.config) as url:
        said = failed(deployed, "--url", url, "--file", "../secret.csv")

    assert said == (
        f'POST {url}/prediction {{"filepath": "../secret.csv"}}: status 404:'
        ' {"error":"no such client file in the test data or the input folder"}'
    )


@pytest.mark.parametrize("seconds", ["many", "", "0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_no_time_is_a_usage_error(deployed: Sandbox, seconds: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        deployed.run("apicalls", "--timeout", seconds)

    assert stopped.value.code == 2


# --- whose server is it? ---


def test_a_server_of_ours_tells_which_release_it_serves(deployed: Sandbox) -> None:
    with serving(deployed.config) as url:
        assert release_served(url) == live_id(deployed.config.prod_deployment_path)


@pytest.mark.parametrize(
    "body", ["<h1>It works!</h1>", "", "null", "[]", "{}", '"release"', '{"status": "ready"}']
)
def test_a_server_that_is_not_ours_serves_no_release(body: str) -> None:
    with foreign(saying(body)) as (url, asked):
        assert release_served(url) is None
    assert asked == ["GET /ready"]


def test_a_server_that_hangs_serves_no_release_after_the_time_limit() -> None:
    over = Event()
    with foreign(lambda _: over.wait(600) and None) as (url, _):
        assert release_served(url, seconds=0.2) is None
        over.set()
