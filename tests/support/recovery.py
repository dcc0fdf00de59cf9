"""What must hold after a crash, and after the runs that follow it."""

import hashlib
import json
import os
import re
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from worlds import Ended, Scenario, World, without_ids

from pipeline.core.errors import PipelineError
from pipeline.registry.releases import live_id, live_release

NOTHING_NEW = Ended(0, "nothing new in sourcedata\n", "")
SAME = (
    "ingesteddata/finaldata.csv",
    "ingesteddata/ingestedfiles.txt",
    "ingesteddata/rejectedrows.csv",
    "models/trainedmodel.pkl",
    "models/latestscore.txt",
    "models/reference.json",
    "models/clientrisk.csv",
    "models/movers.csv",
    "production_deployment/trainedmodel.pkl",
    "production_deployment/latestscore.txt",
    "production_deployment/ingestedfiles.txt",
)
REPORTS = ("clientrisk.csv", "confusionmatrix2.png", "apireturns2.txt")
LEDGER = (
    "SELECT name, size, sha256, status, reason, rows, added, duplicates, rejected, start_row,"
    " end_row, current, judged_at IS NULL, reported_at IS NULL FROM files ORDER BY id"
)
RISKS = (
    "SELECT client, substr(release, 1, 6), clients, risk FROM client_risk"
    " JOIN rankings ON rankings.id = ranking_id"
    " JOIN ranked_clients ON ranked_clients.id = client_id"
    " ORDER BY client, ranking_id"
)
# what is beside finaldata.csv goes by keys of its own
OWN_NUMBERS = re.compile(r"\.(keys|states|sightings)\b")
LAST_DEPLOYMENT = "SELECT release, action FROM deployments ORDER BY id DESC LIMIT 1"

Rows = list[tuple[object, ...]]


def query(history: Path, sql: str) -> Rows:
    """Rows of a history, without the project's code."""
    connection = sqlite3.connect(history)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@dataclass(frozen=True)
class Outcome:
    """A finished world without times: it is to be the same whether its run was killed or not."""

    tree: list[str]
    contents: dict[str, bytes]
    ledger: Rows
    master: Rows
    judged: list[str]  # the files of all decisions
    deployments: list[tuple[str, str]]
    risks: Rows

    @classmethod
    def of(cls, world: World) -> "Outcome":
        paths = [world.root / name for name in SAME]
        decided = query(world.history, "SELECT files FROM decisions ORDER BY id")
        deployed = query(world.history, "SELECT release, action FROM deployments ORDER BY id")
        return cls(
            tree=world.tree(),
            contents={
                str(path.relative_to(world.root)): without_ids(path.read_bytes())
                for path in paths
                if path.exists()
            },
            ledger=query(world.history, LEDGER),
            master=query(world.history, "SELECT bytes, rows, rebuilding FROM master"),
            judged=sorted(name for (names,) in decided for name in json.loads(str(names))),
            deployments=[(str(release)[:6], str(action)) for release, action in deployed],
            risks=query(world.history, RISKS),
        )


def check_production(world: World) -> None:
    """Nothing is live, or one complete release whose digests hold, which loads and predicts."""
    config = world.config
    if live_id(config.prod_deployment_path) is None:
        return
    from pipeline.data.frames import read_folder
    from pipeline.models.estimators import predictions_of
    from pipeline.registry.live_model import load_release

    try:
        release = live_release(config.prod_deployment_path)
        model = load_release(release, config.schema).model
        rows = read_folder(config.test_data_path, config.schema)
        if set(predictions_of(model, rows)) != {0, 1}:
            world.faults.append(f"production: {release.id} predicts nonsense")
    except PipelineError as error:
        world.faults.append(f"production: {error!r}")


def check_history(world: World, path: Path) -> None:
    """The history is one that SQLite finds nothing wrong with."""
    for pragma in ("integrity_check", "foreign_key_check"):
        if (result := query(path, f"PRAGMA {pragma}")) not in ([("ok",)], []):
            world.faults.append(f"history: {pragma}: {result}")


def check_outcome(world: World, expected: Outcome) -> None:
    """The world is as it would be without the kill, and what is live is on record."""
    found = Outcome.of(world)
    for part, value in vars(expected).items():
        if (other := getattr(found, part)) != value:
            world.faults.append(f"{part}: {differences(value, other)}")
    live = live_id(world.config.prod_deployment_path)
    recorded = query(world.history, LAST_DEPLOYMENT)
    if [release for release, _ in recorded] != [live] * bool(live):
        world.faults.append(f"{live} is live, recorded is {recorded}")


def differences(expected: object, found: object) -> str:
    """Where two parts of an outcome differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = expected.keys() | found.keys()
        return f"differ: {sorted(n for n in names if expected.get(n) != found.get(n))}"
    if isinstance(expected, list) and isinstance(found, list):
        gone = [item for item in expected if item not in found]
        more = [item for item in found if item not in expected]
        if gone or more:
            return f"missing {gone}, too much {more}"
    return f"{expected!r} became {found!r}"


def recover(world: World, scenario: Scenario, expected: Outcome) -> None:
    """Run the command again, then what runs next; all must be as expected, and nothing be new."""
    commands = [] if gone_back(world, scenario) else [scenario.command]
    for command in [*commands, ("fullprocess",)]:
        ended = world.run(*command)
        if ended.code not in (0, scenario.code, scenario.again) or "Traceback" in ended.err:
            world.faults.append(f"the next {' '.join(command)} ended with {ended}")
    before = world.stamps()
    if (ended := world.run("fullprocess")) != NOTHING_NEW:
        world.faults.append(f"the last run ended with {ended}")
    if world.stamps() != before:
        world.faults.append("the last run changed something")
    for name in REPORTS:
        if not (world.root / "models" / name).is_file():
            world.faults.append(f"there is no {name}")
    for name in scenario.erased:
        for path in filter(Path.is_file, world.root.rglob("*")):
            if path.parent.name != "sourcedata" and name.encode() in path.read_bytes():
                world.faults.append(f"{path.name} still names {name}")
    check_production(world)
    check_history(world, world.history)
    check_outcome(world, expected)


def gone_back(world: World, scenario: Scenario) -> bool:
    """Whether a rollback was done and recorded: to repeat it would go back further."""
    last = query(world.history, LAST_DEPLOYMENT) if scenario.goes_back else []
    return [action for _, action in last] == ["rollback"]


def state_of(world: World) -> str:
    """A digest of all that a kill left, but for times: where it is the same, so is what follows.

    Of the history it is what SQLite makes of it, asked on a copy, which must be sound.
    """
    result = hashlib.sha256()
    for path in sorted(world.root.rglob("*")):
        result.update(without_ids(os.fsencode(path.relative_to(world.root))) + b"\0")
        if path.is_symlink():
            result.update(without_ids(os.fsencode(path.readlink())))
        elif path.is_file() and not path.name.startswith(("history.db", "lock")):
            content = path.read_bytes()
            if OWN_NUMBERS.search(path.name):  # but whether it is whole
                result.update(b"%d" % len(content) + content[:8])
                continue
            content = without_times(content)
            result.update(content[-8:] if ".png" in path.name else content)  # it shows a time
    copy = world.root.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in world.root.glob("history.db*"):
        if path.is_file():
            shutil.copy(path, copy)
    if (copy / "history.db").exists():
        check_history(world, copy / "history.db")
        connection = sqlite3.connect(copy / "history.db")
        for line in connection.iterdump():
            if line.startswith('INSERT INTO "master"'):
                line = re.sub(r"'[0-9a-f]+'|\d{16,}", "", line)  # ids, digests and times of files
            if line.startswith('INSERT INTO "rankings"'):
                line = re.sub(r"'\d+-\d+'", "", line)  # which file it was to take the place of
            if not line.startswith('INSERT INTO "timings"'):
                result.update(without_times(line.encode()))
        connection.close()
    result.update(b"journal" * (copy / "history.db-journal").exists())
    return result.hexdigest()


def without_times(content: bytes) -> bytes:
    """A content without times, ports, and the digests of what holds times."""
    return re.sub(
        rb"\d{4}-\d\d-\d\dT[\d:.]+Z|127\.0\.0\.1:\d+|\b\d{19}\b|[0-9a-f]{64}",
        b"",
        without_ids(content),
    )
