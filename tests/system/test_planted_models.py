"""A model file that somebody else wrote: it does not run, and what is live goes on."""

import hashlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sandbox import Result, Sandbox, client_rows
from sklearn.impute import SimpleImputer

from app import create_app
from pipeline.core.errors import ModelError, PipelineError
from pipeline.models.persistence import load_trained
from pipeline.pending import upgraded
from pipeline.registry.live_model import load_release
from pipeline.registry.releases import live_id, live_release, read_release, release_ids
from pipeline.storage.history import open_history

MODEL = "trainedmodel.pkl"
NEEDLESS = r"which no model of ours needs"


class Runs:
    """Unpickling it runs a command, which leaves a file."""

    def __init__(self, marker: Path) -> None:
        self.command = f"touch '{marker}'"

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def json_in(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def put_model(folder: Path, content: bytes) -> None:
    """Put a model into a folder, and into the manifest there all that goes by its digest."""
    (folder / MODEL).write_bytes(content)
    manifest = json_in(folder / "manifest.json")
    manifest.get("model", manifest)["sha256"] = digest(folder / MODEL)
    if "files" in manifest:
        manifest["files"][MODEL] = digest(folder / MODEL)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what a manifest says of a model."""
    manifest = json_in(folder / "manifest.json")
    edit(manifest.get("model", manifest))
    (folder / "manifest.json").write_text(json.dumps(manifest))


def plant(world: Sandbox, folder: Path) -> Path:
    """Put a pickle that runs a command in a model's place; returns what running it would leave."""
    put_model(folder, pickle.dumps(Runs(world.root / "ran")))
    return world.root / "ran"


def models(world: Sandbox) -> Path:
    return world.config.output_model_path


def production(world: Sandbox) -> Path:
    return world.config.prod_deployment_path


def release_folder(world: Sandbox, place: int) -> Path:
    return production(world) / "releases" / release_ids(production(world))[place]


def redeploy(world: Sandbox) -> None:
    world.write("sourcedata/c.csv", client_rows(300, 60, noise=3))
    for stage in ("ingestion", "training", "scoring", "deployment"):
        result = world.run(stage)
        assert result.code == 0, result.err


@pytest.fixture
def twice(deployed: Sandbox) -> Sandbox:
    """A project with two releases."""
    redeploy(deployed)
    return deployed


def refused(result: Result, path: Path, why: str) -> None:
    """A stage ends with exit 1, its reason in the log and as its last word."""
    assert (result.code, result.out) == (1, "")
    logged, error = result.err.splitlines()[-2:]
    assert (
        logged.partition("Z ")[2] == f"ERROR pipeline.models.persistence: {path} is refused: {why}"
    )
    assert error == f"error: {path} is refused: {why}"


# --- a command in a pickle ---


@pytest.mark.parametrize("stage", ["deployment", "scoring"])
def test_planted_beside_a_matching_manifest_it_is_refused(deployed: Sandbox, stage: str) -> None:
    marker, live = plant(deployed, models(deployed)), live_id(production(deployed))
    before = deployed.files()

    result = deployed.run(stage)

    refused(result, models(deployed) / MODEL, f"it names posix.system, {NEEDLESS}")
    assert not marker.exists()
    assert live_id(production(deployed)) == live
    after = deployed.files()
    assert {name for name in after if after[name] != before.get(name)} <= {"history.db"}
    load_release(live_release(production(deployed)), deployed.config.schema)


def test_a_rollback_to_it_is_refused(twice: Sandbox) -> None:
    folder, live = release_folder(twice, 0), live_id(production(twice))
    marker = plant(twice, folder)

    result = twice.run("deployment", "--rollback")

    refused(result, folder / MODEL, f"it names posix.system, {NEEDLESS}")
    assert not marker.exists()
    assert live_id(production(twice)) == live


def test_where_it_is_live_one_can_go_back(twice: Sandbox) -> None:
    marker = plant(twice, release_folder(twice, 1))

    result = twice.run("deployment", "--rollback")

    assert result.code == 0, result.err
    assert live_id(production(twice)) == release_ids(production(twice))[0]
    assert not marker.exists()


def test_a_server_refuses_it_once_and_goes_on_with_the_one_that_is_live(deployed: Sandbox) -> None:
    client = create_app(deployed.config).test_client()
    asked = {"filename": "testdata.csv"}
    before = client.get("/prediction", query_string=asked).json
    redeploy(deployed)
    marker = plant(deployed, release_folder(deployed, 1))
    deployed.capsys.readouterr()

    answers = [client.get("/prediction", query_string=asked) for _ in range(5)]

    assert [(answer.status_code, answer.json) for answer in answers] == [(200, before)] * 5
    assert not marker.exists()
    logged, reported_by_server = deployed.capsys.readouterr().err.splitlines()
    assert f"{MODEL} is refused: it names posix.system, {NEEDLESS}" in logged
    assert (
        f"release {release_folder(deployed, 1).name} is refused, {before['release']} goes on"
        in (reported_by_server)
    )


def test_a_server_that_starts_with_it_serves_nothing(deployed: Sandbox) -> None:
    marker = plant(deployed, release_folder(deployed, 0))
    client = create_app(deployed.config).test_client()

    answer = client.get("/prediction", query_string={"filename": "testdata.csv"})

    assert (answer.status_code, answer.json) == (503, {"error": "no release is live"})
    assert not marker.exists()


# --- another content than the manifest says ---


WATCHED: dict[str, Callable[[], None]] = {}  # path -> what happens before it is opened


def _on_open(event: str, args: tuple[Any, ...]) -> None:
    if WATCHED and event == "open" and (act := WATCHED.get(str(args[0]))):
        act()


@pytest.fixture
def before_opening() -> Iterator[dict[str, Callable[[], None]]]:
    """Do something at the moment at which a file is about to be opened."""
    if not getattr(sys, "_our_hook_is_set", False):
        sys.addaudithook(_on_open)  # there is no taking it away
        sys._our_hook_is_set = True  # type: ignore[attr-defined]
    yield WATCHED
    WATCHED.clear()


def test_a_model_that_is_swapped_after_its_release_was_verified_does_not_run(
    deployed: Sandbox, before_opening: dict[str, Callable[[], None]]
) -> None:
    release = live_release(production(deployed))
    path, opened = release.path / MODEL, []

    def swap() -> None:
        opened.append(path)
        if len(opened) == 2:
            planted = path.with_name("planted")
            planted.write_bytes(pickle.dumps(Runs(deployed.root / "ran")))
            planted.rename(path)

    before_opening[str(path)] = swap
    with pytest.raises(ModelError, match=r"is not the model that its manifest describes"):
        load_release(release, deployed.config.schema)
    assert not (deployed.root / "ran").exists()
    assert len(opened) == 2


# --- other versions ---


def off_by(difference: float) -> Callable[[dict[str, Any]], None]:
    def edit(model: dict[str, Any]) -> None:
        model["self_check"]["risk"][-1] += difference

    return edit


def of_another_version(folder: Path, content: bytes | None = None) -> None:
    """Make a release one of a scikit-learn that is no longer installed."""

    def edit(model: dict[str, Any]) -> None:
        model["versions"]["scikit-learn"] = "0.24.2"

    edit_manifest(folder, edit)
    if content is None:
        edit_manifest(folder, off_by(1e-3))
    else:
        put_model(folder, content)


# it is loaded but predicts otherwise, or names what is elsewhere now, or is put together otherwise
OTHERWISE = {
    "predicts": None,
    "names": b"csklearn.linear_model.logistic\nLogisticRegression\n)\x81.",
    "numpy": b"cnumpy.core.multiarray\n_reconstruct\n.",
    "parts": pickle.dumps(SimpleImputer(), protocol=5),
}


@pytest.mark.parametrize("content", OTHERWISE.values(), ids=OTHERWISE)
def test_what_an_upgrade_of_scikit_learn_makes_useless_is_replaced(
    deployed: Sandbox, content: bytes | None
) -> None:
    folder, former = release_folder(deployed, 0), live_id(production(deployed))
    of_another_version(folder, content)
    deployed.write("sourcedata/c.csv", client_rows(300, 60))

    result = deployed.run("fullprocess")

    assert result.code == 0, result.err
    release = live_release(production(deployed))
    assert release.id != former
    load_release(release, deployed.config.schema)
    reason = (
        f"{former} cannot be used with the scikit-learn that is installed now: trained on 180 rows"
        f" and deployed {release.id}"
    )
    assert f"not enough evidence: {reason}" in result.out
    assert "was made by scikit-learn 0.24.2" in result.err
    with open_history(deployed.config.history_path) as history:
        assert history.tuples("SELECT new_release, reason FROM decisions ORDER BY id")[-1] == (
            release.id,
            reason,
        )
    assert deployed.run("fullprocess").out.startswith("nothing new")


def test_an_upgrade_alone_is_tried_once(deployed: Sandbox) -> None:
    def upgrade() -> None:
        with open_history(deployed.config.history_path) as history:
            history.query("UPDATE told SET what = 'scikit_learn-0.24.2.dist-info'")

    assert deployed.run("fullprocess").code == 0
    former = live_id(production(deployed))
    for _ in range(2):  # a model that answers as before goes on
        upgrade()
        result = deployed.run("fullprocess")
        assert (result.code, result.out) == (0, "nothing new in sourcedata\n")
        with open_history(deployed.config.history_path) as history:
            assert not upgraded(history)

    of_another_version(production(deployed) / "current")
    assert deployed.run("fullprocess").out == "nothing new in sourcedata\n"
    upgrade()
    assert f"{former} cannot be used with the scikit-learn" in deployed.run("fullprocess").out
    assert live_id(production(deployed)) != former


def test_it_is_not_replaced_by_what_is_evidently_worse(deployed: Sandbox) -> None:
    folder, live = release_folder(deployed, 0), live_id(production(deployed))
    of_another_version(folder)
    manifest = json_in(folder / "manifest.json")
    (folder / "manifest.json").write_text(json.dumps(manifest | {"f1": 0.999}))
    deployed.write("sourcedata/c.csv", client_rows(300, 60))

    result = deployed.run("fullprocess")

    assert (result.code, live_id(production(deployed))) == (1, live)
    error = result.err.splitlines()[-1]
    assert error.startswith(f"error: release {live} cannot be used with the scikit-learn of now")
    assert "that of the release was 0.9990: `python deployment.py` puts it live" in error
    assert deployed.run("deployment").code == 0
    assert deployed.run("fullprocess").code == 0


def test_a_planted_model_is_refused_whatever_version_it_says(deployed: Sandbox) -> None:
    folder, live = release_folder(deployed, 0), live_id(production(deployed))
    of_another_version(folder)
    marker = plant(deployed, folder)
    deployed.write("sourcedata/c.csv", client_rows(300, 60))

    result = deployed.run("fullprocess")

    assert (result.code, live_id(production(deployed))) == (1, live)
    assert f"{MODEL} is refused: it names posix.system, {NEEDLESS}" in result.err
    assert not marker.exists()


# --- damaged manifests ---

NONSENSE = [None, True, 5, -1.5, "", "x", [], {}, [None], [[]], ["x"], {"x": 1}, float("nan")]
NONSENSE += [10**400, "\ud800", "x\nERROR app: all is lost"]


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a JSON value, itself included."""
    yield place
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(min(len(value), 2))
        for key in keys:
            yield from places(value[key], (*place, key))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The value with something else in one place; `KeyError` in place of it takes it away."""
    if not place:
        return new
    copy = value.copy()
    if new is KeyError and len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = changed(value[place[0]], place[1:], new)
    return copy


def damaged(manifest: Path) -> Iterator[str]:
    """Every one of the things in a manifest replaced by nonsense, and left out, in turn."""
    value = json_in(manifest)
    for place in places(value):
        for new in [*NONSENSE, *([KeyError] if place else [])]:
            yield json.dumps(changed(value, place, new))
    yield from ("", "{", "no json", "[" * 100_000, '{"a":' * 100_000, "\0", "1" * 5000)


def refusal(load: Callable[[], object]) -> str:
    """Why something is not loaded, in words for a person; empty where it is."""
    try:
        load()
    except PipelineError as error:
        return str(error)
    return ""


def test_a_damaged_manifest_of_a_model_is_reported_or_does_no_harm(deployed: Sandbox) -> None:
    manifest = models(deployed) / "manifest.json"
    schema, said = deployed.config.schema, []
    for text in damaged(manifest):
        manifest.write_text(text, errors="surrogatepass")
        said.append(refusal(lambda: load_trained(models(deployed), schema)))
    assert [text for text in said if len(text.splitlines()) > 1] == []
    assert sum(text.startswith(f"{manifest} is damaged (") for text in said) > 100
    assert 0 < said.count("") < 200  # some names, numbers and times may be any


def test_a_damaged_manifest_of_a_release_is_reported_or_does_no_harm(deployed: Sandbox) -> None:
    release = live_release(production(deployed))
    manifest, schema = release.path / "manifest.json", deployed.config.schema
    said = []
    for i, text in enumerate(islice(damaged(manifest), 0, None, 3)):  # as of a model, in part
        manifest.write_text(text, errors="surrogatepass")
        said.append(
            refusal(lambda: load_release(read_release(production(deployed), release.id), schema))
        )
        # the list costs as much as all else: every third is enough of it
        assert i % 3 or deployed.run("deployment", "--list").code == 0
    assert [text for text in said if len(text.splitlines()) > 1] == []
    assert {release.id in text for text in said if text} == {True}
    assert 0 < said.count("") < 200


def test_a_server_goes_on_whatever_happens_to_the_manifest_of_the_next_release(
    deployed: Sandbox,
) -> None:
    client = create_app(deployed.config).test_client()
    before = client.get("/ready").json
    redeploy(deployed)
    manifest = release_folder(deployed, 1) / "manifest.json"
    for text in ("", "[]", '{"deployed_at": 5}', "[" * 100_000):
        manifest.write_text(text)
        assert client.get("/ready").json == before
    manifest.unlink()
    assert client.get("/ready").json == before
