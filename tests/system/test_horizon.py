"""The horizon of the live model: named wherever a risk is shown, and trained for as it is set."""

import io

import pytest
from html_reading import Read
from sandbox import HEADER, NOISE, Sandbox, client_rows, schema_keys

from app import create_app
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.registry.releases import live_release


@pytest.fixture
def dated(sandbox: Sandbox) -> Sandbox:
    """A project whose rows have a day, and whose live model says who leaves within 30 days."""
    sandbox.configure(
        schema={**schema_keys(DEFAULT_SCHEMA), "date": "day"},
        horizon_days=30,
        report_formats=["html"],
    )
    for name, first in (("sourcedata/a.csv", 0), ("testdata/testdata.csv", 900)):
        rows = client_rows(first, 120, noise=NOISE)
        then = [f"{row[:-1]}0,2026-01-01" for row in rows]
        later = [f"{row},2026-{'01-20' if row.endswith(',1') else '06-01'}" for row in rows]
        sandbox.write(name, [*then, *later], f"{HEADER},day")
    return sandbox


def test_it_is_named_wherever_a_risk_is_shown_and_is_that_of_the_live_model(dated: Sandbox) -> None:
    run = dated.run("fullprocess")
    assert run.code == 0, run.err
    assert "clients, highest risk of leaving within 30 days first\n" in run.out
    dated.configure(horizon_days=60)

    assert ", predicts who leaves within 30 days\n" in dated.run("fullprocess", "--status").out
    card = live_release(dated.config.prod_deployment_path).path / "modelcard.md"
    assert "| predicts | who leaves within 30 days |" in card.read_text()
    report = Read((dated.root / "models/report.html").read_text()).words
    assert "The risk is the probability of leaving within 30 days." in report
    assert "At high risk of leaving within 30 days" in report
    client = create_app(dated.config).test_client()
    first = client.get("/risk?limit=1").get_json()
    name = first["clients"][0]["client"]
    for path in (f"/risk/{name}", "/risk", "/prediction?filename=testdata.csv"):
        assert client.get(path).get_json()["horizon_days"] == 30
    for path in ("/", "/clients"):
        words = Read(client.get(path).text).words
        assert "The risk is the probability of leaving within 30 days." in words
    assert "Risk of leaving within 30 days" in Read(client.get(f"/client?name={name}").text).words
    file = io.BytesIO((dated.root / "testdata/testdata.csv").read_bytes())
    scored = client.post("/score", data={"file": (file, "a.csv")}).text
    assert "predicted to leave within 30 days." in scored


def test_where_the_config_sets_another_one_the_next_run_trains_for_it(dated: Sandbox) -> None:
    assert dated.run("fullprocess").code == 0
    former = live_release(dated.config.prod_deployment_path)
    dated.configure(horizon_days=60)

    run = dated.run("fullprocess")

    assert run.code == 0, run.err
    now = live_release(dated.config.prod_deployment_path)
    assert (now.previous, now.horizon_days) == (former.id, 60)
    assert run.out.splitlines()[1] == (
        "not enough evidence: config.json means something else by leaving than when"
        f" {former.id} was trained: trained on {now.model.rows} rows and deployed {now.id}"
    )
    assert dated.run("fullprocess").out == "nothing new in sourcedata\n"
