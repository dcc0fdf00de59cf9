import errno
import hashlib
import json
import random
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from keeping import made_once
from sandbox import Sandbox, client_rows
from stagecalls import deploy, rollback

from pipeline.core.errors import ReleaseError
from pipeline.registry.releases import live_id, release_ids

LINKED = ("trainedmodel.pkl", "latestscore.txt", "ingestedfiles.txt")
FILES = (*LINKED, "reference.json")


@pytest.fixture
def twice(scored: Sandbox, kept_worlds: Path) -> Sandbox:
    """A project with two releases, of different models."""

    def make() -> None:
        release(scored)
        learn(scored, "c.csv", 500)
        release(scored)

    return made_once(scored, kept_worlds / "twice", make)


def release(world: Sandbox, *args: str) -> str:
    """Deploy, or what the arguments say; returns the id that is live afterwards."""
    result = world.run("deployment", *args)
    assert result.code == 0, result.err
    live = live_id(production(world))
    assert live
    return live


def learn(world: Sandbox, name: str, first: int) -> None:
    world.write(f"sourcedata/{name}", client_rows(first, 30))
    for stage in ("ingestion", "training", "scoring"):
        assert world.run(stage).code == 0


def production(world: Sandbox) -> Path:
    return world.config.prod_deployment_path


def ids(world: Sandbox) -> list[str]:
    return release_ids(production(world))


def live_files(world: Sandbox) -> dict[str, bytes]:
    """What is read through the three names."""
    return {name: (production(world) / name).read_bytes() for name in LINKED}


def sources(world: Sandbox) -> dict[str, bytes]:
    config = world.config
    paths = (config.trainedmodel_path, config.latestscore_path, config.ingestedfiles_path)
    return {path.name: path.read_bytes() for path in paths}


def reference(world: Sandbox) -> dict[str, bytes]:
    return {"reference.json": (world.root / "models/reference.json").read_bytes()}


def below_production(world: Sandbox) -> dict[str, bytes]:
    return {k: v for k, v in world.files().items() if k.startswith("production_deployment/")}


def deployments(world: Sandbox) -> list[tuple[object, ...]]:
    return world.query("SELECT release, action, f1 FROM deployments ORDER BY id")


def refused(world: Sandbox, *args: str) -> str:
    """The error of a deployment that is refused and leaves everything as it was."""
    before, recorded = world.files(), deployments(world)
    result = world.run("deployment", *args)
    after = world.files()
    before.pop("history.db")  # each run is recorded there
    after.pop("history.db")
    assert (result.code, result.out) == (1, "")
    assert after == before
    assert deployments(world) == recorded
    return result.err


# a release


def test_a_release_holds_model_score_record_reference_card_and_manifest(scored: Sandbox) -> None:
    live = release(scored)
    folder = production(scored) / "releases" / live
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(content.pop("manifest.json"))
    deployed_at = manifest.pop("deployed_at")
    assert content.pop("modelcard.md").decode().startswith(f"# Model card of release {live}\n")
    assert content == sources(scored) | reference(scored)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", deployed_at)
    assert manifest == {
        "id": live,
        "f1": float(content["latestscore.txt"]),
        "previous": None,
        "files": {name: hashlib.sha256(content[name]).hexdigest() for name in FILES},
        "model": json.loads((scored.root / "models/manifest.json").read_text()),
        "challenge": None,
    }


def test_the_three_names_are_links_through_current(scored: Sandbox) -> None:
    live = release(scored)
    folder = production(scored)
    assert {p.name: str(p.readlink()) for p in folder.iterdir() if p.is_symlink()} == {
        "current": f"releases/{live}",
        "trainedmodel.pkl": "current/trainedmodel.pkl",
        "latestscore.txt": "current/latestscore.txt",
        "ingestedfiles.txt": "current/ingestedfiles.txt",
    }
    assert live_files(scored) == sources(scored)


def test_a_deployment_is_recorded(scored: Sandbox) -> None:
    live = release(scored)
    f1 = float(scored.config.latestscore_path.read_text())
    assert deployments(scored) == [(live, "deploy", f1)]


def test_ids_count_upwards_and_tell_the_time(twice: Sandbox) -> None:
    assert [re.sub(r"\d{8}T\d{6}Z", "TIME", i) for i in ids(twice)] == [
        "000001-TIME",
        "000002-TIME",
    ]


def test_ids_count_upwards_though_the_clock_goes_back(scored: Sandbox) -> None:
    first = release(scored)
    (production(scored) / "releases" / first).rename(
        production(scored) / "releases/000041-29990101T000000Z"
    )
    assert release(scored).startswith("000042-")


def test_the_production_folder_may_be_moved(twice: Sandbox) -> None:
    before = live_files(twice)
    production(twice).rename(twice.root / "elsewhere")
    twice.configure(prod_deployment_path="elsewhere")
    assert live_files(twice) == before


# what is refused


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("models/manifest.json", "is missing: run `python training.py` first"),
        ("models/trainedmodel.pkl", "is missing: run `python training.py` first"),
        ("models/latestscore.txt", "is missing: run ingestion, training and scoring first"),
        ("models/reference.json", "is missing: run ingestion, training and scoring first"),
        (
            "ingesteddata/ingestedfiles.txt",
            "is missing: run ingestion, training and scoring first",
        ),
    ],
)
def test_without_one_of_its_files_nothing_is_deployed(
    scored: Sandbox, name: str, reason: str
) -> None:
    (scored.root / name).unlink()
    assert refused(scored) == f"error: {scored.root}/{name} {reason}\n"


@pytest.mark.parametrize("text", ["", "good", "0.99", "\udc80"])
def test_a_score_that_is_not_the_model_s_is_refused(scored: Sandbox, text: str) -> None:
    path = scored.config.latestscore_path
    f1 = path.read_text().strip()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert refused(scored) == (
        f"error: {path} says {text.replace(chr(0xDC80), chr(0xFFFD))!r}, but the F1 of the model"
        f" beside it, on the test data of now, is {f1}: run `python scoring.py` first\n"
    )


def test_a_damaged_model_is_refused(scored: Sandbox) -> None:
    path = scored.config.trainedmodel_path
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert refused(scored) == (
        f"error: {path} is not the model that its manifest describes: train again\n"
    )


def test_a_score_that_the_test_data_of_now_do_not_give_is_refused(scored: Sandbox) -> None:
    scored.write("testdata/testdata.csv", client_rows(90_000, 60))
    assert ", on the test data of now, is 1.0: run `python scoring.py` first" in refused(scored)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Input data was truncated"),
        ("{}", "Object missing required field `numbers`"),
        (
            '{"numbers": {}, "categories": {}, "risk": {"rows": 0, "missing": 0, "sample": []}}',
            "it does not fit the model",
        ),
    ],
)
def test_a_damaged_reference_is_refused(scored: Sandbox, text: str, fault: str) -> None:
    path = scored.root / "models/reference.json"
    path.write_text(text)
    assert refused(scored) == f"error: {path} is damaged ({fault}): run `python training.py`\n"


def test_a_card_that_people_annotated_is_no_damage(twice: Sandbox) -> None:
    first, second = ids(twice)
    for made in (first, second):
        card = production(twice) / "releases" / made / "modelcard.md"
        card.write_text(f"{card.read_text()}\nSeen and approved.\n")
    assert release(twice, "--rollback") == first
    assert release(twice, "--rollback", second) == second


def test_a_model_of_another_schema_is_refused(scored: Sandbox) -> None:
    schema = {"client": "corporation", "outcome": "exited", "numeric": ["number_of_employees"]}
    scored.configure(schema=schema)
    assert refused(scored) == (
        f"error: {scored.config.trainedmodel_path} was trained on lastmonth_activity,"
        " lastyear_activity, number_of_employees; config.json names number_of_employees:"
        " train again\n"
    )


# --list


def test_before_the_first_release_there_is_nothing_to_list(sandbox: Sandbox) -> None:
    result = sandbox.run("deployment", "--list")
    assert (result.code, result.out, result.err) == (0, "nothing is deployed yet\n", "")


def test_releases_are_listed_with_score_date_and_which_is_live(twice: Sandbox) -> None:
    first, second = ids(twice)
    release(twice, "--rollback")
    result = [json.loads(manifest_of(twice, i).read_text()) for i in (first, second)]
    assert twice.run("deployment", "--list").out == (
        "  release                          deployed                     F1  trained on\n"
        f"* {first:<32} {result[0]['deployed_at']} {result[0]['f1']:.4f}  120 rows\n"
        f"  {second:<32} {result[1]['deployed_at']} {result[1]['f1']:.4f}  150 rows\n"
        "* is live\n"
    )


def manifest_of(world: Sandbox, release_id: str) -> Path:
    return production(world) / "releases" / release_id / "manifest.json"


def test_a_damaged_release_is_listed_as_such_among_the_others(twice: Sandbox) -> None:
    first, second = ids(twice)
    manifest_of(twice, first).write_text("{")
    out = twice.run("deployment", "--list").out
    assert first in out
    assert f"* {second}" in out


@pytest.mark.parametrize("args", [(), ("--list",)])
def test_a_folder_that_is_no_release_stops_nothing(twice: Sandbox, args: tuple[str, ...]) -> None:
    (production(twice) / "releases/backup").mkdir()
    try:
        code = twice.run("deployment", *args).code
    except ValueError:
        code = None
    assert code == 0


# --rollback


def test_going_back_puts_the_release_before_live(scored: Sandbox) -> None:
    first = release(scored)
    before = live_files(scored)
    learn(scored, "c.csv", 500)
    second = release(scored)
    result = scored.run("deployment", "--rollback")
    f1 = before["latestscore.txt"].decode().strip()
    assert result.code == 0
    assert result.out == (
        f"production_deployment: {first} is live, F1 {f1}\n"
        "it ranks the clients from the next batch on; `python reporting.py` does so at once\n"
    )
    assert live_files(scored) == before
    assert ids(scored) == [first, second]
    assert deployments(scored)[-1] == (first, "rollback", float(f1))


def test_going_back_to_a_release_by_its_id(scored: Sandbox) -> None:
    made = [release(scored) for _ in range(4)]
    assert release(scored, "--rollback", made[1]) == made[1]
    assert release(scored, "--rollback", made[3]) == made[3]
    assert [row[:2] for row in deployments(scored)[4:]] == [
        (made[1], "rollback"),
        (made[3], "rollback"),
    ]


def test_going_back_after_a_redeployment_leads_to_what_was_live(scored: Sandbox) -> None:
    made = [release(scored) for _ in range(3)]
    release(scored, "--rollback", made[0])
    release(scored)
    assert release(scored, "--rollback") == made[0]


def test_going_back_to_what_is_live_changes_nothing(twice: Sandbox) -> None:
    before, recorded = below_production(twice), deployments(twice)
    assert release(twice, "--rollback", ids(twice)[1]) == ids(twice)[1]
    assert below_production(twice) == before
    assert deployments(twice) == recorded


def test_from_the_first_release_there_is_no_way_back(scored: Sandbox) -> None:
    live = release(scored)
    assert refused(scored, "--rollback") == (
        f"error: there is no release before {live} to go back to\n"
    )


def test_an_unknown_release_is_refused(twice: Sandbox) -> None:
    assert refused(twice, "--rollback", "000009-x") == (
        f"error: {production(twice)}: there is no release 000009-x\n"
    )


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"0.5\n")])
@pytest.mark.parametrize("by_id", [True, False])
def test_a_damaged_release_is_refused(
    twice: Sandbox, name: str, damage: Callable[[Path], object], by_id: bool
) -> None:
    first = ids(twice)[0]
    damage(production(twice) / "releases" / first / name)
    assert refused(twice, "--rollback", *([first] if by_id else [])) == (
        f"error: release {first} is damaged: {name} is not what was deployed\n"
    )


def test_a_release_with_a_damaged_manifest_is_refused(twice: Sandbox) -> None:
    first = ids(twice)[0]
    manifest_of(twice, first).write_text("{}")
    assert refused(twice, "--rollback").startswith(
        f"error: release {first} is damaged: manifest.json: "
    )


def test_a_live_release_with_a_damaged_model_can_be_left(twice: Sandbox) -> None:
    (production(twice) / "current/trainedmodel.pkl").write_bytes(b"spoilt")
    assert release(twice, "--rollback") == ids(twice)[0]


def test_a_live_release_with_a_damaged_manifest_can_be_left(twice: Sandbox) -> None:
    (production(twice) / "current/manifest.json").write_text("{")
    assert release(twice, "--rollback", ids(twice)[0]) == ids(twice)[0]


# pruning


@pytest.mark.parametrize(("keep", "left"), [(None, 5), (3, 3), (1, 2)])
def test_old_releases_are_pruned_but_never_the_one_before(
    scored: Sandbox, keep: int | None, left: int
) -> None:
    scored.configure(keep_releases=keep)
    made = [release(scored) for _ in range(left + 1)]
    assert ids(scored) == made[-left:]
    assert sorted(p.name for p in (production(scored) / "releases").iterdir()) == made[-left:]


def test_whatever_happens_the_live_release_and_the_one_before_it_are_there(
    scored: Sandbox,
) -> None:
    rng = random.Random(5)
    scored.configure(keep_releases=2)
    config, folder = scored.config, production(scored)
    deploy(config)
    for _ in range(20):
        before = live_id(folder)
        if rng.random() < 0.5:
            deploy(config)
            assert before in release_ids(folder)
        else:
            with suppress(ReleaseError):  # there may be none before the live one
                rollback(config, rng.choice([None, *release_ids(folder)]))
        assert live_id(folder) in release_ids(folder)
        assert len(release_ids(folder)) <= 5


def test_an_old_release_that_cannot_be_deleted_stops_no_deployment(
    scored: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored.configure(keep_releases=1)
    first, second = release(scored), release(scored)
    with monkeypatch.context() as kept:
        kept.setattr("shutil.rmtree", _not_permitted)
        result = scored.run("deployment")
    assert (result.code, result.err.count("cannot be deleted")) == (0, 1)
    assert ids(scored)[0] == second
    release(scored)
    assert not (production(scored) / f"releases/.old-{first}").exists()


def _not_permitted(path: object, *, ignore_errors: bool = False) -> None:
    if not ignore_errors:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))


def test_what_a_killed_pruning_left_is_removed(scored: Sandbox) -> None:
    release(scored)
    left = production(scored) / "releases/.old-000000-x"
    left.mkdir()
    (left / "trainedmodel.pkl").touch()
    release(scored)
    assert not left.exists()
