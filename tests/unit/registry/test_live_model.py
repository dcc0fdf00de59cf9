"""What a server keeps: the live model, and answers that hold until their data change."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from sandbox import Sandbox, client_rows

from pipeline.core.cache import KeyedCache
from pipeline.core.errors import ModelError, PipelineError, ReleaseError
from pipeline.registry.live_model import LiveModel
from pipeline.registry.releases import Release, live_release


def redeploy(world: Sandbox, first: int = 300) -> Release:
    world.write(f"sourcedata/c{first}.csv", client_rows(first, 60, noise=3))
    for stage in ("ingestion", "training", "scoring", "deployment"):
        result = world.run(stage)
        assert result.code == 0, result.err
    return live_release(world.config.prod_deployment_path)


def test_where_nothing_is_deployed_there_is_nothing_to_serve(sandbox: Sandbox) -> None:
    with pytest.raises(ReleaseError, match=r"^nothing is deployed yet$"):
        LiveModel(sandbox.config).get()


def test_the_first_release_is_served_once_it_is_live(source: Sandbox) -> None:
    live = LiveModel(source.config)
    with pytest.raises(ReleaseError):
        live.get()

    release = redeploy(source)

    assert live.get().release == release


def test_a_release_is_loaded_once(deployed: Sandbox) -> None:
    live = LiveModel(deployed.config)

    assert live.get() is live.get()


def test_another_release_is_loaded_when_it_goes_live(deployed: Sandbox) -> None:
    live = LiveModel(deployed.config)
    before = live.get()

    release = redeploy(deployed)

    assert live.get().release == release
    assert live.get().model is not before.model


def test_a_rollback_is_followed(deployed: Sandbox) -> None:
    live = LiveModel(deployed.config)
    before = live.get().release
    redeploy(deployed)
    assert live.get().release != before

    deployed.run("deployment", "--rollback")

    assert live.get().release == before


def test_a_damaged_release_is_refused_once_and_logged_once(deployed: Sandbox) -> None:
    live = LiveModel(deployed.config)
    before = live.get()
    damaged = redeploy(deployed)
    (damaged.path / "trainedmodel.pkl").write_bytes(b"damaged")
    deployed.capsys.readouterr()

    assert [live.get(), live.get()] == [before, before]

    (line,) = deployed.capsys.readouterr().err.splitlines()
    assert line.split(" ", 1)[1] == (
        f"ERROR pipeline.registry.live_model: release {damaged.id} is refused,"
        f" {before.release.id} goes on:"
        f" release {damaged.id} is damaged: trainedmodel.pkl is not what was deployed"
    )


def test_a_release_after_a_damaged_one_is_served(deployed: Sandbox) -> None:
    live = LiveModel(deployed.config)
    live.get()
    (redeploy(deployed).path / "trainedmodel.pkl").write_bytes(b"damaged")
    live.get()

    release = redeploy(deployed, first=400)

    assert live.get().release == release


def test_a_release_of_other_columns_is_not_served(deployed: Sandbox) -> None:
    schema = {"client": "corporation", "outcome": "exited", "numeric": ["lastmonth_activity"]}
    deployed.configure(schema=schema)

    with pytest.raises(ModelError, match="was trained on lastmonth_activity, lastyear_activity"):
        LiveModel(deployed.config).get()


def test_what_is_no_link_is_told_once_and_the_release_loaded_before_goes_on(
    deployed: Sandbox,
) -> None:
    live = LiveModel(deployed.config)
    before = live.get()
    link = deployed.config.prod_deployment_path / "current"
    target = link.readlink()
    deployed.run("scoring")  # sets up logging
    deployed.capsys.readouterr()

    link.unlink()
    link.write_text("000001")
    assert [live.get(), live.get()] == [before, before]

    line = (
        f"ERROR pipeline.registry.live_model: {link} is no link to a release: Invalid argument;"
        f" {before.release.id} goes on"
    )
    told = deployed.capsys.readouterr().err.splitlines()
    assert [one.split(" ", 1)[1] for one in told] == [line]

    link.unlink()
    link.symlink_to(target)
    assert live.get() is before
    link.unlink()
    link.mkdir()
    live.get()
    assert len(deployed.capsys.readouterr().err.splitlines()) == 1


def test_what_is_no_link_is_an_error_where_nothing_was_loaded(deployed: Sandbox) -> None:
    link = deployed.config.prod_deployment_path / "current"
    link.unlink()
    link.mkdir()

    with pytest.raises(ReleaseError, match="is no link to a release"):
        LiveModel(deployed.config).get()


def test_threads_that_ask_at_once_share_one_model(deployed: Sandbox) -> None:
    live, together = LiveModel(deployed.config), Barrier(8)

    def asked(_: int) -> int:
        together.wait(30)
        return id(live.get().model)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(asked, range(8)))) == 1


def test_an_answer_is_made_once_while_its_key_stays_the_same() -> None:
    remembered, made = KeyedCache[int](), []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [remembered.get("a", make) for _ in range(3)] == [1, 1, 1]


def test_an_answer_is_made_again_for_another_key() -> None:
    remembered = KeyedCache[str]()

    said = [remembered.get(key, lambda key=key: f"of {key}") for key in ("a", "b", "a")]

    assert said == ["of a", "of b", "of a"]


def test_a_failure_is_not_remembered() -> None:
    remembered = KeyedCache[str]()

    def fail() -> str:
        raise PipelineError("not now")

    with pytest.raises(PipelineError, match="not now"):
        remembered.get("a", fail)
    assert remembered.get("a", lambda: "now") == "now"


def test_threads_that_ask_at_once_make_an_answer_once() -> None:
    remembered, together, made = KeyedCache[int](), Barrier(8), []
    slow = Event()

    def make() -> int:
        slow.wait(0.05)
        made.append(1)
        return len(made)

    def asked(_: int) -> int:
        together.wait(30)
        return remembered.get("a", make)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(asked, range(8))) == {1}
    assert made == [1]
