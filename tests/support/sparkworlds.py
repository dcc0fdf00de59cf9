"""A life that is lived twice, by one process and on Spark, and what has to be the same."""

import os
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sandbox import Sandbox

from pipeline.core.config import Config
from pipeline.observations.rows import open_rows
from pipeline.storage.history import open_history
from pipeline.web.app import create_app

Worlds = tuple[Sandbox, Sandbox]

SCHEMA = {
    **{"client": "corporation", "outcome": "exited", "carry": ["manager"], "categorical": ["plan"]},
    "numeric": ["lastmonth_activity", "lastyear_activity", "number_of_employees"],
}
HEADER = "corporation,lastmonth_activity,lastyear_activity,number_of_employees,plan,exited,manager"
DAY = 86_400
TESTED = range(2000, 2300)
START = 1_790_000_000 // DAY * DAY + DAY // 2  # a noon


def table(week: int, clients: Sequence[int], *, known: bool, noise: int = 7) -> list[str]:
    """Rows of clients in a week: those with few employees leave, but for one in `noise`."""
    lot = np.random.default_rng(1000 * week + len(clients))
    rows = []
    for i in clients:
        employees = 5 + (i * 37) % 90
        leaves = (employees < 50) ^ (i % noise == 0)
        name = f'"Bö, {i} ""x"""' if i % 11 == 0 else f"client{i:04d}"
        numbers = f"{lot.integers(1, 60)},{200 + (i * 29) % 300},{employees}"
        outcome = str(int(leaves)) if known else ""
        rows.append(f"{name},{numbers},{'abc'[i % 3]},{outcome},m{(i + week) % 5}")
    return rows


def put(world: Sandbox, name: str, rows: list[str], day: float, header: str = HEADER) -> None:
    path = world.write(f"sourcedata/{name}", rows, header)
    os.utime(path, (START + day * DAY,) * 2)


def plain(text: str) -> str:
    """A text without what is of the moment: releases are named by it."""
    return re.sub(r"-\d{8}T\d{6}Z", "", text).replace("finaldata.parquet", "finaldata.csv")


def known_of(config: Config) -> dict[str, object]:
    """What is on record of the rows, of files and decisions."""
    with open_history(config.history_path) as history:
        rows = open_rows(config.finaldata_path, config.schema, history)
        files = history.query(
            "SELECT id, name, sha256, status, reason, rows, added, duplicates, start_row, end_row,"
            " rejected, current, held, judged_at IS NULL, scored_at IS NULL FROM files ORDER BY id"
        )
        decisions = history.query(
            "SELECT files, rows, labelled, verdict, action, reason, new_f1 FROM decisions"
        )
    states = pd.DataFrame(
        {n: rows.states[n] for n in ("sighted", "left", "known", "outcome", "late")}
    )
    return {
        "rows": rows.frame.to_csv(),
        "states": states.to_csv(),
        "files": [dict(row) for row in files],
        "decisions": [{k: plain(str(v)) for k, v in dict(row).items()} for row in decisions],
    }


WRITTEN = (
    *("ingesteddata/ingestedfiles.txt", "ingesteddata/rejectedrows.csv"),
    *("models/latestscore.txt", "models/clientrisk.csv", "models/movers.csv"),
)


def assert_alike(worlds: Worlds) -> None:
    """What both have on record, and wrote, is the same."""
    ours, theirs = (known_of(world.config) for world in worlds)
    for name in ours:
        assert theirs[name] == ours[name], name
    for name in WRITTEN:
        texts = [
            plain(path.read_text()) if (path := world.root / name).exists() else None
            for world in worlds
        ]
        assert texts[1] == texts[0], name


def warnings_in(log: str) -> str:
    """The texts of its warnings."""
    return "".join(re.findall(r"(?<= WARNING ).*\n", log))


def live(worlds: Worlds, *args: str, code: int = 0) -> str:
    """Run the chain in both worlds; what it says is the same."""
    results = [world.run("fullprocess", *args) for world in worlds]
    assert [result.code for result in results] == [code, code], results
    texts = [plain(result.out + warnings_in(result.err)) for result in results]
    assert [re.sub(" +", " ", text) for text in texts][1:] == [re.sub(" +", " ", texts[0])]
    assert_alike(worlds)
    return texts[0]


def both(worlds: Worlds, stage: str, *args: str, code: int = 0) -> str:
    """Run a stage in both worlds; what it says, and what is kept, is the same."""
    results = [world.run(stage, *args) for world in worlds]
    assert [result.code for result in results] == [code, code], results
    texts = [re.sub(" +", " ", plain(result.out + result.err)) for result in results]
    texts = [re.sub(r"\S+Z (INFO|WARNING) ", "", text) for text in texts]
    assert texts[1] == texts[0]
    assert_alike(worlds)
    return texts[0]


def answers(world: Sandbox, *paths: str) -> list[object]:
    """What the API answers."""
    client = create_app(world.config).test_client()
    found = [client.get(path) for path in paths]
    assert {answer.status_code for answer in found} == {200}
    return [plain(answer.get_data(as_text=True)) for answer in found]


def shown(world: Sandbox, path: str) -> str:
    """A page without charts and moments, and without contacts, which Spark keeps none of."""
    (text,) = answers(world, path)
    contacts = '<section id="contacts".*?</section>\\s*'
    parts = rf"<svg.*?</svg>|\d+ \w+ ago|just now|\d+-\d\d-\d\d \d\d:\d\d|{contacts}"
    return re.sub(parts, "", str(text), flags=re.DOTALL)
