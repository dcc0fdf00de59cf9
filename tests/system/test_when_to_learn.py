"""When the live model is challenged whatever the verdict, what waits, and what is learned from."""

import os
from time import time

import pytest
from sandbox import Sandbox, client_rows

from pipeline.registry.releases import live_release

DAY = 24 * 3600.0


def last(world: Sandbox, columns: str) -> tuple[object, ...]:
    """Some columns of the last decision."""
    found: tuple[object, ...] = world.query(f"SELECT {columns} FROM decisions ORDER BY id")[-1]
    return found


def of_outcome(rows: list[str], outcome: str) -> list[str]:
    return [row for row in rows if row.endswith(f",{outcome}")]


def test_rows_without_a_verdict_are_judged_with_the_next_ones(settled: Sandbox) -> None:
    settled.configure(drift_test="ranking")
    rows = client_rows(300, 48, noise=7)
    left, stayed = of_outcome(rows, "1"), of_outcome(rows, "0")

    settled.write("sourcedata/c.csv", left)
    settled.run("fullprocess")

    assert last(settled, "verdict, labelled") == ("not enough evidence", len(left))
    settled.write("sourcedata/d.csv", stayed)
    settled.run("fullprocess")
    assert last(settled, "verdict, labelled") == ("no drift", len(rows))
    settled.write("sourcedata/e.csv", client_rows(500, 60, noise=7))
    settled.run("fullprocess")
    assert last(settled, "verdict, labelled") == ("no drift", 60)  # these were judged


def test_an_old_model_is_challenged_once_in_so_many_days(source: Sandbox) -> None:
    source.configure(drift_test="ranking", gate="evidence", retrain_after_days=30)
    for path in (source.root / "sourcedata").iterdir():
        os.utime(path, (time() - 40 * DAY,) * 2)
    source.run("fullprocess")
    for name, challenged in (("c.csv", True), ("d.csv", False)):
        source.write(f"sourcedata/{name}", client_rows(300 + 100 * challenged, 25))

        source.run("fullprocess")

        reason, challenge = last(source, "reason, challenge")
        assert ("30 days or more after those" in str(reason)) == challenged, reason
        assert (challenge is not None) == challenged


@pytest.mark.parametrize(("learn_from", "rows"), [("60 rows", 60), ("1 days", 400), ("all", 520)])
def test_a_challenger_learns_from_what_the_config_says(
    source: Sandbox, learn_from: str, rows: int
) -> None:
    for path in (source.root / "sourcedata").iterdir():
        os.utime(path, (time() - 40 * DAY,) * 2)
    source.run("fullprocess")
    first = live_release(source.config.prod_deployment_path)
    source.configure(learn_from=learn_from, gate="always")
    source.write("sourcedata/c.csv", client_rows(300, 400, flipped=True))

    source.run("fullprocess")

    live = live_release(source.config.prod_deployment_path)
    assert (first.model.rows, first.model.recipe.recent) == (120, False)
    assert (live.model.rows, live.model.recipe.recent) == (rows, rows < 520)
