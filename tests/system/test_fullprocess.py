"""The chain: what it decides on each kind of input, what it records, how it gets over a kill."""

import csv
import pickle
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd
import pytest
from sandbox import SHARED, SIMPLE, Result, Sandbox, client_rows, needs_shared
from servers import foreign, saying, serving
from sklearn.metrics import f1_score

from pipeline.monitoring.decisions import Decision
from pipeline.registry.releases import Release, live_id, live_release
from pipeline.storage.database import History
from pipeline.storage.records import Checked, last_checked, record_decision
from pipeline.web.app import create_app

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
NOTHING_NEW = "nothing new in sourcedata\n"
STABLE = client_rows(300, 60)
DRIFTED = client_rows(300, 400, flipped=True)
TOO_FEW_TO_LEARN = client_rows(300, 60, flipped=True)
BATCHES = {"stable": STABLE, "drifted": DRIFTED, "too few to learn": TOO_FEW_TO_LEARN}
REJECTED = "corporation,lastmonth_activity\nAcme,1\n"
WHY_REJECTED = (
    "rejected: it lacks the column lastyear_activity, number_of_employees;"
    " it has corporation, lastmonth_activity; python ingestion.py --check FILE proposes a schema"
)
BAD_ROW = "Bad Ltd,many,300,50,0"


def live(world: Sandbox) -> Release:
    return live_release(world.config.prod_deployment_path)


def decisions(world: Sandbox) -> list[Decision]:
    names = [field.name for field in fields(Decision)]
    rows = world.query(f"SELECT {', '.join(names)} FROM decisions ORDER BY id")
    found = [Decision(**dict(zip(names, row, strict=True))) for row in rows]
    unset = {"challenger": None, "first_file": None, "last_file": None, "data_until": None}
    return [replace(one, **unset) for one in found]


def interval(decision: Decision) -> tuple[float, float]:
    """The recorded interval of the difference of both models, which the difference lies in."""
    low, high = decision.difference_low, decision.difference_high
    assert decision.champion_f1 is not None
    assert decision.challenger_f1 is not None
    assert low is not None
    assert high is not None
    assert low < decision.challenger_f1 - decision.champion_f1 < high
    return low, high


def runs(world: Sandbox) -> list[tuple[str, str | None, str | None]]:
    return world.query("SELECT command, outcome, detail FROM runs ORDER BY id")


def f1_of(world: Sandbox, release: Release, *names: str) -> float:
    """The F1 of a release on client files, by nothing but pandas, pickle and scikit-learn."""
    model = pickle.loads((release.path / "trainedmodel.pkl").read_bytes())
    frame = pd.concat([pd.read_csv(world.root / name) for name in names])
    return float(f1_score(frame["exited"], model.predict(frame[FEATURES])))


def ranked(world: Sandbox) -> dict[str, str]:
    """The clients in the ranking, each with the release that ranked it."""
    with (world.root / "models/clientrisk.csv").open() as file:
        return {row["client"]: row["release"] for row in csv.DictReader(file)}


def by_hand(world: Sandbox, *stages: str) -> None:
    for stage in stages:
        result = world.run(stage)
        assert result.code == 0, result.err


def production(world: Sandbox) -> dict[str, tuple[bytes, int]]:
    files, stamps = world.files(), world.stamps()
    return {n: (files[n], stamps[n]) for n in files if n.startswith("production_deployment/")}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """What the runs that several tests look at have said."""
    return {}


Run = Callable[[], Result]
RunOn = Callable[[str], Result]


def _once(
    world: Sandbox, kept: Path, results: dict[str, Result], run: Callable[[], Result]
) -> Result:
    """Run something on a world, or put in its place what the same run left of the same world."""
    if kept.name in results:
        shutil.rmtree(world.root)
        shutil.copytree(kept, world.root, symlinks=True)
    else:
        results[kept.name] = run()
        shutil.copytree(world.root, kept, symlinks=True)
    return results[kept.name]


@pytest.fixture
def first_run(source: Sandbox, kept_worlds: Path, results: dict[str, Result]) -> Run:
    """Give `source` its first run."""
    return lambda: _once(source, kept_worlds / "first", results, lambda: source.run("fullprocess"))


@pytest.fixture
def run_on(settled: Sandbox, kept_worlds: Path, results: dict[str, Result]) -> RunOn:
    """Give `settled` a run on one more file, c.csv, of one of the BATCHES."""

    def run(batch: str) -> Result:
        settled.write("sourcedata/c.csv", BATCHES[batch])
        return settled.run("fullprocess")

    return lambda batch: _once(settled, kept_worlds / batch, results, lambda: run(batch))


@pytest.fixture
def practised(settled: Sandbox, kept_worlds: Path, results: dict[str, Result]) -> Result:
    """Give `settled` a practice run, with a server that is not ours at the api_url."""

    def run() -> Result:
        settled.write("practicedata/p.csv", client_rows(500, 60))
        with foreign(saying("{}")) as (url, asked):
            settled.configure(api_url=url)
            result = settled.run("fullprocess", "--practice")
        assert asked == []
        return result

    return _once(settled, kept_worlds / "practised", results, run)


# --- the first run ---


def test_the_first_run_says_what_it_took_in_deployed_and_made(
    source: Sandbox, first_run: Run
) -> None:
    result = first_run()

    release = live(source)
    assert result.code == 0
    assert result.out.splitlines() == [
        "a.csv: 60 new of 60 rows",
        "b.csv: 60 new of 60 rows",
        "ingesteddata/finaldata.csv: 120 rows",
        f"nothing deployed: trained on 120 rows and deployed {release.id}",
        "production_deployment/trainedmodel.pkl"
        f"  the live model, release {release.id}, F1 {release.f1:.4f} on the test data",
        "ingesteddata/finaldata.csv              all unique client rows",
        "models/clientrisk.csv                   64 clients, highest risk first",
        "models/movers.csv                       no ranking before to compare with",
        "models/confusionmatrix2.png             the live model on the test data",
        "models/apireturns2.txt                  what the API answers",
    ]


def test_the_first_run_leaves_every_file_it_names(settled: Sandbox) -> None:
    made = {name for name in settled.files() if not name.startswith(("testdata", "sourcedata"))}

    release = f"production_deployment/releases/{live(settled).id}"
    ((sightings,),) = settled.query("SELECT log_file FROM master")
    assert made == {
        "config.json",
        "history.db",
        "ingesteddata/.finaldata.csv.states",
        f"ingesteddata/.finaldata.csv.{sightings}.sightings",
        "ingesteddata/finaldata.csv",
        "ingesteddata/ingestedfiles.txt",
        "models/.history",
        "models/apireturns2.txt",
        "models/clientrisk.csv",
        "models/confusionmatrix2.png",
        "models/latestscore.txt",
        "models/manifest.json",
        "models/movers.csv",
        "models/reference.json",
        "models/trainedmodel.pkl",
        "production_deployment/.history",
        "production_deployment/current",
        "production_deployment/ingestedfiles.txt",
        "production_deployment/latestscore.txt",
        "production_deployment/trainedmodel.pkl",
        f"{release}/ingestedfiles.txt",
        f"{release}/latestscore.txt",
        f"{release}/manifest.json",
        f"{release}/modelcard.md",
        f"{release}/reference.json",
        f"{release}/trainedmodel.pkl",
    }


def test_the_first_decision_is_in_the_history(settled: Sandbox) -> None:
    release = live(settled)

    assert decisions(settled) == [
        Decision(
            files='["a.csv", "b.csv"]',
            rows=120,
            labelled=120,
            release=None,
            deployed_f1=None,
            new_f1=None,
            verdict="nothing deployed",
            champion_f1=None,
            challenger_f1=None,
            action="deployed",
            reason=f"trained on 120 rows and deployed {release.id}",
            new_release=release.id,
        )
    ]


def test_one_outcome_only_is_a_clear_error_at_every_run_until_more_comes(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", client_rows(0, 20, outcome="0"))
    message = (
        "error: training needs clients who left and clients who stayed; among the 20 rows with"
        " a known outcome there are only clients with exited = 0"
    )

    for _ in range(2):
        result = sandbox.run("fullprocess")
        assert (result.code, result.err.splitlines()[-1]) == (1, message)
    sandbox.write("sourcedata/b.csv", client_rows(20, 60))
    assert sandbox.run("fullprocess").code == 0

    assert [(d.files, d.action) for d in decisions(sandbox)] == [('["a.csv", "b.csv"]', "deployed")]
    assert [outcome for _, outcome, _ in runs(sandbox)] == ["failed", "failed", "done"]


# --- nothing new ---


def test_a_second_run_leaves_every_file_as_it_was_and_no_lock(settled: Sandbox) -> None:
    settled.run("fullprocess")  # its files may be copies, which are read once
    files, stamps = settled.files(), settled.stamps()

    settled.run("fullprocess")

    assert settled.files() == files
    assert settled.stamps() == stamps


# --- new data ---


def test_new_data_without_drift_keeps_the_model(settled: Sandbox, run_on: RunOn) -> None:
    before, release = production(settled), live(settled)

    result = run_on("stable")

    new_f1 = f1_of(settled, release, "sourcedata/c.csv")
    reason = f"F1 on the new rows is {new_f1:.4f}, not lower than the deployed {release.f1:.4f}"
    assert result.out.splitlines() == [
        "c.csv: 60 new of 60 rows",
        "ingesteddata/finaldata.csv: 180 rows",
        f"no drift: {reason}",
        "production_deployment/trainedmodel.pkl"
        f"  the live model, release {release.id}, F1 {release.f1:.4f} on the test data",
        "ingesteddata/finaldata.csv              all unique client rows",
        "models/clientrisk.csv                   94 clients, highest risk first",
        "models/movers.csv                       0 clients rose, 0 fell by 0.01 or more",
        "models/confusionmatrix2.png             the live model on the test data",
    ]
    assert production(settled) == before
    assert decisions(settled)[1:] == [
        Decision(
            files='["c.csv"]',
            rows=60,
            labelled=60,
            release=release.id,
            deployed_f1=release.f1,
            new_f1=new_f1,
            verdict="no drift",
            champion_f1=None,
            challenger_f1=None,
            action="kept",
            reason=reason,
            new_release=None,
            drift_test="raw",
        )
    ]


def test_new_data_without_drift_refresh_the_reports(settled: Sandbox, run_on: RunOn) -> None:
    before = settled.stamps()

    run_on("stable")

    after = settled.stamps()
    changed = {n for n in after if n.startswith("models/") and after[n] != before.get(n)}
    # nobody moved and the model is the same, so movers and matrix are what they were
    assert changed == {"models/clientrisk.csv"}
    assert {row.split(",")[0] for row in STABLE if row.endswith(",0")} < set(ranked(settled))
    assert settled.query("SELECT count(DISTINCT at) FROM missing") == [(2,)]


def test_drift_retrains_compares_and_redeploys(settled: Sandbox, run_on: RunOn) -> None:
    old = live(settled)

    result = run_on("drifted")

    new, (_, decision) = live(settled), decisions(settled)
    new_f1 = f1_of(settled, old, "sourcedata/c.csv")
    champion_f1 = f1_of(settled, old, "testdata/testdata.csv", "sourcedata/c.csv")
    assert result.code == 0
    assert f"drift: {decision.reason}" in result.out.splitlines()
    assert decision.challenger_f1 is not None
    assert decision.challenger_f1 > champion_f1
    low, high = interval(decision)
    assert decision == Decision(
        files='["c.csv"]',
        rows=400,
        labelled=400,
        release=old.id,
        deployed_f1=old.f1,
        new_f1=new_f1,
        verdict="drift",
        champion_f1=champion_f1,
        challenger_f1=decision.challenger_f1,
        action="deployed",
        reason=(
            f"F1 on the new rows is {new_f1:.4f}, lower than the deployed {old.f1:.4f};"
            f" the challenger's F1 {decision.challenger_f1:.4f} is at least as good as"
            f" the deployed model's {champion_f1:.4f} on the same 460 rows (95 % interval of the"
            f" difference {low:+.4f} to {high:+.4f}): deployed {new.id}"
        ),
        new_release=new.id,
        drift_test="raw",
        gate="not_worse",
        difference_low=low,
        difference_high=high,
        challenge="won",
    )
    assert new.id != old.id
    assert new.challenge
    assert (new.challenge.champion, new.challenge.rows) == (old.id, 460)
    assert new.challenge.reason == decision.reason.removesuffix(f": deployed {new.id}")


def test_drift_asks_the_api(settled: Sandbox, run_on: RunOn) -> None:
    run_on("drifted")

    result = (settled.root / "models/apireturns2.txt").read_text()
    assert f'"release": "{live(settled).id}"' in result


def test_a_challenger_that_is_worse_stays_out(settled: Sandbox, run_on: RunOn) -> None:
    before, old = production(settled), live(settled)

    result = run_on("too few to learn")

    _, decision = decisions(settled)
    assert result.code == 0
    assert production(settled) == before
    assert decision.challenger_f1 is not None
    assert decision.champion_f1 is not None
    assert decision.challenger_f1 < decision.champion_f1
    assert (decision.verdict, decision.action, decision.challenge) == ("drift", "kept", "lost")
    low, high = interval(decision)
    assert (decision.new_f1, decision.difference_low, decision.difference_high) == (0.0, low, high)
    assert decision.reason.endswith(f" to {high:+.4f}): {old.id} stays live")
    clients = ranked(settled)
    assert set(clients.values()) == {old.id}
    assert len(clients) == 64 + sum(row.endswith(",0") for row in TOO_FEW_TO_LEARN)


@pytest.mark.parametrize("batch", BATCHES)
def test_a_batch_is_judged_once(settled: Sandbox, run_on: RunOn, batch: str) -> None:
    run_on(batch)

    again = settled.run("fullprocess")

    assert (again.code, again.out) == (0, NOTHING_NEW)
    assert len(decisions(settled)) == 2


# --- what the config decides ---

# worse than the test data, but by no more than chance may do
NOISY = client_rows(300, 60, noise=5)
# of the live release: one score far off makes the mean and deviation blind, and not the quartiles
EARLIER = [0.9, 0.9, 0.91, 0.2]


def moved(rows: list[str], *, labelled: bool = True) -> list[str]:
    """The same clients with a last year beyond what the training data know."""
    result = [row.split(",") for row in rows]
    return [
        ",".join([name, month, str(int(year) + 400), employees, left * labelled])
        for name, month, year, employees, left in result
    ]


def judged_before(world: Sandbox) -> None:
    """Put batches with the EARLIER scores on record."""
    release = live(world)
    with History(world.config.history_path) as history:
        for f1 in EARLIER:
            record_decision(
                history,
                Decision(
                    files="[]",
                    rows=60,
                    labelled=60,
                    release=release.id,
                    deployed_f1=release.f1,
                    new_f1=f1,
                    verdict="no drift",
                    action="kept",
                    reason="",
                ),
            )


def checked(world: Sandbox) -> Checked | None:
    """The check recorded last, but for the time and what is news."""
    with History(world.config.history_path) as history:
        last = last_checked(history)
    compared = tuple(replace(one, news=None, effect=None) for one in last.input) if last else ()
    return last and replace(last, at="", input=compared)


def test_the_config_s_drift_test_decides_by_the_scores_on_record(settled: Sandbox) -> None:
    judged_before(settled)
    settled.configure(drift_test="parametric")
    settled.write("sourcedata/c.csv", NOISY)

    assert settled.run("fullprocess").code == 0

    found = checked(settled)
    assert found
    assert [one.verdict for one in found.scores] == [
        *("drift", "no drift", "drift", "no drift", "no drift")
    ]
    last = decisions(settled)[-1]
    assert (last.verdict, last.drift_test) == ("no drift", "parametric")
    assert last.reason == found.scores[1].reason


def test_input_drift_is_reported_and_recorded_and_by_default_asks_for_nothing(
    settled: Sandbox,
) -> None:
    before = production(settled)
    settled.write("sourcedata/c.csv", moved(STABLE, labelled=False))

    result = settled.run("fullprocess")

    found = checked(settled)
    assert found
    assert [one.feature for one in found.input if one.verdict == "drift"] == ["lastyear_activity"]
    assert "input drift" not in result.err  # it changes no risk
    assert production(settled) == before


def test_retraining_on_input_drift_challenges_the_live_model(settled: Sandbox) -> None:
    settled.configure(retrain_on="input")
    settled.write("sourcedata/c.csv", moved(STABLE))

    settled.run("fullprocess")

    new, (decision,) = live(settled), decisions(settled)[1:]
    assert (decision.verdict, decision.action, decision.challenge) == (
        *("no drift", "deployed", "won"),
    )
    assert "; input drift in lastyear_activity; the challenger's F1" in decision.reason
    assert decision.reason.endswith(f": deployed {new.id}")
    assert (settled.root / "models/apireturns2.txt").read_text().count(new.id)


def test_the_same_model_again_is_not_deployed(settled: Sandbox) -> None:
    # what is new has no outcome, so there is nothing to learn from it
    before, release = production(settled), live(settled)
    settled.configure(retrain_on="input", gate="always")
    settled.write("sourcedata/c.csv", moved(STABLE, labelled=False))

    result = settled.run("fullprocess")

    assert result.code == 0
    assert production(settled) == before
    assert decisions(settled)[1:] == [
        Decision(
            files='["c.csv"]',
            rows=60,
            labelled=0,
            release=release.id,
            deployed_f1=release.f1,
            new_f1=None,
            verdict="not enough evidence",
            action="kept",
            reason=(
                "new rows with a known outcome: 0, at least 5 are needed; input drift in"
                " lastyear_activity; retraining on all rows gives the same model:"
                f" {release.id} stays live"
            ),
            drift_test="raw",
            challenge="same model",
        )
    ]
    assert settled.run("fullprocess").out == NOTHING_NEW


def test_a_challenger_that_the_gate_holds_goes_live_when_somebody_promotes_it(
    settled: Sandbox,
) -> None:
    settled.configure(gate="manual", report_formats=["html"])
    old = live(settled)
    settled.write("sourcedata/c.csv", DRIFTED)

    result = settled.run("fullprocess")

    waits = "`python deployment.py --promote` puts the challenger live"
    assert result.out.splitlines()[2].endswith(f": {old.id} stays live; {waits}")
    assert live(settled) == old
    assert "\nchallenger     waits for" in settled.run("fullprocess", "--status").out
    report = (settled.root / "models/report.html").read_text()
    assert "the challenger waits to be promoted" in report
    assert "relative log loss" in report

    result = settled.run("deployment", "--promote")

    new = live(settled)
    assert (result.code, new.previous) == (0, old.id)
    assert new.challenge
    assert (new.challenge.gate, new.challenge.champion) == ("manual", old.id)
    assert "\nchallenger " not in settled.run("fullprocess", "--status").out
    assert new.challenge.reason.endswith(": better beyond chance: promoted by hand")
    assert settled.run("deployment", "--promote").err.startswith("error: no challenger is held")
    settled.run("deployment", "--rollback")  # what was rolled back is not offered again
    assert "\nchallenger " not in settled.run("fullprocess", "--status").out


def test_asked_on_the_page_to_promote_the_challenger_the_next_tick_does(
    settled: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled.configure(gate="manual")
    old = live(settled)
    settled.write("sourcedata/c.csv", DRIFTED)
    settled.run("fullprocess")
    client = create_app(settled.config).test_client()
    ((challenger,),) = settled.query("SELECT challenger FROM decisions WHERE challenge = 'held'")
    asked = {"action": "promote", "what": challenger}
    assert client.post("/operations/requests", data={**asked, "what": "x"}).status_code == 409
    assert client.post("/operations/requests", data=asked).status_code == 303

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.stages.work_requests.finish", killed)
    assert settled.run("fullprocess").code == 130
    monkeypatch.undo()
    new = live(settled)
    result = settled.run("fullprocess")

    assert (result.code, new.previous, live(settled)) == (0, old.id, new)
    assert settled.query("SELECT action, outcome FROM requests") == [
        ("promote", "release 2 is live")
    ]
    assert {row["release"] for row in client.get("/risk").get_json()["clients"]} == {new.id}
    assert settled.run("fullprocess").out == NOTHING_NEW


def test_what_is_promoted_is_the_challenger_and_no_model_trained_since(settled: Sandbox) -> None:
    settled.configure(gate="manual")
    old = live(settled)
    settled.write("sourcedata/c.csv", DRIFTED)
    settled.run("fullprocess")
    settled.configure(model="boosting")
    settled.run("training")
    settled.run("scoring")

    result = settled.run("deployment", "--promote")

    assert (result.code, live(settled)) == (1, old)
    assert "another model was trained or deployed since" in result.err
    assert "\nchallenger " not in settled.run("fullprocess", "--status").out


# --- what is refused ---


def test_where_every_new_file_is_rejected_the_run_says_so_and_fails_once(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", REJECTED)
    before = production(settled)

    first, second = settled.run("fullprocess"), settled.run("fullprocess")

    assert first.code == 1
    assert first.out.splitlines() == [
        f"c.csv: {WHY_REJECTED}",
        "ingesteddata/finaldata.csv: 120 rows",
    ]
    assert first.err.splitlines()[-1] == (
        f"error: {settled.root}/sourcedata: every new file is rejected:"
        f" c.csv: {WHY_REJECTED.removeprefix('rejected: ')}"
    )
    assert settled.query("SELECT outcome FROM runs ORDER BY id") == [("done",)] * 2
    assert (second.code, second.out, second.err) == (0, NOTHING_NEW, "")
    assert production(settled) == before
    assert len(decisions(settled)) == 1


def test_where_every_new_file_is_rejected_what_was_pending_is_judged(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", STABLE)
    assert settled.run("ingestion").code == 0
    settled.write("sourcedata/d.csv", REJECTED)

    first, second = settled.run("fullprocess"), settled.run("fullprocess")

    assert (first.code, second.code, second.out) == (1, 0, NOTHING_NEW)
    assert [d.files for d in decisions(settled)[1:]] == ['["c.csv"]']
    assert settled.query("SELECT 1 FROM files WHERE reported_at IS NULL") == []


def test_what_is_rejected_does_not_hold_up_the_rest_which_is_one_batch(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", REJECTED)
    settled.write("sourcedata/d.csv", STABLE[:20])
    settled.write("sourcedata/e.csv", [*STABLE[20:], BAD_ROW])

    result = settled.run("fullprocess")

    assert result.code == 0
    assert result.out.splitlines()[:5] == [
        f"c.csv: {WHY_REJECTED}",
        "d.csv: 20 new of 20 rows",
        "e.csv: 40 new of 41 rows, 1 set aside",
        "ingesteddata/rejectedrows.csv: the rows set aside, and why",
        "ingesteddata/finaldata.csv: 180 rows",
    ]
    assert (settled.root / "ingesteddata/rejectedrows.csv").read_text() == (
        f"file,line,reason,row\ne.csv,42,lastmonth_activity 'many' is not a number,\"{BAD_ROW}\"\n"
    )
    assert [(d.files, d.rows, d.verdict) for d in decisions(settled)[1:]] == [
        ('["d.csv", "e.csv"]', 60, "no drift")
    ]


def test_an_input_folder_that_became_empty_is_reported_once(settled: Sandbox) -> None:
    for name in ("a.csv", "b.csv"):
        (settled.root / "sourcedata" / name).rename(settled.root / name)

    ticks = [settled.run("fullprocess"), settled.run("fullprocess"), settled.run("ingestion")]
    (settled.root / "a.csv").rename(settled.root / "sourcedata/a.csv")
    back = settled.run("fullprocess")
    (settled.root / "sourcedata/a.csv").unlink()
    again = settled.run("ingestion")

    assert {(tick.code, tick.out) for tick in (*ticks, back, again)} == {(0, NOTHING_NEW)}
    said = f"WARNING pipeline.storage.input_checks: {settled.root}/sourcedata has no client files"
    assert [said in tick.err for tick in (*ticks, back, again)] == [True, *[False] * 3, True]
    assert [len(tick.err.splitlines()) for tick in (*ticks, back)] == [1, 0, 0, 0]


def test_test_data_beyond_what_the_api_takes_at_a_time_do_not_fail_the_run(
    source: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.web.request_rows.MAX_ROWS", 50)

    first, second = source.run("fullprocess"), source.run("fullprocess")

    assert (first.code, second.code, second.out) == (0, 0, NOTHING_NEW)


# --- what was done by hand, and what a kill left ---


def test_a_batch_ingested_by_hand_is_judged_by_the_next_run(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", STABLE)
    by_hand(settled, "ingestion")

    result = settled.run("fullprocess")

    assert result.out.startswith("nothing new in sourcedata\nno drift: F1 on the new rows is")
    assert [(d.files, d.rows) for d in decisions(settled)[1:]] == [('["c.csv"]', 60)]
    assert settled.run("fullprocess").out == NOTHING_NEW


def test_a_batch_that_the_live_model_was_trained_on_is_no_evidence(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", DRIFTED)
    by_hand(settled, "ingestion", "training", "scoring", "deployment")
    release = live(settled)

    result = settled.run("fullprocess")

    assert result.code == 0
    assert decisions(settled)[1:] == [
        Decision(
            files='["c.csv"]',
            rows=0,
            labelled=0,
            release=release.id,
            deployed_f1=release.f1,
            new_f1=None,
            verdict="not enough evidence",
            action="kept",
            reason=f"release {release.id} was trained on these files already",
        )
    ]
    assert set(ranked(settled).values()) == {release.id}


def test_reports_that_failed_are_written_by_the_next_run_without_judging_again(
    source: Sandbox,
) -> None:
    in_the_way = source.root / "models/clientrisk.csv"
    in_the_way.mkdir(parents=True)
    failed = source.run("fullprocess")
    in_the_way.rmdir()

    recovered = source.run("fullprocess")

    assert (failed.code, failed.err.splitlines()[-1][:7]) == (1, "error: ")
    assert recovered.code == 0
    assert [d.verdict for d in decisions(source)] == ["nothing deployed"]
    assert set(ranked(source).values()) == {live(source).id}
    assert (source.root / "models/apireturns2.txt").exists()
    assert [outcome for _, outcome, _ in runs(source)] == ["failed", "done"]
    assert source.run("fullprocess").out == NOTHING_NEW


def test_a_production_folder_that_was_deleted_is_made_again_and_reported_on(
    settled: Sandbox,
) -> None:
    shutil.rmtree(settled.root / "production_deployment")
    (settled.root / "models/clientrisk.csv").unlink()

    result = settled.run("fullprocess")

    release = live(settled)
    assert result.code == 0
    assert f"nothing deployed: trained on 120 rows and deployed {release.id}" in result.out
    assert [(d.files, d.new_release) for d in decisions(settled)[1:]] == [("[]", release.id)]
    assert set(ranked(settled).values()) == {release.id}


# --- practice ---


def test_practice_leaves_production_untouched(
    settled: Sandbox, kept_worlds: Path, practised: Result
) -> None:
    before = Sandbox(kept_worlds / "settled", settled.capsys)
    own = {"config.json"}  # this test's own change to it
    files, stamps = before.files(), before.stamps()

    after_files, after_stamps = settled.files(), settled.stamps()

    assert practised.code == 0
    assert {n: after_files[n] for n in files if n not in own} == {
        n: content for n, content in files.items() if n not in own
    }
    assert {n: after_stamps[n] for n in stamps if n not in own} == {
        n: stamp for n, stamp in stamps.items() if n not in own
    }


@pytest.mark.usefixtures("practised")
def test_practice_asks_a_server_of_its_own(settled: Sandbox) -> None:
    result = (settled.root / "practicemodels/apireturns2.txt").read_text()

    assert f'"release": "{live_id(settled.practice.prod_deployment_path)}"' in result


# --- which server is asked ---


def asked_server(world: Sandbox) -> str:
    heading = (world.root / "models/apireturns2.txt").read_text().splitlines()[0]
    return heading.removeprefix("## POST ").split("/prediction")[0]


def test_a_server_of_ours_at_api_url_is_asked(source: Sandbox) -> None:
    with serving(source.config) as url:
        source.configure(api_url=url)
        result = source.run("fullprocess")

    assert result.code == 0
    assert asked_server(source) == url


def test_a_server_at_api_url_that_is_not_ours_is_left_alone(source: Sandbox) -> None:
    with foreign(saying('{"release": "000001-20200101T000000Z"}')) as (url, asked):
        source.configure(api_url=url)
        result = source.run("fullprocess")

    assert result.code == 0
    assert [request.partition("?")[0] for request in asked] == ["GET /health"]
    assert asked_server(source) != url


# --- the tables this kind of system was built around ---


@needs_shared
def test_the_original_batches_are_judged_as_they_should_be(sandbox: Sandbox) -> None:
    original = SHARED / "original"
    sandbox.configure(**dict.fromkeys(SIMPLE))  # the defaults, which do not count for so few rows
    shutil.copytree(original / "practicedata", sandbox.root / "practicedata")
    shutil.copytree(original / "testdata", sandbox.root / "testdata", dirs_exist_ok=True)
    assert sandbox.run("fullprocess", "--practice").code == 0
    for batch in ("no_drift", "drift"):
        for file in (original / "validation_data" / batch).glob("*.csv"):
            shutil.copy(file, sandbox.root / "practicedata")

        assert sandbox.run("fullprocess", "--practice").code == 0

    with History(sandbox.practice.history_path) as history:
        decided = history.tuples("SELECT files, verdict, action FROM decisions ORDER BY id")
    assert decided[1:] == [
        ('["no_drift.csv"]', "no drift", "kept"),
        ('["drift.csv"]', "drift", "deployed"),
    ]
