"""What is expected of a batch without outcomes, and the true scores once they are there."""

from prometheus_client.parser import text_string_to_metric_families
from sandbox import Sandbox, client_rows

from app import create_app
from pipeline.reporting.overview import CANNOT_SEE


def test_a_batch_without_outcomes_has_expected_scores_and_later_the_true_ones_beside_them(
    settled: Sandbox,
) -> None:
    settled.configure(report_formats=["html"])
    settled.write("sourcedata/c.csv", client_rows(300, 120, outcome=""))
    assert settled.run("fullprocess").code == 0
    settled.write("sourcedata/d.csv", client_rows(300, 120, flipped=True))
    assert settled.run("fullprocess").code == 0

    client = create_app(settled.config).test_client()
    before, after = client.get("/history").get_json()["expected"]
    assert [(one["labelled"], one["rows"]) for one in (before, after)] == [(0, 120), (0, 120)]
    assert before["true_f1"] is before["true_roc_auc"] is before["true_average_precision"] is None
    expected = [key for key in before if key.startswith(("f1", "roc_auc", "average_precision"))]
    assert len(expected) == 9
    assert {key: after[key] for key in expected} == {key: before[key] for key in expected}
    ((f1,),) = settled.query(
        "SELECT new_f1 FROM decisions WHERE labelled = 120 AND rows = 120"
        " AND verdict <> 'nothing deployed'"
    )
    assert after["true_f1"] == f1 < after["f1_low"] <= after["f1"] <= after["f1_high"]
    ((auc, precision),) = settled.query(
        "SELECT roc_auc, average_precision FROM scores WHERE data = 'new rows'"
    )
    assert (after["true_roc_auc"], after["true_average_precision"]) == (auc, precision)

    samples = {
        (sample.name, sample.labels.get("score")): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    for name in ("batch_expected", "labelled_expected"):
        assert samples[f"clientrisk_{name}", "f1"] == after["f1"]
        assert samples[f"clientrisk_{name}_low", "roc_auc"] == after["roc_auc_low"]
        assert samples[f"clientrisk_{name}_high", "roc_auc"] == after["roc_auc_high"]
    assert samples["clientrisk_labelled_true", "average_precision"] == precision

    report = (settled.root / "models/report.html").read_text(encoding="utf-8")
    for text in (client.get("/model").text, report):
        assert f"{f1:.3f} below" in text
        assert CANNOT_SEE in text


def test_only_the_columns_that_may_be_reasons_are_some_everywhere(settled: Sandbox) -> None:
    settled.configure(reasons_from=["lastyear_activity"], report_formats=["html"])
    settled.write("sourcedata/c.csv", client_rows(300, 40))
    assert settled.run("fullprocess").code == 0

    client = create_app(settled.config).test_client()
    answered = client.get("/risk?limit=1000").get_json()["clients"]
    reasons = {reason.partition(" activity ")[0] for one in answered for reason in one["reasons"]}
    assert reasons == {"last year's"}
    upload = (settled.root / "sourcedata/c.csv").open("rb")
    scored = client.post("/score", data={"file": (upload, "c.csv"), "as": "csv"}).text
    report = (settled.root / "models/report.html").read_text(encoding="utf-8")
    for text in (client.get("/").text, scored, report):
        assert "last year&#39;s activity" in text or "last year's activity" in text
        assert ", usual" in text
        assert "number of employees" not in text.replace("number_of_employees", "")
