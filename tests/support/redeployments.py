"""Requests without a pause that meet a redeployment, and what each release must answer."""

import pickle
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread
from typing import Any

import pandas as pd
import requests
from sandbox import Sandbox, client_rows
from servers import wait_until

from pipeline.core.config import Config
from pipeline.registry.releases import live_id, live_release, release_ids

FEATURES = ("lastmonth_activity", "lastyear_activity", "number_of_employees")
CLIENTS = [row.split(",") for row in client_rows(0, 40)]
ASKED = [dict(zip(FEATURES, map(float, client[1:4]), strict=True)) for client in CLIENTS]


@dataclass
class Redeployments:
    """A world with several trained models, and the answers that each of its releases must give."""

    world: Sandbox
    models: list[str]  # folders, each with a trained model and its score
    dice: random.Random
    answers: dict[str, tuple[list[int], list[float], float]] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return self.world.config

    def learn(self) -> None:
        """Work out what the live release must answer, by nothing but pickle and pandas."""
        release = live_release(self.config.prod_deployment_path)
        if release.id not in self.answers:
            model = pickle.loads((release.path / "trainedmodel.pkl").read_bytes())
            frame = pd.DataFrame(ASKED)
            risk = [round(float(value), 6) for value in model.predict_proba(frame)[:, 1]]
            f1 = float((release.path / "latestscore.txt").read_text())
            self.answers[release.id] = model.predict(frame).tolist(), risk, f1

    def next(self) -> None:
        """Deploy one of the models, or roll back."""
        production = self.config.prod_deployment_path
        if live_id(production) != release_ids(production)[0] and self.dice.random() < 0.35:
            result = self.world.run("deployment", "--rollback")
        else:
            chosen = self.world.root / self.models[len(self.answers) % len(self.models)]
            shutil.copytree(chosen, self.world.root / "models", dirs_exist_ok=True)
            result = self.world.run("deployment")
        assert result.code == 0, result.err
        self.learn()


def three_models(deployed: Sandbox) -> Redeployments:
    """Three models that answer differently; one release of the first is live."""
    made = [shutil.copytree(deployed.root / "models", deployed.root / "models0").name]
    batches = [client_rows(300, 400, flipped=True), client_rows(2000, 700, noise=3)]
    for number, batch in enumerate(batches, start=1):
        deployed.write(f"sourcedata/c{number}.csv", batch)
        for stage in ("ingestion", "training", "scoring"):
            assert deployed.run(stage).code == 0
        made.append(
            shutil.copytree(deployed.root / "models", deployed.root / f"models{number}").name
        )
    found = Redeployments(deployed, made, random.Random(7))
    found.learn()
    return found


@dataclass
class Callers:
    """Threads that ask without a pause, and what they heard."""

    url: str
    over: Event = field(default_factory=Event)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Ask until it is over."""
        with requests.Session() as session:
            session.trust_env = False
            while not self.over.is_set():
                try:
                    answer = session.request(method, self.url + path, json=body, timeout=600)
                    answer.raise_for_status()
                    self.heard.append((path, answer.json()))
                except (requests.RequestException, ValueError) as error:
                    self.failures.append(f"{path}: {error!r}")

    def heard_more_than(self, answers: int) -> bool:
        return len(self.heard) > answers or bool(self.failures)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Five threads, for as long as the context lasts."""
        clients = ("POST", "/prediction", {"clients": ASKED})
        asked = [clients, clients, clients, ("GET", "/scoring"), ("GET", "/ready")]
        threads = [Thread(target=self.ask, args=args) for args in asked]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()


def redeploy_under_fire(found: Redeployments, url: str, times: int) -> Callers:
    """Redeploy so many times while callers ask, each time until it is heard of."""
    callers = Callers(url)
    with callers.asking():
        for _ in range(times):
            before = len(callers.heard)
            found.next()
            wait_until(partial(callers.heard_more_than, before + 5))
    return callers


def check_answers(found: Redeployments, callers: Callers) -> None:
    assert callers.failures == []
    wrong = []
    for path, answer in callers.heard:
        predictions, risk, f1 = found.answers[answer["release"]]
        if path == "/prediction":
            right = (answer["predictions"], answer["risk"]) == (predictions, risk)
        else:
            right = path == "/ready" or answer["f1"] == f1
        if not right:
            wrong.append((path, answer))
    assert wrong == []


def releases_served(url: str) -> set[str]:
    """The releases that many requests, spread over the workers, are answered from."""
    asked = {"filepath": "testdata/testdata.csv"}
    return {
        requests.post(f"{url}/prediction", json=asked, timeout=600).json()["release"]
        for _ in range(20)
    }
