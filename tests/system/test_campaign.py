"""A campaign lived through by the real chain: files, contacts, late outcomes, and what it shows."""

import json
import os
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from html_reading import Read
from sandbox import Sandbox, schema_keys

from app import create_app
from pipeline.core.schema import Schema
from pipeline.storage.contacts import Assignment, Contact, add_contacts, record_assignments
from pipeline.storage.history import open_history

SCHEMA = Schema("client", "left", ("use", "worth"), ("region",), date="as_of")
HEADER = ",".join(SCHEMA.columns)
BEGIN = date.fromisoformat("2026-01-20")
CLIENTS, SHARE, HORIZON = 6_000, 0.3, 30
SAVE_RATE, COST = 0.4, 12.0  # four times what is assumed until one is measured
CALLED = 0.3  # the least risk of those proposed whom somebody calls


class Company:
    """Clients whose chance to leave within 30 days goes by their use, and their files."""

    def __init__(self, world: Sandbox) -> None:
        self.world, self.random = world, np.random.default_rng(8)

    def clients(self, prefix: str, count: int) -> pd.DataFrame:
        use = self.random.normal(size=count).round(3)
        return pd.DataFrame(
            {
                "client": [f"{prefix}{i}" for i in range(count)],
                "use": use,
                "worth": self.random.lognormal(5.5, 0.8, count).round(2),
                "region": self.random.choice(["north", "south"], count),
                "risk": 1 / (1 + np.exp(1.0 + 1.2 * use)),
            }
        )

    def write(self, name: str, day: int, *parts: tuple[pd.DataFrame, object, object]) -> None:
        """A file of that day, of clients with the days of their rows and their outcomes."""
        rows = []
        for clients, on, left in parts:
            days = np.broadcast_to(np.asarray(on, dtype=object), len(clients))
            dates = [(BEGIN + timedelta(int(one))).isoformat() for one in days]
            rows.append(clients.assign(as_of=dates, left=left)[list(SCHEMA.columns)])
        text = pd.concat(rows).to_csv(index=False)
        path = self.world.write(name, text)
        at = datetime.combine(BEGIN + timedelta(day), datetime.min.time(), UTC).timestamp()
        os.utime(path, (at + 43_200, at + 43_200))

    def labelled(self, name: str, prefix: str, count: int, day: int) -> None:
        """Clients of whom it is known who left within the horizon."""
        clients = self.clients(prefix, count)
        left = self.random.random(count) < clients["risk"]
        self.write(
            *(name, day),
            (clients, day - 60, ""),
            (clients[left], day - 45, "1"),
            (clients[~left], day - 20, ""),
        )


@pytest.fixture
def company(sandbox: Sandbox) -> Company:
    sandbox.configure(
        schema=schema_keys(SCHEMA),
        horizon_days=HORIZON,
        threshold="value",
        client_value="worth",
        contact_cost=COST,
        save_rate="measured",
    )
    (sandbox.root / "testdata/testdata.csv").unlink()
    made = Company(sandbox)
    made.labelled("testdata/testdata.csv", "t", 500, -5)
    made.labelled("sourcedata/before.csv", "p", 3_000, -5)
    return made


def lived(company: Company) -> pd.DataFrame:
    """The campaign: the chain before it, contacts, and the files that say who left, some late."""
    world, random = company.world, company.random
    clients = company.clients("c", CLIENTS)
    company.write("sourcedata/list.csv", -1, (clients, -1, ""))
    result = world.run("fullprocess")
    assert result.code == 0, result.err
    assert "save rate: 10.0 % is assumed, as no campaign has begun\n" in result.err
    control = random.random(CLIENTS) < SHARE
    called = (~control | (random.random(CLIENTS) < 0.1)) & (clients["risk"] > CALLED).to_numpy()
    would = random.random(CLIENTS) < clients["risk"]
    left = (would & ~(called & (random.random(CLIENTS) < SAVE_RATE))).to_numpy()
    day = BEGIN.isoformat()
    with open_history(world.config.history_path) as history, history.transaction():
        record_assignments(
            history,
            [
                Assignment(name, day, day, bool(group), SHARE, "medium", float(risk))
                for name, group, risk in zip(
                    clients["client"], control, clients["risk"], strict=True
                )
            ],
        )
        add_contacts(
            history, [Contact(name, day, "file calls.csv") for name in clients["client"][called]]
        )
    late = left & (random.random(CLIENTS) < 0.5)  # said weeks later, of the row of the list
    on = random.integers(1, HORIZON + 1, CLIENTS)
    soon = left & ~late
    company.write(
        "sourcedata/after.csv", 35, (clients[soon], on[soon], "1"), (clients[~left], 35, "")
    )
    company.write("sourcedata/late.csv", 60, (clients[late], -1, "1"))
    return clients[~left]


@pytest.mark.slow
def test_a_campaign_is_measured_right_and_contacts_by_it_earn_more(company: Company) -> None:
    world = company.world
    staying = lived(company).set_index("client")
    world.configure(report_formats=["html"])

    result = world.run("fullprocess")

    assert result.code == 0, result.err
    assert "save rate: " in result.err
    assert " %, as measured (95 % interval " in result.err
    effect = json.loads(world.run("diagnostics", "--effect", "--json").out)
    groups = [effect["overall"][name] for name in ("proposed", "control")]
    assert sum(one["clients"] for one in groups) == CLIENTS
    assert [(one["waiting"], one["unknown"]) for one in groups] == [(0, 0), (0, 0)]
    rate = effect["overall"]["save_rate"]
    assert 0 < rate["low"] < SAVE_RATE < rate["high"]
    assert [one["value"] for one in effect["segments"]] == ["north", "south"]

    # who is contacted by it, and who would be by the one assumed
    ranking = pd.read_csv(world.config.clientrisk_path, dtype={"client": "str"})
    clients = staying.loc[[c for c in ranking["client"] if c in staying.index]]
    ranking = ranking.set_index("client").loc[clients.index]
    earned = clients["risk"] * SAVE_RATE * clients["worth"] - COST
    by_measured = earned[ranking["contact"] == "yes"].sum()
    by_assumed = earned[ranking["risk"] * 0.1 * clients["worth"] > COST].sum()
    best = earned[earned > 0].sum()
    assert best >= by_measured > by_assumed
    assert best - by_measured < (best - by_assumed) / 5

    # all who read it are told the same
    said = world.run("diagnostics", "--effect").out
    assert f"Of clients who would leave, a contact keeps {100 * rate['value']:.0f} %" in said
    app = create_app(world.config).test_client()
    assert app.get("/effect").get_json() == effect
    for text in ((world.root / "models/report.html").read_text(), app.get("/model").text):
        words = Read(text).words
        assert "Did contacting help" in words
        assert said.splitlines()[0] in words
