"""What is learned, judged and compared where clients were contacted, and others left alone."""

import os
from collections.abc import Iterable
from datetime import date, timedelta
from time import time

import numpy as np
import pandas as pd
import pytest
from sandbox import HEADER, Sandbox, client_rows, schema_keys, today
from scipy.special import expit
from sklearn.metrics import f1_score, roc_auc_score

from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.data.frames import frame_of_text
from pipeline.models.estimators import predictions_of, risk_of
from pipeline.models.training import fit
from pipeline.observations.master import Master
from pipeline.observations.rows import open_rows
from pipeline.registry.live_model import load_live
from pipeline.registry.releases import live_release
from pipeline.storage.contacts import Assignment, Contact, add_contacts, record_assignments
from pipeline.storage.history import open_history

DAY = 24 * 3600.0
DATED = {**schema_keys(DEFAULT_SCHEMA), "date": "day"}


def record(
    world: Sandbox,
    contacted: Iterable[tuple[str, str]] = (),
    control: Iterable[tuple[str, str]] = (),
    share: float = 0.25,
) -> None:
    """Record contacts and clients left alone: names and days; a campaign is of its first day."""
    left_alone = [*control]
    campaign = min((day for _, day in left_alone), default="")
    with open_history(world.config.history_path) as history, history.transaction():
        add_contacts(history, [Contact(client, day, "page") for client, day in contacted])
        found = [Assignment(who, campaign, day, True, share, "", 0.5) for who, day in left_alone]
        record_assignments(history, found)


def rows_of(world: Sandbox) -> Master:
    config, days = world.config, world.config.contact_rules.campaign_days
    with open_history(config.history_path) as history:
        return open_rows(config.finaldata_path, config.schema, history, days)


def day(number: int) -> str:
    """A day, by its number from that of the contact on."""
    return (date(2026, 3, 10) + timedelta(number)).isoformat()


def times_of(master: Master) -> np.ndarray:
    """How often each row counts."""
    assert master.marked
    return master.marked.times


def yesterday() -> str:
    """So that files of today, by whatever clock, are no older than a contact."""
    return (today() - timedelta(1)).isoformat()


def dated_rows(sandbox: Sandbox) -> None:
    sandbox.configure(schema=DATED, horizon_days=30)
    rows = [
        f"{name},{10 + number % 7},200,5,0,{day(number)}"
        for name in ("saved", "control", "neither")
        for number in (-30, -29, 0, 29, 30, 90)
    ]
    sandbox.write("sourcedata/a.csv", rows, f"{HEADER},day")
    sandbox.run("ingestion")


def test_a_control_group_stands_for_the_contacts_of_its_campaign_alone(sandbox: Sandbox) -> None:
    dated_rows(sandbox)
    sandbox.configure(campaign_days=5)
    record(sandbox, [("saved", day(0))], [("control", day(1))])
    assert rows_of(sandbox).contacted == (0, 0, 3)
    record(sandbox, [("neither", day(5))])
    assert rows_of(sandbox).contacted == (3, 3, 3)


def test_rows_within_the_horizon_of_a_contact_teach_nothing_and_control_rows_count_for_them(
    sandbox: Sandbox,
) -> None:
    dated_rows(sandbox)
    record(sandbox, [("saved", day(0)), ("unknown", day(0))], [("control", day(0))])

    master = rows_of(sandbox)

    learned = master.learned
    known = learned[learned["exited"].notna()]
    assert known[known["corporation"] == "saved"]["day"].tolist() == [day(-30), day(30)]
    times = dict(zip(learned["day"] + learned["corporation"], times_of(master), strict=True))
    often = {f"{day(number)}control" for number in (-29, 0, 29)}
    assert times == {key: 4 if key in often else 1 for key in times}
    data = master.training_data()
    assert (data.rows, len(data.frame), len(data.sample)) == (12, 12 + 9, 12 + 9)
    assert master.contacted == (3, 3, 0)
    assert master.present["corporation"].nunique() == 3  # they are ranked as before


def test_without_a_horizon_the_days_of_files_tell_what_a_contact_may_have_changed(
    sandbox: Sandbox,
) -> None:
    sandbox.configure(campaign_days=20)
    sent = {60: ("0", "before", "late"), 10: ("0", "since", "control"), 5: ("1", "left")}
    sent |= {30: ("0", "then")}
    for age, (outcome, *names) in sent.items():
        rows = [f"{who},1,2,3,{'' if who == 'late' else outcome}" for who in names]
        rows += ["late,1,2,3,0"] if age == 10 else []  # is heard of after the contact
        path = sandbox.write(f"sourcedata/{100 - age}.csv", rows)
        os.utime(path, (time() - age * DAY,) * 2)
    sandbox.run("ingestion")
    contacted = (today() - timedelta(12)).isoformat()
    long_ago = (today() - timedelta(51)).isoformat()
    record(
        sandbox,
        [(who, contacted) for who in ("before", "late", "since", "left")] + [("then", long_ago)],
        [("control", contacted)],
    )

    master = rows_of(sandbox)

    names = master.learned.dropna(subset="exited")["corporation"].tolist()
    assert names == ["before", "then", "control"]
    assert master.contacted == (3, 1, 0)


def test_one_over_the_share_is_kept_on_average_and_each_time(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", client_rows(0, 2_000))
    sandbox.run("ingestion")
    names = [f"client{i:05d}" for i in range(2_000)]
    record(sandbox, [("x", yesterday())], [(name, yesterday()) for name in names], 0.3)

    times, again = (times_of(rows_of(sandbox)) for _ in range(2))

    assert set(times) == {3, 4}
    assert times.mean() == pytest.approx(1 / 0.3, abs=0.03)
    assert (times == again).all()


@pytest.mark.parametrize(("gate", "others"), [("not_worse", 60), ("evidence", 0)])
def test_training_judging_and_gate_leave_contacted_clients_out_alike(
    settled: Sandbox, gate: str, others: int
) -> None:
    settled.configure(gate=gate)
    rows = [f"{row[:-1]}{int(row.split(',')[1] < '30')}" for row in client_rows(300, 400)]
    rows[40:50] = client_rows(340, 10)  # of these the live model is right
    names, now = [row.split(",")[0] for row in rows], yesterday()
    record(settled, [(n, now) for n in names[:40]], [(n, now) for n in names[40:50]], 0.1)
    settled.write("sourcedata/c.csv", rows)
    text = "".join(f"{row}\n" for row in rows[40:])
    judged = frame_of_text(text, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns)
    model = load_live(settled.config.prod_deployment_path, DEFAULT_SCHEMA).model
    weights = [10] * 10 + [1] * 350
    f1 = f1_score(judged["exited"], predictions_of(model, judged), sample_weight=weights)

    run = settled.run("fullprocess", "-v")

    ((labelled, new_f1, challenge),) = settled.query(
        "SELECT labelled, new_f1, challenge FROM decisions ORDER BY id DESC LIMIT 1"
    )
    assert (labelled, challenge) == (360, "won"), run.err
    assert new_f1 == pytest.approx(f1)
    live = live_release(settled.config.prod_deployment_path)
    assert live.challenge is not None
    assert live.challenge.rows == others + 360
    assert live.model.rows == 480
    said = (
        "40 labelled rows whose outcome a contact may have changed left out; 10 rows of the"
        " control group, each counted as often as its share of the proposed asks, in their place"
    )
    assert said in run.err
    assert f"| contacts | {said} |" in (live.path / "modelcard.md").read_text()


def test_without_a_control_group_the_card_says_so_and_nothing_is_left_out(source: Sandbox) -> None:
    record(source, [("client00000", yesterday())])

    assert source.run("fullprocess").code == 0

    live = live_release(source.config.prod_deployment_path)
    assert live.model.rows == 120
    assert (
        "| contacts | 1 labelled row whose outcome a contact may have changed counted as"
        in (live.path / "modelcard.md").read_text()
    )


SLOPES, BASE = np.array([1.2, 0.8]), -2.7
CLIENTS, MONTHS = 3_000, 6


def company(world: Sandbox, random: np.random.Generator) -> None:
    """Monthly rows: four in five of the riskiest are contacted, which keeps three in five."""
    clients, born = np.arange(CLIENTS), CLIENTS
    features = random.standard_normal((CLIENTS, 2))
    lines: list[str] = []
    contacted: list[tuple[str, str]] = []
    control: dict[str, str] = {}
    alone: dict[str, bool] = {}
    for month in range(MONTHS):
        begins = date(2026, 1, 1) + timedelta(30 * month)
        chance = expit(BASE + features @ SLOPES)
        leaves = 30 * random.exponential(size=CLIENTS) / -np.log1p(-chance)  # after so many days
        told = (begins + timedelta(2)).isoformat()
        for place in np.flatnonzero((chance >= np.quantile(chance, 0.85)) & (leaves >= 3)):
            name = f"c{clients[place]}"
            if alone.setdefault(name, random.random() < 0.2):
                control.setdefault(name, told)
            else:
                contacted.append((name, told))
                leaves[place] *= 1 if random.random() < 0.4 else 1_000
        for number, (a, b), after in zip(clients, features, leaves, strict=True):
            lines.append(f"c{number},{a:.6f},{b:.6f},0,{begins}")
            if after < 30:
                gone = begins + timedelta(max(1, int(after)))
                lines.append(f"c{number},{a:.6f},{b:.6f},1,{gone}")
        left = leaves < 30
        count = int(left.sum())
        clients[left] = np.arange(born, born + count)
        born += count
        features = 0.8 * features + 0.6 * random.standard_normal((CLIENTS, 2))
        features[left] = random.standard_normal((count, 2))
    world.write("sourcedata/a.csv", lines, "client,a,b,left,day")
    assert world.run("ingestion").code == 0
    record(world, contacted, control.items(), 0.2)


def test_a_model_keeps_its_risks_where_contacts_save_most_of_the_riskiest(sandbox: Sandbox) -> None:
    schema = {"client": "client", "outcome": "left", "numeric": ["a", "b"], "date": "day"}
    sandbox.configure(schema=schema, horizon_days=30, campaign_days=365)
    random = np.random.default_rng(3)
    company(sandbox, random)
    fresh = pd.DataFrame(random.standard_normal((20_000, 2)), columns=["a", "b"])
    chance = expit(BASE + fresh.to_numpy() @ SLOPES)  # of those whom nobody contacts
    left, riskiest = random.random(len(fresh)) < chance, chance >= np.quantile(chance, 0.85)

    def found() -> tuple[float, float]:
        """The ROC AUC, and the risk of the riskiest as a part of the true one."""
        risk = risk_of(fit(rows_of(sandbox).training_data(), sandbox.config.policy).model, fresh)
        return roc_auc_score(left, risk), risk[riskiest].mean() / chance[riskiest].mean()

    auc, part = found()
    assert auc == pytest.approx(roc_auc_score(left, chance), abs=0.005)
    assert part == pytest.approx(1, abs=0.1)
    with open_history(sandbox.config.history_path) as history:
        history.query("DELETE FROM contacts")
    assert found()[1] < 0.7  # what is learned without the marks
