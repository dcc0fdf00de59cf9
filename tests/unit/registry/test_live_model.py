"""Loading releases, and keeping the live one loaded."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from sandbox import Sandbox, client_rows

from pipeline.core.errors import ModelError, ReleaseError
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.registry.live_model import LiveModel, load_release
from pipeline.registry.releases import Release, live_release


def live_model(world: Sandbox) -> LiveModel:
    return LiveModel(world.config.prod_deployment_path, world.config.schema)


def redeploy(world: Sandbox, first: int = 300) -> Release:
    world.write(f"sourcedata/c{first}.csv", client_rows(first, 60, noise=3))
    for stage in ("ingestion", "training", "scoring", "deployment"):
        result = world.run(stage)
        assert result.code == 0, result.err
    return live_release(world.config.prod_deployment_path)


def test_where_nothing_is_deployed_there_is_nothing_to_serve(sandbox: Sandbox) -> None:
    with pytest.raises(ReleaseError, match=r"^nothing is deployed yet$"):
        live_model(sandbox).get()


def test_the_first_release_is_served_once_it_is_live(source: Sandbox) -> None:
    live = live_model(source)
    with pytest.raises(ReleaseError):
        live.get()

    release = redeploy(source)

    assert live.get().release == release


def test_a_release_is_loaded_once(deployed: Sandbox) -> None:
    live = live_model(deployed)

    assert live.get() is live.get()


def test_another_release_is_loaded_when_it_goes_live(deployed: Sandbox) -> None:
    live = live_model(deployed)
    before = live.get()

    release = redeploy(deployed)

    assert live.get().release == release
    assert live.get().model is not before.model


def test_a_rollback_is_followed(deployed: Sandbox) -> None:
    live = live_model(deployed)
    before = live.get().release
    redeploy(deployed)
    assert live.get().release != before

    deployed.run("deployment", "--rollback")

    assert live.get().release == before


def test_a_damaged_release_is_refused_once_and_logged_once(deployed: Sandbox) -> None:
    live = live_model(deployed)
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
    live = live_model(deployed)
    live.get()
    (redeploy(deployed).path / "trainedmodel.pkl").write_bytes(b"damaged")
    live.get()

    release = redeploy(deployed, first=400)

    assert live.get().release == release


def test_a_release_of_other_columns_is_not_served(deployed: Sandbox) -> None:
    schema = {"client": "corporation", "outcome": "exited", "numeric": ["lastmonth_activity"]}
    deployed.configure(schema=schema)

    with pytest.raises(ModelError, match="was trained on lastmonth_activity, lastyear_activity"):
        live_model(deployed).get()


def test_what_is_no_link_is_reported_once_and_the_release_loaded_before_goes_on(
    deployed: Sandbox,
) -> None:
    live = live_model(deployed)
    before = live.get()
    link = deployed.config.prod_deployment_path / "current"
    target = link.readlink()
    deployed.run("scoring")  # sets up logging
    deployed.capsys.readouterr()

    link.unlink()
    link.write_text("000001")
    assert [live.get(), live.get()] == [before, before]

    line = (
        f"ERROR pipeline.registry.live_model: release of no name is refused, {before.release.id}"
        f" goes on: {link} is no link to a release: Invalid argument"
    )
    result = deployed.capsys.readouterr().err.splitlines()
    assert [one.split(" ", 1)[1] for one in result] == [line]

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
        live_model(deployed).get()


def test_threads_that_ask_at_once_share_one_model(deployed: Sandbox) -> None:
    live, together = live_model(deployed), Barrier(8)

    def asked(_: int) -> int:
        together.wait(600)
        return id(live.get().model)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(asked, range(8)))) == 1


# loading one


@pytest.mark.parametrize("name", ["trainedmodel.pkl", "latestscore.txt", "ingestedfiles.txt"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_release_with_a_damaged_file_is_refused(
    deployed: Sandbox, name: str, missing: bool
) -> None:
    release = live_release(deployed.config.prod_deployment_path)
    file = release.path / name
    if missing:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(ReleaseError) as caught:
        load_release(release, DEFAULT_SCHEMA)
    assert str(caught.value) == (
        f"release {release.id} is damaged: {name} is not what was deployed"
    )


def test_a_release_must_vouch_for_all_its_files(deployed: Sandbox) -> None:
    release = live_release(deployed.config.prod_deployment_path)
    for name in ("trainedmodel.pkl", "latestscore.txt", "ingestedfiles.txt"):
        others = {other: digest for other, digest in release.files.items() if other != name}
        with pytest.raises(ReleaseError, match=f"is damaged: {name} is not what was deployed"):
            load_release(replace(release, files=others), DEFAULT_SCHEMA)
