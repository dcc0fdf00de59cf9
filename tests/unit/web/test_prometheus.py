import math

from prometheus_client.parser import text_string_to_metric_families
from sandbox import Sandbox, client_rows

from app import create_app
from pipeline.registry.releases import live_release
from pipeline.web.prometheus import metrics_text

Samples = dict[tuple[str, str], float]


def scraped(world: Sandbox) -> Samples:
    """(metric, its label's value) -> value, read by Prometheus' own parser."""
    text = metrics_text(world.config)
    return {
        (sample.name.removeprefix("clientrisk_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_settled_project_tells_its_state(settled: Sandbox) -> None:
    release = live_release(settled.config.prod_deployment_path)
    found = scraped(settled)
    assert found["release", release.id] == 1
    assert found["f1", ""] == release.f1
    assert found["threshold", ""] == 0.5
    assert found["rows", ""] == 120
    assert found["missing_percent", "lastmonth_activity"] == 0
    assert [found[name, ""] for name in ("files_new", "files_pending", "files_rejected")] == [0] * 3
    seconds = dict(settled.query("SELECT stage, seconds FROM timings"))
    assert {stage: found["stage_seconds", stage] for stage in seconds} == seconds
    outcomes = {outcome: found["last_run", outcome] for outcome in ("done", "failed", "unended")}
    assert outcomes == {"done": 1, "failed": 0, "unended": 0}
    for name in ("release_age_seconds", "last_run_age_seconds", "last_active_age_seconds"):
        assert -1 < found[name, ""] < 3600
    assert ("drift", "raw") not in found  # no batch was judged yet


def test_the_last_drift_check_is_reported(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", client_rows(300, 400, flipped=True))
    assert settled.run("fullprocess").code == 0
    found = scraped(settled)
    assert (found["drift", "raw"], found["drift", "bootstrap"]) == (1, 1)
    assert math.isnan(found["drift", "parametric"])
    ((f1,),) = settled.query("SELECT new_f1 FROM decisions WHERE drift_test IS NOT NULL")
    assert found["batch_f1", ""] == f1
    ((drifted,),) = settled.query("SELECT count(*) FROM input_drift WHERE verdict = 'drift'")
    assert found["input_drift_features", ""] == drifted
    ((told,),) = settled.query("SELECT count(*) FROM input_drift WHERE news = 'told'")
    assert found["input_drift_told", ""] == told


def test_what_waits_is_reported(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", client_rows(200, 60))
    settled.write("sourcedata/d.csv", "who,what\nAcme,1\n")
    settled.write("sourcedata/e.csv", "no,header\nof,ours\n")
    assert scraped(settled)["files_new", ""] == 3
    assert settled.run("ingestion").code == 0
    found = scraped(settled)
    counts = [found[name, ""] for name in ("files_new", "files_pending", "files_rejected")]
    assert counts == [0, 1, 2]


def test_a_failed_run_is_reported(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", client_rows(200, 60))
    (settled.root / "testdata/testdata.csv").unlink()
    assert settled.run("fullprocess").code == 1
    assert scraped(settled)["last_run", "failed"] == 1


def test_before_anything_ran_there_is_little_to_tell(sandbox: Sandbox) -> None:
    assert set(scraped(sandbox)) == {
        *((f"files_{kind}", "") for kind in ("new", "pending", "rejected", "held")),
    }
    assert not sandbox.config.history_path.exists()


def test_all_servers_tell_the_same(settled: Sandbox) -> None:
    texts = set()
    for _ in range(2):
        answer = create_app(settled.config).test_client().get("/metrics")
        assert answer.status_code == 200
        assert answer.content_type.startswith("text/plain; version=")
        texts.add("\n".join(line for line in answer.text.splitlines() if "_age_" not in line))
    assert len(texts) == 1
